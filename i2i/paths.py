"""Where things live: what ships with i2i, and what belongs to the user."""

import os
from pathlib import Path

import platformdirs


def shared(name: str) -> Path:
    """The shipped folder `recipes`, `datasets` or `export`: inside an installed wheel, else at the top of the clone."""
    package = Path(__file__).parent
    installed = package / "share" / name
    return installed if installed.is_dir() else package.parent / name


def home() -> Path:
    """The user's own i2i folder (models, prepared data sets): $I2I_HOME, else the platform's data folder."""
    chosen = os.environ.get("I2I_HOME")
    return Path(chosen) if chosen else platformdirs.user_data_path("i2i", appauthor=False)
