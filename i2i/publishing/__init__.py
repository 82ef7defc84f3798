"""Models for others: the folder that is handed on, its card, and whether the two agree."""

from i2i.publishing.checks import check
from i2i.publishing.folder import publish

__all__ = ["check", "publish"]
