import numpy as np
import pytest
import torch

from i2i.engine.pictures import INK, SMALLEST, TITLE, curves, grid, scatter, sheet, thinned, to_uint8

PAD = 4


def test_the_ends_of_the_range_become_black_and_white_and_what_lies_beyond_is_clipped() -> None:
    values = torch.tensor([-1.0, 1.0, 0.0, -3.0, 3.0]).view(1, 1, 1, 5)
    assert to_uint8(values).flatten().tolist() == [0, 255, 128, 0, 255]


def test_every_uint8_survives_the_way_to_floats_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(pixels.float() / 127.5 - 1), pixels)


def test_a_grid_has_a_row_for_each_title_and_a_column_for_each_picture() -> None:
    rows = {"black": torch.full((5, 1, 32, 32), -1.0), "red": torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1)}
    rows["red"] = rows["red"].expand(5, 3, 32, 32)
    image = np.asarray(grid(rows))
    assert image.shape == (2 * (SMALLEST + PAD) + PAD, TITLE + 5 * (SMALLEST + PAD) + PAD, 3)
    for column in range(5):
        x = TITLE + PAD + column * (SMALLEST + PAD) + SMALLEST // 2
        assert image[PAD + SMALLEST // 2, x].tolist() == [0, 0, 0]
        assert image[2 * PAD + SMALLEST + SMALLEST // 2, x].tolist() == [255, 0, 0]


def test_the_titles_are_drawn_beside_their_rows() -> None:
    image = np.asarray(grid({"upper": torch.ones(1, 1, 96, 96), "": torch.ones(1, 1, 96, 96)}))[:, :TITLE]
    half = len(image) // 2
    assert image[:half].min() < 100
    assert image[half:].min() == 255


def test_a_sheet_is_about_square_and_in_reading_order() -> None:
    pictures = torch.linspace(-1, 1, 5).view(5, 1, 1, 1).expand(5, 1, 48, 48)
    image = np.asarray(sheet(pictures))[..., 0]
    assert image.shape == (2 * 52 + 4, 3 * 52 + 4)
    assert [int(image[28, 28]), int(image[28, 80]), int(image[28, 132]), int(image[80, 28])] == [0, 64, 128, 191]


def test_points_far_out_are_still_in_the_plot() -> None:
    near, far = (scatter({"points": torch.tensor([[1.0, 1.0], [-1.0, -1.0]]) * size}) for size in (1, 1000))
    assert near.size == far.size
    blue = [(np.asarray(image)[..., 2] > np.asarray(image)[..., 0].astype(int) + 40).sum() for image in (near, far)]
    assert min(blue) > 10


def test_curves_have_a_panel_for_each_player_and_name_each_loss_in_the_pages_own_ink() -> None:
    nan = float("nan")
    svg = curves({"generator": {"l1": ([1, 2], [2.0, 1.0])}, "discriminator": {"real": ([1, 2], [1.0, nan])}}, best=2)
    assert svg.startswith("<svg")
    assert "http" not in svg
    assert all(f">{word}</text>" in svg for word in ("generator", "l1", "discriminator", "real"))
    assert "currentColor" in svg
    assert INK not in svg
    assert "DejaVu" not in svg


def test_the_best_step_is_marked_in_each_panel() -> None:
    groups = {name: {name: ([1, 2, 3], [2.0, 1.0, 3.0])} for name in ("fid", "kid", "cycle", "diversity")}
    marked, plain = curves(groups, best=2), curves(groups)
    assert marked.count("stroke-dasharray") == plain.count("stroke-dasharray") + 4
    assert marked.count("<use") == plain.count("<use") + 4


def test_a_long_run_is_drawn_with_few_points_that_keep_its_mean() -> None:
    steps, values = list(range(10, 20_010, 10)), np.random.default_rng(0).random(2000).tolist()
    x, y = thinned(steps, values, most=500)
    assert len(x) == len(y) == 500
    assert x[0] == np.mean(steps[:4])
    assert y[-1] == pytest.approx(np.mean(values[-4:]))
    assert y.mean() == pytest.approx(np.mean(values))
    short = thinned(steps[:7], values[:7])
    assert short[0].tolist() == steps[:7]
    assert short[1].tolist() == values[:7]
    x, y = thinned(steps[:1999], values[:1999], most=500)
    assert len(x) == 500
    assert x[-1] == np.mean(steps[1996:1999])  # the last mean is of three
    assert y[-1] == pytest.approx(np.mean(values[1996:1999]))
