"""Runs that are published once for all tests of this folder."""

from pathlib import Path
from typing import Any

import pytest

from i2i import publishing


@pytest.fixture(scope="session")
def published(trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The published folder of a finished run of Pix2Pix (called `fields`), CycleGAN and DCGAN, by the model's name."""
    root = tmp_path_factory.mktemp("published")
    about = root / "about.md"
    about.write_text("---\nlicense: mit\ntags: [maps]\nmodel-index: []\n---\n## Good for\n\nfields, *green* ones\n")
    return {
        "pix2pix": publishing.publish(trained["pix2pix"].run, root / "Fields", about=about),
        "cyclegan": publishing.publish(trained["cyclegan"].run, root / "cyclegan"),
        "dcgan": publishing.publish(trained["dcgan"].run, root / "dcgan"),
    }
