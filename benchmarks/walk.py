"""Folders as they are, from the check to translated pictures: `python benchmarks/walk.py FOLDER ... [--steps 30]`.

For each folder: `i2i data check` says what it is and gives the recipe's data block; a small model is trained on that
block for a few steps; some of the folder's pictures are translated and must come back in their size. The commands are
called as a user calls them, and nothing in the folder is touched.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from ruamel.yaml import YAML

from i2i.images import is_picture

PICTURES = 4  # that are translated
NETWORKS = {
    "generator": {"kind": "unet", "levels": 4, "width": 16, "norm": "instance"},
    "discriminator": {"kind": "patch", "layers": 2, "width": 16},
}


def i2i(*words: str | Path) -> tuple[str, float]:
    """What a command says, and the seconds it took; its complaint where it fails."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "i2i", *map(str, words)], capture_output=True, text=True)
    if done.returncode and words[:2] != ("data", "check"):
        raise SystemExit(f"i2i {' '.join(map(str, words))}\n{done.stderr}")
    return done.stdout, time.perf_counter() - started


def recipe(data: dict[str, Any], steps: int) -> dict[str, Any]:
    """A small recipe around a data block; photos alone become pairs with their edges."""
    model = "cyclegan" if data["layout"] == "unpaired" else "pix2pix"
    if data["layout"] in ("labelled", "unlabelled"):
        depth = data.pop("channels", 3)
        data |= {"layout": "paired", "derive": {"a": "edges"}, "channels": {"a": 1, "b": depth}}
    small = {"load": min(data.get("load", 64), 64), "crop": min(data["crop"], 64)}
    return {
        "model": model,
        "data": data | small,
        "batch": 4,
        **NETWORKS,
        "schedule": [{"phase": "adversarial", "steps": steps}],
        "validate_every": None,
    }


def walk(folder: Path, steps: int, scratch: Path) -> str:
    """One line of the table."""
    told, checking = i2i("data", "check", folder, "--json")
    report = json.loads(told)
    file, run, out = scratch / "recipe.yaml", scratch / "run", scratch / "out"
    with file.open("w") as stream:
        YAML(typ="safe", pure=True).dump(recipe(report["data"], steps), stream)
    _, training = i2i("train", file, "--run", run, "--name", "walk", "--device", "cpu")
    pictures = sorted(path for path in folder.rglob("*") if is_picture(path))
    chosen = pictures[:: max(1, len(pictures) // PICTURES)][:PICTURES]
    for number, path in enumerate(chosen):
        i2i("translate", path, "--model", run, "-o", out / f"{number}{path.suffix}", "--device", "cpu")
        with Image.open(path) as before, Image.open(out / f"{number}{path.suffix}") as after:
            assert after.size == before.size, f"{path}: {before.size} became {after.size}"
    wrong = [finding["code"] for finding in report["findings"] if finding["severity"] != "note"]
    return (
        f"{folder.name:28} {report['layout']:10} {report['headers']:>7,} {checking:>6.1f} s {training:>6.1f} s "
        f"{len(chosen):>3}  {', '.join(wrong) or 'nothing amiss'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args()
    print(f"{'folder':28} {'layout':10} {'files':>7} {'check':>8} {'train':>8} out  warnings and errors")
    for folder in given.folders:
        with TemporaryDirectory() as scratch:
            print(walk(folder, given.steps, Path(scratch)), flush=True)


if __name__ == "__main__":
    main()
