"""Makes the run that a version of i2i leaves behind, for all later versions to go on with.

    python tests/released/make.py

Writes `tests/released/<version>/`: pictures, a run that was stopped in the middle, and in `told.json` the losses that
it had when it went on. Run it once for each release whose saved states differ from those of the last, and keep what
it made.
"""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
from models.helpers import CPU, cheap, folder, tiny

from i2i import __version__
from i2i.engine import monitor
from i2i.session import Session

STEPS, DONE = 8, 5


def main() -> None:
    here = Path(__file__).parent / __version__
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    os.chdir(here)
    folder(Path("pictures"), count=6, size=8, splits=("train", "val"))
    settings = tiny(
        "cyclegan",
        Path("pictures"),
        data={"crop": 8},
        generator={"kind": "unet", "levels": 2, "width": 2},
        discriminator={"kind": "patch", "layers": 1, "width": 2},
        history=2,
        ema=0.9,
        log_every=1,
        sample_every=100,
        save_every=DONE,
        validate_every=4,
        keep=2,
        samples=2,
        log=(),
    )
    with pytest.MonkeyPatch.context() as patch:
        cheap(patch)
        whole = Session(settings, Path("run"), CPU)
        whole.play()
        losses = {line["step"]: line["losses"] for line in monitor.read(Path("run")) if line["step"] > DONE}
    # Back to the middle, as a machine that went down then would have left it.
    for path in (*Path("run", "state").iterdir(), Path("run", "samples"), Path("run", "tensorboard")):
        if path.name != f"{DONE:07d}":
            shutil.rmtree(path, ignore_errors=True)
    Path("run", ".lock").unlink(missing_ok=True)
    Path("told.json").write_text(json.dumps({"done": DONE, "losses": losses}, indent=1), "utf-8")
    size = sum(path.stat().st_size for path in here.rglob("*") if path.is_file())
    print(f"{here}: {size / 1000:.1f} kB")


main()
