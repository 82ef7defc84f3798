"""Tiles: every pixel where its name says, pairs at the same places, sheets larger than memory in bands."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.data import Data, open_split
from i2i.data.make import bands as banding
from i2i.data.make.bands import Mapped, Segments, Whole, bands
from i2i.data.make.pixels import plain, put, stored
from i2i.data.make.tiles import Grid, content, tiles
from i2i.errors import UserError
from i2i.images import read, write

Scene = Callable[..., np.ndarray]


def place(path: Path) -> tuple[int, int]:
    """The upper left corner that a name tells."""
    *_, y, x = path.stem.split("_")
    return int(y[1:]), int(x[1:])


def test_tiles_are_where_their_names_say(tmp_path: Path, scene: Scene) -> None:
    picture = scene(0, 50, 70)
    write(tmp_path / "in" / "deep" / "map.png", picture)
    made = tiles(tmp_path / "in", tmp_path / "out", Grid(20, 10))
    found = sorted((tmp_path / "out" / "deep").iterdir())
    assert len(found) == 4 * 6 == made.files
    assert found[0].name == "map_y00000_x00000.png"
    for path in found:
        y, x = place(path)
        assert (read(path) == picture[y : y + 20, x : x + 20]).all()


@pytest.mark.parametrize(
    ("size", "stride", "rest", "length", "expected"),
    [
        (4, 4, "drop", 10, [(0, 4), (4, 8)]),
        (4, 4, "keep", 10, [(0, 4), (4, 8), (8, 10)]),
        (4, 4, "shift", 10, [(0, 4), (4, 8), (6, 10)]),
        (4, 2, "drop", 9, [(0, 4), (2, 6), (4, 8)]),
        (4, 2, "keep", 9, [(0, 4), (2, 6), (4, 8), (6, 9), (8, 9)]),
        (4, 2, "shift", 9, [(0, 4), (2, 6), (4, 8), (5, 9)]),
        (4, 6, "drop", 12, [(0, 4), (6, 10)]),
        (4, 4, "keep", 8, [(0, 4), (4, 8)]),
        (4, 4, "drop", 3, []),
        (4, 4, "shift", 3, []),
        (4, 4, "keep", 3, [(0, 3)]),
    ],
)
def test_where_tiles_are(size: int, stride: int, rest: str, length: int, expected: list[tuple[int, int]]) -> None:
    assert Grid(size, stride, rest).along(length) == expected


def test_sides_and_conditions_are_cut_at_the_same_places(
    tmp_path: Path, scene: Scene, spec: Callable[..., Data]
) -> None:
    picture = scene(1, 64)
    picture[:, :32] = 40  # nothing there
    for side, pixels in (("A", 255 - picture), ("B", picture), ("mask", picture[:, :, :1] // 2)):
        put(tmp_path / "in" / f"train{side}" / "1.png", pixels, plain(pixels), False)
    made = tiles(tmp_path / "in", tmp_path / "out", Grid(16, content=0.1))
    assert (made.sources, made.files) == (1, 3 * 8)
    split = open_split(
        spec(layout="paired", root=tmp_path / "out", crop=16, condition=["mask"], split={"val": 0, "test": 0}), "train"
    )
    assert len(split) == 8
    for a, b, mask in zip(*split.files, strict=True):
        assert (read(Path(str(a))) == 255 - read(Path(str(b)))).all()
        assert (read(Path(str(mask)), 1) == read(Path(str(b)))[:, :, :1] // 2).all()


def test_a_tile_needs_content_on_both_sides(tmp_path: Path, scene: Scene) -> None:
    a, b = scene(2, 32), scene(3, 32)
    a[:16], b[:, :16] = 255, 0
    write(tmp_path / "in" / "A" / "1.png", a)
    write(tmp_path / "in" / "B" / "1.png", b)
    tiles(tmp_path / "in", tmp_path / "out", Grid(16, content=0.2))
    assert [path.name for path in (tmp_path / "out" / "A").iterdir()] == ["1_y00016_x00016.png"]
    assert [path.name for path in (tmp_path / "out" / "B").iterdir()] == ["1_y00016_x00016.png"]


def test_a_condition_may_be_blank(tmp_path: Path, scene: Scene) -> None:
    for side, pixels in (("A", scene(2, 32)), ("B", scene(3, 32)), ("mask", np.zeros((32, 32, 1), np.uint8))):
        put(tmp_path / "in" / f"train{side}" / "1.png", pixels, plain(pixels), False)
    assert tiles(tmp_path / "in", tmp_path / "out", Grid(16, content=0.2)).files == 12


def test_content_is_what_differs_from_the_background() -> None:
    tile = np.full((10, 10, 3), 200, np.uint8)
    tile[:3, :, 1] = 100
    tile[5:, :, 2] = 205  # within the noise
    assert content(tile) == 0.3
    assert content(tile.astype(np.uint16) * 257) == 0.3


def test_pairs_of_two_sizes_and_small_pictures_are_told(tmp_path: Path, scene: Scene) -> None:
    write(tmp_path / "in" / "A" / "1.png", scene(0, 20))
    write(tmp_path / "in" / "B" / "1.png", scene(0, 21))
    assert "20×20, 21×21" in tiles(tmp_path / "in", tmp_path / "o", Grid(8)).skipped[0][1]
    write(tmp_path / "small" / "1.png", scene(0, 20))
    assert "smaller than a tile" in tiles(tmp_path / "small", tmp_path / "p", Grid(32)).skipped[0][1]
    assert tiles(tmp_path / "small", tmp_path / "q", Grid(32, rest="keep")).files == 1


def test_a_damaged_picture_loses_itself_alone(tmp_path: Path, scene: Scene) -> None:
    for name in ("1", "2", "3"):
        write(tmp_path / "in" / f"{name}.png", scene(int(name), 40))
    whole = (tmp_path / "in" / "2.png").read_bytes()
    (tmp_path / "in" / "2.png").write_bytes(whole[: len(whole) // 2])
    made = tiles(tmp_path / "in", tmp_path / "out", Grid(10))
    assert [path.name for path, _ in made.skipped] == ["2.png"]
    assert (made.sources, made.files) == (2, 32)


def test_a_map_keeps_its_palette_and_its_numbers(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 5, (20, 20), dtype=np.uint8)
    picture = Image.fromarray(numbers)
    picture.putpalette(list(range(15)))
    (tmp_path / "in").mkdir()
    picture.save(tmp_path / "in" / "map.png")
    tiles(tmp_path / "in", tmp_path / "out", Grid(10))
    with Image.open(tmp_path / "out" / "map_y00010_x00000.png") as tile:
        assert tile.mode == "P"
        assert (np.asarray(tile) == numbers[10:, :10]).all()


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "told",
    [{}, {"tile": (32, 48)}, {"rowsperstrip": 7}, {"compression": "zlib", "rowsperstrip": 16, "predictor": True},
     {"compression": "zlib", "tile": (16, 16)}],
    ids=str,
)  # fmt: skip
def test_large_tiffs_in_bands_give_the_same_rows(
    tmp_path: Path, channels: int, dtype: type, told: dict[str, object]
) -> None:
    pixels = np.random.default_rng(channels).integers(0, np.iinfo(dtype).max + 1, (70, 90, channels)).astype(dtype)
    rgb = {"photometric": "rgb"} if channels in (3, 4) else {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "x.tif", pixels if channels > 1 else pixels[:, :, 0], **rgb, **told)
    sheet = bands(tmp_path / "x.tif", whole=100)
    assert isinstance(sheet, Segments)
    assert (sheet.kind.height, sheet.kind.width, sheet.kind.channels) == (70, 90, channels)
    for top, bottom in ((0, 70), (0, 1), (13, 40), (69, 70), (31, 33)):
        assert (sheet.rows(top, bottom) == pixels[top:bottom]).all()
    assert isinstance(bands(tmp_path / "x.tif", whole=10**6), Whole)


def test_arrays_are_read_where_they_lie(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 30, 5)).astype(np.uint16)
    np.save(tmp_path / "x.npy", pixels)
    sheet = bands(tmp_path / "x.npy", whole=100)
    assert isinstance(sheet, Mapped)
    assert (sheet.rows(10, 20) == pixels[10:20]).all()


def test_a_sheet_larger_than_memory_is_cut_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "x.tif", pixels, tile=(64, 64), compression="zlib", photometric="rgb")
    monkeypatch.setattr(banding, "exact", lambda path: pytest.fail("it was decoded whole"))
    made = tiles(tmp_path / "in", tmp_path / "out", Grid(100), whole=1000)
    assert made.files == 6
    assert (stored(tmp_path / "out" / "x_y00100_x00200.png").pixels == pixels[100:, 200:]).all()


def test_a_damaged_segment_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", pixels, rowsperstrip=8, compression="zlib", photometric="rgb")
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        offset = file.pages[0].dataoffsets[4]  # type: ignore[union-attr]
    content = bytearray((tmp_path / "x.tif").read_bytes())
    content[offset : offset + 50] = b"\xff" * 50
    (tmp_path / "x.tif").write_bytes(content)
    sheet = bands(tmp_path / "x.tif", whole=100)
    assert (sheet.rows(0, 32) == pixels[:32]).all()
    with pytest.raises(UserError, match=r"x\.tif.*damaged"):
        sheet.rows(30, 40)


def test_grids_that_make_no_sense_are_refused() -> None:
    for told in ({"size": 0}, {"stride": 0}, {"rest": "eat"}, {"content": 2.0}):
        with pytest.raises(UserError, match="expected a size"):
            Grid(**told)  # type: ignore[arg-type]
