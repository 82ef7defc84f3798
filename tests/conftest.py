"""What every test stands on: a home of its own, one thread, and no network."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start

import numpy as np
import pytest
import torch

from i2i.images import write


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)
    # The first backward pass starts autograd's threads, one a device that is known by then; exporters make more known
    # than there are, and a forked process (tests/faults.py) cannot go backward if its parent has such threads.
    torch.ones(1, requires_grad=True).backward()


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's i2i folder for all tests: prepared data sets are shared, and the real one is never touched."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("I2I_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Whoever asks for a connection to another machine gets an error; sockets between processes still work."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX or (isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1")):
            return connect(self, address)
        raise OSError(f"a test tried to reach {address}: tests must not use the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty i2i folder for one test, and no model that ships, where it counts which models there are."""
    folder = tmp_path / "home"
    monkeypatch.setenv("I2I_HOME", str(folder))
    monkeypatch.setattr("i2i.store.names.shared", lambda name: tmp_path / "shipped")
    return folder


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """noise(key, height, width, channels=3): uint8 pixels, different for each key."""
    return lambda key, height, width, channels=3: np.random.default_rng(key).integers(
        0, 256, (height, width, channels), dtype=np.uint8
    )


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, noise: Callable[..., np.ndarray]) -> Path:
    """A folder for every layout: `sides` has trainA ... testB of 16 px, 6 train and 3 test pairs; `classes` has two."""
    root = tmp_path_factory.mktemp("pictures")
    key = 0
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        for side in "AB":
            for i in range(count):
                key += 1
                write(root / "sides" / f"{split}{side}" / f"{i}.png", noise(key, 16, 16))
    for name in ("cat", "dog"):
        for i in range(6):
            key += 1
            write(root / "classes" / name / f"{i}.png", noise(key, 16, 16))
    return root


@pytest.fixture(scope="session")
def tiny(pictures: Path) -> Callable[..., dict[str, Any]]:
    """tiny("pix2pix", steps=2, **changes): the plain data of a recipe that trains in a blink on `pictures`."""

    def tree(model: str, steps: int = 2, **changes: Any) -> dict[str, Any]:
        sides = {"root": str(pictures / "sides"), "crop": 16}
        noise_data = {"layout": "unlabelled", "root": str(pictures / "classes"), "crop": 16}
        told: dict[str, Any] = {
            "pix2pix": {
                "data": {"layout": "paired", **sides},
                "generator": {"kind": "unet", "levels": 2, "width": 4},
                "discriminator": {"kind": "patch", "layers": 1, "width": 4},
            },
            "cyclegan": {
                "data": {"layout": "unpaired", **sides},
                "generator": {"kind": "resnet", "blocks": 1, "width": 4},
                "discriminator": {"kind": "patch", "layers": 1, "width": 4},
            },
            "dcgan": {
                "data": noise_data,
                "generator": {"kind": "dcgan", "noise": 8, "width": 4},
                "discriminator": {"kind": "dcgan", "width": 4},
            },
            "gan": {
                "data": {"layout": "mixture"},
                "generator": {"kind": "mlp", "noise": 2, "width": 8, "depth": 1},
                "discriminator": {"kind": "mlp", "width": 8, "depth": 1},
            },
        }[model]
        common = {"model": model, "batch": 2, "samples": 2, "log_every": 1, "sample_every": 2, "save_every": 2}
        return {**common, **told, "schedule": [{"phase": "adversarial", "steps": steps}], **changes}

    return tree


@pytest.fixture(scope="session")
def trained(tiny: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One finished run of each model, an `api.Trained`, known by the model's name."""
    from i2i import api, recipe

    return {
        model: api.train(
            recipe.build(tiny(model, steps=4), "test"), run=tmp_path_factory.mktemp(model) / "run", name=model
        )
        for model in ("pix2pix", "cyclegan", "dcgan", "gan")
    }
