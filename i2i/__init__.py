"""i2i: image-to-image translation, from a folder of pictures to a deployed translator."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.api import evaluate, sample, train
    from i2i.loading import load
    from i2i.translation import translate

__version__ = "0.1.0"
__all__ = ["evaluate", "load", "sample", "train", "translate"]


def __getattr__(name: str) -> Any:
    """The API on first use: torch takes seconds to import, and neither `i2i --help` nor translating needs it."""
    if name not in __all__:
        raise AttributeError(f"module 'i2i' has no attribute {name!r}")
    import importlib

    room = {"load": "loading", "translate": "translation"}.get(name, "api")
    return getattr(importlib.import_module(f"i2i.{room}"), name)
