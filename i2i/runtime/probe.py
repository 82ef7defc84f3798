"""`python -m i2i.runtime.probe DEVICE`: does this device compute? Run as a process of its own, so that a driver that
crashes or hangs is reported and not suffered.

Prints one line of JSON: `works`, and `reason` and `remedy` if not; `driver`, what it says of itself, and `missing`, the
libraries that cannot be loaded. onnxruntime's own words go to stderr.
"""

import base64
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
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
        y = run(session, device, np.ones((1, 1, 3, 4), np.float32))
    except UserError as error:
        return told | {"reason": str(error), "remedy": ""}
    if y.tolist() != [[[[9.0, 9.0]]]]:
        return told | {"reason": f"nine ones add up to {y.ravel().tolist()}", "remedy": "Update the driver"}
    return told | {"works": True}


def main(arguments: Sequence[str]) -> None:
    (device,) = arguments
    print(json.dumps(probe(device)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
