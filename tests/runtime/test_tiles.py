"""Tiles: the whole picture, without seams, from bounded memory."""

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from i2i import images, nets
from i2i.errors import Stopped, UserError
from i2i.paths import shared
from i2i.runtime import Exported, agreement, grid, tiles
from i2i.runtime.workshop import Workshop

TOPS = {"uint8": 255, "uint16": 65535, "float32": 2}
TENSORS = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}
GENERATORS: dict[str, tuple[Callable[[], torch.nn.Module], int]] = {  # and its bytes per pixel, near enough
    "compact": (lambda: nets.Compact(3, 3, blocks=3, width=8), 80),
    "resnet": (lambda: nets.Resnet(3, 3, blocks=3, width=8), 80),
    "resnet with group norm": (lambda: nets.Resnet(3, 3, blocks=1, width=8, norm="group"), 80),
    "unet": (lambda: nets.UNet(3, 3, levels=3, width=8, norm="instance-affine", upsample="resize-conv"), 80),
}


def carded(model: onnx.ModelProto, **told: object) -> Exported:
    """A graph with the metadata that an export has."""
    common = {"format": 1, "task": "translate", "model": "test", "direction": "a2b", "inputs": 3, "outputs": 3}
    common |= {"multiple": 1, "minimum": 1, "pixels": "uint8", "precision": "fp32", "memory": 100}
    common |= {"weights": "", "recipe": "{}", "parity": "{}"}
    helper.set_model_props(model, {f"i2i.{key}": str(value) for key, value in {**common, **told}.items()})
    return Exported(model.SerializeToString(), "cpu")


