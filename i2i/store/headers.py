"""The header of a model file: JSON beside the weights that says what rebuilds them."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from i2i import __version__
from i2i.errors import UserError

FORMAT = "1"
HALF = "2"  # weights of 16 bits among those of 32, which an i2i that knows 1 alone would take for what they are not
TOLD = {"format", "recipe", "step", "data", "directions", "scores", "sha256"}  # by every header


def read_header(path: Path) -> dict[str, str]:
    """The header of a model file; raises UserError when it is not one of ours."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable model file ({error}).") from None
    if "i2i" not in metadata:
        raise UserError(f"{path} has weights but no recipe in its header: it was not written by i2i.")
    try:
        header: dict[str, str] = {key: str(value) for key, value in json.loads(metadata["i2i"]).items()}
    except (ValueError, AttributeError, RecursionError):
        raise UserError(f"{path} has a damaged header.") from None
    missing = TOLD - header.keys()
    if missing:
        raise UserError(f"{path} has a damaged header: it says nothing on {', '.join(sorted(missing))}.")
    if header["format"] not in (FORMAT, HALF):
        raise UserError(
            f"{path} has format {header['format']}; this i2i {__version__} reads {FORMAT} and {HALF}. Update i2i."
        )
    return header
