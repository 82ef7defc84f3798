"""`python -m i2i.runtime.probe DEVICE`: does this device compute? `start` runs it as a process of its own, so that a
driver that crashes or hangs is reported by `answer` and not suffered.

Prints one line of JSON: `works`, and `reason` and `remedy` if not; `driver`, what it says of itself, and `missing`, the
libraries that cannot be loaded. onnxruntime's own words go to stderr.
"""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from i2i.errors import UserError
from i2i.runtime.binding import run
from i2i.runtime.gpu import driver, missing_libraries, obstacle
from i2i.runtime.providers import open_session

ERROR = 3  # of onnxruntime's log levels
# An ONNX file: x, 1 1 h w, convolved with 3 × 3 ones, which takes cuDNN. A test makes it anew.
CONVOLUTION = base64.b64decode(
    "CAk6kQEKEgoBeAoEb25lcxIBeSIEQ29udhIFcHJvYmUqNggBCAEIAwgDEAEiJAAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAP0IE"
    "b25lc1odCgF4EhgKFggBEhIKAggBCgIIAQoDEgFoCgMSAXdiHQoBeRIYChYIARISCgIIAQoCCAEKAxIBdgoDEgF1QgQKABAU"
)


def probe(device: str) -> dict[str, Any]:
    """What the one line of JSON says."""
    told: dict[str, Any] = {"works": False}
    if device != "cpu":
        found = driver()
        told |= {"driver": asdict(found) if found else None, "missing": missing_libraries(device)}
        if problem := obstacle(device):
            return told | asdict(problem)
    try:
        session, _ = open_session(CONVOLUTION, "the probe", device, log=ERROR)
        y = run(session, device, {"x": np.ones((1, 1, 3, 4), np.float32)})
    except UserError as error:
        return told | {"reason": str(error), "remedy": ""}
    if y.tolist() != [[[[9.0, 9.0]]]]:
        return told | {"reason": f"nine ones add up to {y.ravel().tolist()}", "remedy": "Update the driver"}
    return told | {"works": True}


def start(*arguments: str) -> subprocess.Popen[str]:
    """This Python with other work, and with this i2i, wherever it was imported from; never with the working folder."""
    ours = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": ours},
    )  # fmt: skip


def answer(process: subprocess.Popen[str], patience: float) -> dict[str, Any]:
    """The JSON that a process says last. If it hangs, crashes or fails, `broken`, and `reason` says how."""
    try:
        said, complained = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"works": False, "broken": True, "reason": f"no answer within {patience:g} s; it hangs"}
    if process.returncode < 0:
        how = signal.strsignal(-process.returncode)
        return {"works": False, "broken": True, "reason": f"it crashed ({how}){_last(complained)}"}
    try:
        told: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"works": False, "broken": True, "reason": f"it failed{_last(complained)}"}
    if not told["works"] and "onnxruntime" in complained:  # its own words, that name what is missing
        told["reason"] = told.get("reason", "") + _last(complained)
    return told


def _last(words: str) -> str:
    lines = [line for line in words.splitlines() if line.strip()]
    return f": {lines[-1].strip()[:300]}" if lines else ""


def main(arguments: Sequence[str]) -> None:
    (device,) = arguments
    print(json.dumps(probe(device)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