def pointwise(
    channels: int = 3, outputs: int = 3, pixels: str = "uint8", norm: bool = False, half: bool = False
) -> Any:
    """Each pixel by itself: the identity, or with a norm of the channels' mixture between. What tiles get wrong here is
    their own fault: nothing looks at neighbours."""
    rng = np.random.default_rng(0)
    mix = np.eye(outputs, channels) if not norm else rng.normal(size=(outputs, channels))
    real = np.float16 if half else np.float32
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    top = TOPS[pixels]
    last = [("Mul", ["z", "quarter"], "q")] if norm else [("Identity", ["z"], "q")]
    own = [("InstanceNormalization", ["y", "scale", "bias"], "z")] if norm else [("Identity", ["y"], "z")]
    steps: list[tuple[str, list[str], str]] = [
        ("Cast", ["planes"], "real"),
        ("Conv", ["real", "mix"], "y"),
        *own,
        *last,
        ("Cast", ["q"], "full"),
    ]
    if pixels == "float32":
        steps = [("Identity", ["picture"], "planes"), *steps, ("Identity", ["full"], "translation")]
    else:
        steps = [
            ("Transpose", ["picture"], "turned"),
            ("Cast", ["turned"], "whole"),
            ("Div", ["whole", "top"], "planes"),
            *steps,
            ("Mul", ["full", "top"], "large"),
            ("Round", ["large"], "round"),
            ("Clip", ["round", "zero", "top"], "clip"),
            ("Cast", ["clip"], "cast"),
            ("Transpose", ["cast"], "translation"),
        ]
    attributes: dict[str, dict[str, Any]] = {
        "turned": {"perm": [0, 3, 1, 2]},
        "translation": {"perm": [0, 2, 3, 1]} if pixels != "float32" else {},
        "whole": {"to": TensorProto.FLOAT},
        "real": {"to": kind},
        "full": {"to": TensorProto.FLOAT},
        "cast": {"to": TENSORS[pixels]},
    }
    nodes = [
        helper.make_node(kind_, given, [out], name=f"{k}.{kind_}", **attributes.get(out, {}))
        for k, (kind_, given, out) in enumerate(steps)
    ]
    constants = {
        "mix": mix[..., None, None].astype(real),
        "scale": rng.uniform(0.5, 1.5, outputs).astype(real),
        "bias": rng.uniform(0, 4, outputs).astype(real),
        "quarter": np.array(0.2, real),
        "top": np.array(top, np.float32),
        "zero": np.array(0, np.float32),
    }
    shape = ["batch", "height", "width"]
    sides = [["batch", c, "height", "width"] if pixels == "float32" else [*shape, c] for c in (channels, outputs)]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("picture", TENSORS[pixels], sides[0])],
        [helper.make_tensor_value_info("translation", TENSORS[pixels], sides[1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return carded(model, inputs=channels, outputs=outputs, pixels=pixels)


@pytest.fixture(scope="module")
def earth() -> np.ndarray:
    """A real picture with land, sea and ice in different parts, of odd sides."""
    return np.ascontiguousarray(images.read(shared("datasets") / "earth" / "day_2048.jpg")[101:452:, 301:808])


@pytest.fixture(scope="module")
def generator() -> Callable[[str], Exported]:
    from i2i.export import graph

    made: dict[str, Exported] = {}

    def make(kind: str) -> Exported:
        if kind not in made:
            build, memory = GENERATORS[kind]
            torch.manual_seed(0)
            network: Any = build()
            model = graph.translator(network).model
            made[kind] = carded(model, multiple=network.multiple, minimum=network.minimum, memory=memory)
        return made[kind]

    return make


def budget(model: Exported, side: int) -> int:
    """The memory in which one tile of this side fits."""
    return side**2 * model.card.memory * tiles.WORKSPACE + 2 * Workshop(model).size


def jumps(values: np.ndarray, columns: list[int]) -> float:
    """The mean step from pixel to pixel across these places, over that across all."""
    steps = np.abs(np.diff(values.astype(np.float64), axis=1)).mean((0, 2))
    return float(steps[[c - 1 for c in columns]].mean() / steps.mean())


def seams(model: Exported, picture: np.ndarray, side: int) -> list[int]:
    width = grid.padded(picture.shape[1], model.card.multiple, model.card.minimum)
    overlap = grid.padded(tiles.OVERLAP, model.card.multiple, 1)
    return [cut.first for cut in grid.cuts(width, side, overlap, model.card.multiple)[1:]]


@pytest.mark.parametrize("kind", GENERATORS)
def test_tiles_become_the_whole_picture(
    kind: str, generator: Callable[[str], Exported], earth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And do not when each is normalised by itself: the control without which the bounds would mean nothing."""
    model = generator(kind)
    whole = model(earth).astype(np.float64)
    counted: list[int] = []
    tiled = tiles.translate(model, earth, memory=budget(model, 160), progress=lambda done, of: counted.append(of))
    assert counted[0] // (agreement.ROUNDS + 1) >= 6
    away = np.abs(tiled - whole)
    assert tiled.shape == whole.shape
    assert away.max() <= 8
    assert away.mean() <= 0.3
    assert (away**2).mean() <= 255**2 / 10**5  # 50 dB
    places = seams(model, earth, 160)
    assert len(places) >= 3
    assert jumps(tiled, places) <= jumps(whole, places) * 1.02
    monkeypatch.setattr(Workshop, "agree", lambda *_: None)
    monkeypatch.setattr("i2i.runtime.norms.settled", lambda *_: None)
    alone = np.abs(tiles.translate(model, earth, memory=budget(model, 160)) - whole)
    assert alone.mean() >= 10 * away.mean()
    assert alone.max() >= 8


def test_each_round_comes_nearer(generator: Callable[[str], Exported], earth: np.ndarray) -> None:
    model = generator("compact")
    whole = model(earth).astype(np.float64)
    errors = [
        float(((tiles.translate(model, earth, memory=budget(model, 128), rounds=rounds) - whole) ** 2).mean())
        for rounds in range(3)
    ]
    assert errors[1] < errors[0] / 4
    assert errors[2] < errors[1]


@pytest.mark.parametrize("pixels", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (701, 433)])
def test_the_identity_is_exact_in_every_shape(pixels: str, shape: tuple[int, int]) -> None:
    model = pointwise(pixels=pixels)
    picture = np.random.default_rng(1).integers(0, TOPS[pixels] + 1, (*shape, 3)).astype(pixels)
    tiled = tiles.translate(model, picture, memory=budget(model, 128))
    assert tiled.dtype == picture.dtype
    if pixels == "float32":
        np.testing.assert_allclose(tiled, picture, atol=1e-6)
    else:
        np.testing.assert_array_equal(tiled, picture)


@pytest.mark.parametrize("half", [False, True])
def test_a_norm_over_tiles_is_the_norm_over_the_picture(half: bool) -> None:
    """Where nothing looks at neighbours, only rounding is left. Five channels become two, in 16 bits; the picture has
    another mean in each of its parts."""
    model = pointwise(5, 2, "uint16", norm=True, half=half)
    ramp = np.linspace(0, 40_000, 390)[:, None, None] + np.linspace(0, 20_000, 410)[None, :, None]
    picture = (ramp + np.random.default_rng(2).integers(0, 5000, (390, 410, 5))).astype(np.uint16)
    whole = model(picture).astype(np.int64)
    tiled = tiles.translate(model, picture, memory=budget(model, 144)).astype(np.int64)
    assert whole.std() > 5000
    assert np.abs(tiled - whole).max() <= (200 if half else 2)  # of 65535; a half has 11 bits
    assert abs((tiled - whole).mean()) <= (20 if half else 0.1)  # rounded, not cut off


def test_what_fits_is_left_whole_and_what_is_wrong_is_told(earth: np.ndarray) -> None:
    model = pointwise(norm=True)
    np.testing.assert_array_equal(tiles.translate(model, earth), model(earth))
    with pytest.raises(UserError, match="uint8"):
        tiles.translate(model, earth.astype(np.uint16), memory=1)
    with pytest.raises(UserError, match=r"0\.00 GB of memory are too little for this model, one tile of which"):
        tiles.translate(model, earth, memory=1000)


def test_the_same_picture_becomes_the_same_twice(generator: Callable[[str], Exported], earth: np.ndarray) -> None:
    model = generator("unet")
    first, second = (tiles.translate(model, earth, memory=budget(model, 192), rounds=1) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", [Stopped, KeyboardInterrupt])
def test_who_stops_finds_nothing_left(kind: type[BaseException], earth: np.ndarray, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model = pointwise(norm=True)
    expected = model(earth)

    def stop(done: int, of: int) -> None:
        assert done <= of
        if done == 3:
            raise kind

    with pytest.raises(kind):
        tiles.translate(model, earth, memory=budget(model, 128), progress=stop)
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(model(earth), expected)


def test_cuts_cover_everything_and_keep_to_the_grid() -> None:
    rng = np.random.default_rng(3)
    for _ in range(500):
        multiple = int(rng.choice([1, 4, 32]))
        overlap = multiple * int(rng.integers(1, 9))
        side = 2 * overlap + multiple * int(rng.integers(0, 40))
        length = multiple * int(rng.integers(1, 300))
        found = grid.cuts(length, side, overlap, multiple)
        assert found[0].start == found[0].first == 0
        assert found[-1].stop == found[-1].last == length
        assert all(value % multiple == 0 for cut in found for value in (cut.start, cut.stop, cut.first, cut.last))
        for left, right in pairwise(found):
            assert left.stop - right.start >= overlap
            assert left.last == right.first
            assert right.start > left.start
        assert all(cut.stop - cut.start == side and cut.start <= cut.first < cut.last <= cut.stop for cut in found) or (
            len(found) == 1
        )


def test_tiles_and_the_smaller_picture_keep_to_their_pixels() -> None:
    for h, w, pixels in ((8192, 8192, 690_000), (1, 100_000, 20_000), (64, 100_000, 20_000), (5000, 300, 65_536)):
        rows, columns = (grid.padded(side, 4, 8) for side in (h, w))
        sides = grid.tile_sides(rows, columns, pixels, 128, 4)
        assert sides[0] * sides[1] <= pixels
        assert sides[0] % 4 == sides[1] % 4 == 0
        assert sides[0] * sides[1] >= pixels * 0.9 or sides == (rows, columns)
        small = grid.smaller(np.broadcast_to(np.uint8(0), (h, w, 1)), pixels, 4, 8)
        assert grid.padded(small.shape[0], 4, 8) * grid.padded(small.shape[1], 4, 8) <= pixels


def test_pooled_tiles_have_the_moments_of_the_whole() -> None:
    """Also where the mean is ten thousand deviations away from zero, and 32 bits would lose the variance."""
    values = np.random.default_rng(4).normal(1e4, 1, (2, 60, 50)) + np.arange(60)[:, None] / 30
    around = np.full(2, 1e4 + 0.7)
    parts = [values[:, :20], values[:, 20:]]
    told = [
        tuple(((part - around[:, None, None]) ** k).mean((1, 2)).astype(np.float32) for k in (1, 2)) for part in parts
    ]
    mean, variance = agreement.pooled(told, [20, 40], around)
    np.testing.assert_allclose(mean, values.mean((1, 2)), rtol=1e-9)
    np.testing.assert_allclose(variance, values.var((1, 2)), rtol=1e-5)


def test_agreement_comes_where_plain_passes_run_away() -> None:
    """Twelve norms, each of which sees three times the error of the one before it; the small picture differs a little
    in what it is and in how its norms depend on each other."""
    count = 12
    rng = np.random.default_rng(5)
    level, slope = rng.normal(size=count), 3.0

    def large(means: np.ndarray) -> np.ndarray:
        return level + np.concatenate([[0], slope * (means[:-1] - 1)])

    def small_sees(means: np.ndarray) -> np.ndarray:
        return level * 1.05 + np.concatenate([[0], slope * 0.95 * (means[:-1] - 1)])

    exact, plain = np.zeros(count), np.zeros(count)
    for _ in range(count):
        exact = large(exact)

    def small(corrections: Any) -> list[agreement.Statistics]:
        means = np.zeros(count)
        for _ in range(count):  # one after the other, as in a network
            means = small_sees(means) + np.array([shift[0] for shift, _ in corrections])
        return [(np.array([mean]), np.ones(1)) for mean in means]

    def tiled(statistics: Any) -> list[agreement.Statistics]:
        return [(np.array([mean]), np.ones(1)) for mean in large(np.array([mean[0] for mean, _ in statistics]))]

    errors = []
    for rounds in range(6):
        means = np.array([mean[0] for mean, _ in agreement.agreed(small, tiled, count, rounds)])
        errors.append(float(np.abs(means - exact).max()))
    plain = np.array([mean[0] for mean, _ in small([(np.zeros(1), np.ones(1))] * count)])
    worst = []
    for _ in range(5):
        plain = large(plain)
        worst.append(float(np.abs(plain - exact).max()))
    assert errors[5] < 1e-3 * errors[0]
    assert min(worst) > 0.3 * errors[0]


MEASURE = """
import sys, numpy as np
from pathlib import Path
from i2i.runtime import Exported, tiles
model = Exported(Path(sys.argv[1]), "cpu", threads=1)
row = np.arange(8192)
picture = np.empty((8192, 8192, 3), np.uint8)
for y in row:
    picture[y] = ((row[:, None] // [1, 2, 3] + y * np.array([1, 2, 3]) // 40) % 251)
result = tiles.translate(model, picture, rounds=1)
assert result.shape == picture.shape
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["compact", "unet"])
def test_8192_pixels_square_take_less_than_2_gib(kind: str, tmp_path: Path) -> None:
    """Of the whole process, with the picture, its translation and the weights. The card is the exporter's own."""
    from i2i.export import graph
    from i2i.export.play import bytes_per_pixel

    torch.manual_seed(0)
    network: Any = {
        "compact": lambda: nets.Compact(3, 3, blocks=2, width=16),
        "unet": lambda: nets.UNet(3, 3, levels=5, width=16, norm="instance"),
    }[kind]()
    traced = graph.translator(network)
    memory = bytes_per_pixel(traced)
    carded(traced.model, multiple=network.multiple, minimum=network.minimum, memory=memory)
    onnx.save(traced.model, tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "model.onnx")], capture_output=True, text=True, timeout=850
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 2 * 2**30
