"""i2i: image-to-image translation, from a folder of pictures to a deployed translator."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.api import evaluate, load, sample, train, translate

__version__ = "0.1.0"
__all__ = ["evaluate", "load", "sample", "train", "translate"]


def __getattr__(name: str) -> Any:
    """The API on first use, since torch takes seconds to import and `i2i --help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'i2i' has no attribute {name!r}")
    from i2i import api

    return getattr(api, name)
