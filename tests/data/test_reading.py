"""What a file holds is what a batch holds: every channel, every bit, every class."""

import io
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from i2i.data import Batches, Data, fixed, in_order, open_split
from i2i.data.augment import resize
from i2i.data.reading import Unusable, item
from i2i.data.reference import Member
from i2i.errors import UserError
from i2i.images import png, read, write

Make = Callable[..., Data]
Fill = Callable[..., None]

WHOLE = {"val": 0, "test": 0}
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def noise(channels: int, bits: int, height: int = 8, width: int = 8, key: int = 0) -> np.ndarray:
    """(height, width, channels) of every value, the darkest and the brightest among them."""
    values = np.random.default_rng(key).integers(0, 2**bits, (height, width, channels), np.uint16)
    values[0, 0], values[-1, -1] = 0, 2**bits - 1
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def save(path: Path, pixels: np.ndarray) -> None:
    """As other tools write it, in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = pixels.shape[2]
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".tif":
        extra = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
        light = {"photometric": "rgb" if channels in (3, 4) else "minisblack"}
        contig = {"planarconfig": "contig"} if channels > 1 else {}
        tifffile.imwrite(path, pixels, compression="zlib", **extra, **light, **contig)
    elif pixels.dtype == np.uint16:
        with path.open("wb") as file:
            png.encode_deep(file, pixels, [])
    else:
        picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, MODES[channels])
        picture.save(path, **({"lossless": True, "exact": True} if path.suffix == ".webp" else {}))


def bytes_of(batch: torch.Tensor, bits: int = 8) -> np.ndarray:
    """n c h w in [-1, 1] → n h w c as a file has it."""
    values = (batch.double() + 1) * (2**bits - 1) / 2
    assert (values - values.round()).abs().max() < 0.01
    return values.round().permute(0, 2, 3, 1).numpy().astype(np.uint8 if bits == 8 else np.uint16)


CASES = [
    (suffix, channels, bits)
    for suffix in (".png", ".tif", ".npy", ".webp")
    for channels in (1, 2, 3, 4, 7)
    for bits in (8, 16)
    if channels < 5 or suffix in (".tif", ".npy")
    if suffix != ".webp" or (bits == 8 and channels > 2)
]


@pytest.mark.parametrize(("suffix", "channels", "bits"), CASES)
def test_every_value_comes_through(suffix: str, channels: int, bits: int, tmp_path: Path, spec: Make) -> None:
    pictures = [noise(channels, bits, key=key) for key in range(3)]
    for place, pixels in enumerate(pictures):
        save(tmp_path / "data" / f"{place}{suffix}", pixels)
    told = spec(
        layout="unlabelled", root=tmp_path / "data", crop=8, flip=False, channels=channels, bits=bits, split=WHOLE
    )
    tested = bytes_of(torch.cat(list(in_order(told, "train", 2))), bits)
    assert np.array_equal(tested, np.stack(pictures))
    for _ in range(2):  # decoded, and from the cache
        batches = Batches(told, batch=3)
        trained = bytes_of(next(batches), bits)
        batches.close()
        assert sorted(x.tobytes() for x in trained) == sorted(x.tobytes() for x in pictures)


@pytest.mark.parametrize("workers", [0, 1])
def test_sixteen_bits_come_through_a_worker(workers: int, tmp_path: Path, spec: Make) -> None:
    save(tmp_path / "data/x.png", noise(3, 16))
    told = spec(layout="unlabelled", root=tmp_path / "data", crop=8, flip=False, bits=16, workers=workers)
    batches = Batches(told, batch=2)
    given = next(batches)
    batches.close()
    assert given.dtype == torch.float32
    assert (given.min().item(), given.max().item()) == (-1, 1)
    assert np.array_equal(bytes_of(given, 16)[1], noise(3, 16))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_eight_bits_are_widened_exactly(channels: int, tmp_path: Path, spec: Make) -> None:
    save(tmp_path / "x.png", noise(channels, 8))
    told = spec(layout="unlabelled", root=tmp_path, crop=8, channels=channels, bits=16)
    assert np.array_equal(bytes_of(fixed(told, "train", 1), 16)[0], noise(channels, 8).astype(np.uint16) * 257)


def test_floats_are_scaled_by_their_white(tmp_path: Path, spec: Make) -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1)
    for suffix in (".npy", ".tif"):
        save(tmp_path / suffix[1:] / f"x{suffix}", values)
        for bits in (8, 16):
            told = spec(layout="unlabelled", root=tmp_path / suffix[1:], crop=8, channels=1, bits=bits)
            given = (fixed(told, "train", 1)[0, 0].numpy() + 1) / 2
            assert np.abs(given - values[:, :, 0]).max() < 1 / 2**bits


def test_plain_pictures_are_what_read_gives(tmp_path: Path, spec: Make) -> None:
    """Figures and saved states rest on these very pixels."""
    shade = Image.fromarray(noise(3, 8, 20, 30))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        shade.convert(mode).save(tmp_path / f"{mode}.png")
    shade.convert("L").save(tmp_path / "clear.png", transparency=77)
    shade.convert("P").save(tmp_path / "clearer.png", transparency=3)
    shade.convert("CMYK").save(tmp_path / "ink.jpg")
    save(tmp_path / "deep.png", noise(1, 16, 20, 30))
    save(tmp_path / "deeper.png", noise(3, 16, 20, 30))
    for channels in (1, 3):
        told = spec(layout="unlabelled", root=tmp_path, crop=8, channels=channels, split=WHOLE)
        split = open_split(told, "train")
        for index, path in enumerate(split.files[0]):
            (given,) = item(told, split, 0, index, None)
            assert given.dtype == np.uint8
            assert np.array_equal(given, read(path, channels)), path


def test_grey_and_alpha_are_told_apart_from_light(tmp_path: Path, spec: Make) -> None:
    """A value named transparent, and alpha, lie on white where a picture has no channel for them."""
    grey = np.full((8, 8, 1), 60, np.uint8)
    grey[0] = 9
    Image.fromarray(grey[:, :, 0]).save(tmp_path / "x.png", transparency=9)

    def given(channels: int) -> Any:
        return bytes_of(fixed(spec(layout="unlabelled", root=tmp_path, crop=8, channels=channels), "train", 1))[0]

    assert given(1)[:2, 0].tolist() == [[255], [60]]
    assert given(2)[:2, 0, 1].tolist() == [0, 255]
    assert given(4)[1, 0].tolist() == [60, 60, 60, 255]


def test_a_mask_of_one_bit_is_black_and_white_as_a_picture(tmp_path: Path, spec: Make) -> None:
    bits = np.eye(8, dtype=bool)
    Image.fromarray(bits).save(tmp_path / "x.png")
    told = spec(layout="unlabelled", root=tmp_path, crop=8, channels=1)
    assert np.array_equal(bytes_of(fixed(told, "train", 1))[0, :, :, 0], bits * np.uint8(255))


def paired(spec: Make, root: Path, **more: Any) -> Data:
    return spec(**{"layout": "paired", "root": root, "crop": 8, "flip": False, "split": WHOLE} | more)


NUMBERS = np.arange(64, dtype=np.uint8).reshape(8, 8) % 5
PALETTE = ["#000000", "#ff0000", "#00ff00", "#0000ff", "#ffffff"]
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)


def classes_of(batch: torch.Tensor) -> np.ndarray:
    """One-hot n classes h w → n h w, once it is certain that each pixel is of exactly one class."""
    assert set(batch.unique().tolist()) == {-1, 1}
    assert ((batch + 1).sum(1) == 2).all()
    return batch.argmax(1).numpy()


def test_label_maps_become_one_channel_for_each_class(tmp_path: Path, spec: Make) -> None:
    save(tmp_path / "A/x.png", NUMBERS[:, :, None])
    save(tmp_path / "B/x.png", COLOURS[NUMBERS])
    told = paired(spec, tmp_path, channels={"a": {"labels": 6}, "b": {"palette": PALETTE}}, bits=16)
    for a, b in (fixed(told, "train", 1), next(Batches(told, batch=1)), next(Batches(told, batch=1))):
        assert (a.shape, b.shape, a.dtype) == ((1, 6, 8, 8), (1, 5, 8, 8), torch.float32)
        assert np.array_equal(classes_of(a)[0], NUMBERS)
        assert np.array_equal(classes_of(b)[0], NUMBERS)


def test_the_index_of_a_palette_is_the_class_and_its_colour_is_for_palettes(tmp_path: Path, spec: Make) -> None:
    picture = Image.fromarray(NUMBERS, "P")
    picture.putpalette(COLOURS[::-1].tobytes())  # class 0 is painted in the colour of class 4
    for side in "AB":
        (tmp_path / side).mkdir()
        picture.save(tmp_path / side / "x.png")
    told = paired(spec, tmp_path, channels={"a": {"labels": 5}, "b": {"palette": PALETTE}})
    a, b = fixed(told, "train", 1)
    assert np.array_equal(classes_of(a)[0], NUMBERS)
    assert np.array_equal(classes_of(b)[0], 4 - NUMBERS)


def test_classes_are_never_interpolated(tmp_path: Path, spec: Make) -> None:
    half = np.zeros((9, 9, 1), np.uint8)
    half[:, 5:] = 4  # 1 to 3 lie between
    save(tmp_path / "A/x.png", half)
    save(tmp_path / "B/x.png", half)
    told = paired(spec, tmp_path, load=20, crop=20, channels={"a": {"labels": 5}, "b": 1})
    a, b = fixed(told, "train", 1)
    assert set(np.unique(classes_of(a))) == {0, 4}
    assert len(b.unique()) > 2


@pytest.mark.parametrize("size", [3, 8, 9, 20, 41])
def test_resized_classes_lie_where_resized_light_does(size: int) -> None:
    numbers = np.arange(99, dtype=np.uint8).reshape(9, 11, 1)
    given = resize(numbers, size, "stretch", classes=True)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(numbers[None, None, :, :, 0]).float(), size=(size, size), mode="nearest-exact"
    )
    assert np.array_equal(given[:, :, 0], expected[0, 0].numpy())


@pytest.mark.parametrize(
    ("pixels", "look", "said"),
    [
        (np.full((8, 8, 1), 7, np.uint8), {"labels": 5}, "from 0 to 4, got 7 at x 0, y 0.*7 is the highest.*`labels`"),
        (COLOURS[NUMBERS], {"labels": 5}, r"got the colour \[255, 0, 0\] at x 1, y 0.*needs `palette"),
        (np.full((8, 8, 1), 9, np.uint16), {"labels": 5}, "got 9 at"),
        (noise(3, 8).astype(np.float32), {"labels": 5}, "float32"),
        (noise(7, 8), {"palette": PALETTE}, "got 7"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_what_is_no_class_says_so(
    pixels: np.ndarray, look: Any, said: str, suffix: str, tmp_path: Path, spec: Make
) -> None:
    save(tmp_path / "A/x.png", noise(3, 8))
    save(tmp_path / f"B/x{suffix}", pixels)
    told = paired(spec, tmp_path, channels={"a": 3, "b": look})
    with pytest.raises(Unusable, match=said) as caught:
        item(told, open_split(told, "train"), 0, 0, None)
    assert caught.value.path == tmp_path / f"B/x{suffix}"
    assert "\n" not in str(caught.value)


def test_a_map_with_an_unknown_class_is_skipped_as_any_picture(tmp_path: Path, spec: Make) -> None:
    for place in range(6):
        save(tmp_path / f"A/{place}.png", noise(3, 8, key=place))
        save(tmp_path / f"B/{place}.png", NUMBERS[:, :, None] + (3 if place == 2 else 0))
    said: list[str] = []
    batches = Batches(paired(spec, tmp_path, channels={"b": {"labels": 5}}), batch=3, warn=said.append)
    assert all(b.shape == (3, 5, 8, 8) for _, b in islice(batches, 4))
    assert list(batches.skipped) == [str(tmp_path / "B/2.png")]
    assert "let `labels` be one more than the highest" in said[0]


def test_a_wrong_number_of_channels_says_what_the_file_has(tmp_path: Path, spec: Make) -> None:
    save(tmp_path / "x.tif", noise(7, 8))
    with pytest.raises(UserError, match=r"x\.tif: .*5 channels.*has 7"):
        fixed(spec(layout="unlabelled", root=tmp_path, crop=8, channels=5), "train", 1)


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [{"a": 1, "b": 3}, {"a": 3, "b": {"palette": PALETTE}}, {"a": 4, "b": 4}], ids=str)
def test_side_by_side_is_cut_for_every_look(
    channels: Any, bits: int, direction: str, tmp_path: Path, spec: Make
) -> None:
    deep = 4 if channels["a"] == 4 else 3
    left, right = noise(deep, 8, key=1), noise(deep, 8, key=2)
    if "palette" in str(channels):
        left = right = np.ascontiguousarray(COLOURS[NUMBERS])
    both = np.concatenate([left, right[:, ::-1]], axis=1)
    save(tmp_path / "both/x.png", both)
    save(tmp_path / "apart/A/x.png", both[:, :8])
    save(tmp_path / "apart/B/x.png", both[:, 8:])
    more = {"channels": channels, "bits": bits, "direction": direction}
    together = fixed(paired(spec, tmp_path / "both", **more), "train", 1)
    apart = fixed(paired(spec, tmp_path / "apart", **more), "train", 1)
    assert torch.equal(together[0], apart[0])
    assert torch.equal(together[1], apart[1])
    assert together[0].shape[1] == channels["a"]


def test_unpaired_sides_have_looks_of_their_own(tmp_path: Path, spec: Make) -> None:
    for place in range(2):
        save(tmp_path / f"trainA/{place}.npy", noise(7, 16, key=place))
    for place in range(3):
        save(tmp_path / f"trainB/{place}.png", NUMBERS[:, :, None])
    told = spec(
        layout="unpaired", root=tmp_path, crop=8, flip=False, bits=16, channels={"a": 7, "b": {"labels": 5}},
        split=WHOLE,
    )  # fmt: skip
    batches = list(in_order(told, "train", 2))
    assert [(len(a), len(b)) for a, b in batches] == [(2, 2), (0, 1)]
    assert batches[1][0].shape == (0, 7, 8, 8)
    assert np.array_equal(bytes_of(batches[0][0], 16)[1], noise(7, 16, key=1))
    assert np.array_equal(classes_of(batches[1][1])[0], NUMBERS)
    a, b = next(Batches(told, batch=2))
    assert (a.shape[1], b.shape[1]) == (7, 5)


def test_labelled_pictures_of_many_channels_keep_their_labels(tmp_path: Path, spec: Make) -> None:
    for name in "xy":
        save(tmp_path / name / "0.npy", noise(5, 16))
    told = spec(layout="labelled", root=tmp_path, crop=8, channels=5, bits=16, split=WHOLE)
    x, y = fixed(told, "train", 2)
    assert x.shape == (2, 5, 8, 8)
    assert y.tolist() == [0, 1]


def test_edges_are_drawn_from_deep_photos_alike(tmp_path: Path, spec: Make) -> None:
    step = np.full((16, 16, 3), 60, np.uint8)
    step[:, 9:] = 200
    save(tmp_path / "x.png", step)
    told = [paired(spec, tmp_path, crop=16, derive={"a": "edges"}, bits=bits) for bits in (8, 16)]
    (shallow, _), (deep, photo) = (fixed(each, "train", 1) for each in told)
    assert torch.equal(shallow, deep)
    assert set(deep.unique().tolist()) == {-1, 1}
    assert np.array_equal(bytes_of(photo, 16)[0], step.astype(np.uint16) * 257)


@pytest.mark.parametrize("look", [3, {"labels": 5}])
def test_a_member_of_a_shard_is_read_as_a_file(look: Any, tmp_path: Path, spec: Make) -> None:
    files = {"A": noise(3, 8), "B": NUMBERS[:, :, None]}
    for side, pixels in files.items():
        save(tmp_path / side / "x.png", pixels)
    told = paired(spec, tmp_path, channels={"b": look}, skip=0)
    split = open_split(told, "train")
    plain = item(told, split, 0, 0, None)
    contents = [side[0].read_bytes() for side in split.files]  # type: ignore[union-attr]
    (tmp_path / "shard").write_bytes(b"xyz" + contents[0] + contents[1] + contents[0][:9])
    places = [(3, len(contents[0])), (3 + len(contents[0]), len(contents[1])), (3 + sum(map(len, contents)), 9)]
    members = [Member(str(tmp_path / "shard"), f"{place}.png", *span) for place, span in enumerate(places)]
    object.__setattr__(split, "files", tuple([member] for member in members[:2]))
    for one, other in zip(item(told, split, 0, 0, None), plain, strict=True):
        assert np.array_equal(one, other)
    object.__setattr__(split, "files", ([members[2]], [members[1]]))
    with pytest.raises(Unusable, match=r"shard!2\.png: the picture is damaged") as caught:
        item(told, split, 0, 0, None)
    assert caught.value.path == members[2]


def test_deep_pictures_shrink_as_shallow_ones_do() -> None:
    smooth = np.asarray(Image.fromarray(noise(3, 8, 12, 16)).resize((160, 120), Image.Resampling.BICUBIC))
    for size in (30, 77, 200):
        shallow = resize(smooth, size, "shorter").astype(int)
        deep = resize(smooth.astype(np.uint16) * 257, size, "shorter")
        assert deep.dtype == np.uint16
        assert deep.flags.c_contiguous
        assert np.abs(deep / 257 - shallow).max() <= 2.5  # bytes are rounded after each direction
        assert np.abs(deep / 257 - shallow).mean() < 0.3


def test_resizing_keeps_within_black_and_white() -> None:
    steps = np.zeros((20, 20, 1), np.uint16)
    steps[:, 10:] = 65535  # a cubic kernel swings over
    assert np.unique(resize(steps, 41, "stretch"))[[0, -1]].tolist() == [0, 65535]
    assert (np.diff(resize(steps, 41, "stretch")[0, :, 0].astype(int))[[0, -1]] == 0).all()


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_channels_are_resized_each_by_itself(channels: int) -> None:
    pixels = noise(channels, 8, 40, 50)
    together = resize(pixels, 23, "stretch")
    for place in range(channels):
        assert np.array_equal(together[:, :, place], resize(pixels[:, :, place : place + 1], 23, "stretch")[:, :, 0])


def test_an_animation_is_read_by_its_first_frame(tmp_path: Path, spec: Make) -> None:
    frames = [Image.fromarray(noise(4, 8, key=key)) for key in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    (tmp_path / "x.png").write_bytes(file.getvalue())
    for bits, channels in ((8, 4), (16, 3), (16, 4)):
        told = spec(layout="unlabelled", root=tmp_path, crop=8, channels=channels, bits=bits)
        given = bytes_of(fixed(told, "train", 1), bits)
        assert given.shape == (1, 8, 8, channels)
        if channels == 4:
            assert np.array_equal(given[0] // (1 if bits == 8 else 257), noise(4, 8))


def test_a_cached_map_is_the_map(tmp_path: Path, spec: Make) -> None:
    """Odd numbers of bytes before 16-bit pixels in the cache's file."""
    for place in range(3):
        save(tmp_path / f"A/{place}.png", (NUMBERS[:7, :7, None] + place) % 5)
        write(tmp_path / f"B/{place}.png", noise(3, 8, 7, 7, key=place))
    told = paired(spec, tmp_path, crop=7, channels={"a": {"labels": 5}}, bits=16, flip=True)
    first, second = (list(islice(Batches(told, batch=3), 3)) for _ in range(2))
    for (a, b), (x, y) in zip(first, second, strict=True):
        assert torch.equal(a, x)
        assert torch.equal(b, y)
