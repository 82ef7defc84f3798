"""Examples → one picture: bands of columns, with titled rows and a line over each column where there is one to tell."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from i2i.engine.pictures import to_uint8
from i2i.publishing.examples import Example

MARGIN = 14  # pixels
SMALLEST = 112  # pixels: narrower pictures are enlarged by a whole number, unsmoothed
WIDTH = 1120  # pixels, about, of the pictures in a band
TITLES, GAP, BAND, CAPTION = 92, 6, 26, 22  # pixels
FONT, SMALL = 15, 13
INK, QUIET = "#16181d", "#6a7078"


def columns(side: int) -> int:
    """How many pictures of this width lie in a band."""
    return max(3, min(8, WIDTH // (_scale(side) * side + GAP)))


def sheet(bands: Sequence[tuple[str, Sequence[Example]]], captions: bool = False) -> Image.Image:
    """A heading ('' for none) and examples for each of several directions; `captions`: the score over each column."""
    drawn = [_band(title if i == 0 else "", some, captions) for title, examples in bands
             for i, some in enumerate(_parts(examples))]  # fmt: skip
    width, height = max(band.width for band in drawn), sum(band.height + BAND for band in drawn) - BAND
    canvas, top = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN), "white"), MARGIN
    for band in drawn:
        canvas.paste(band, (MARGIN, top))
        top += band.height + BAND
    return canvas


def save(picture: Image.Image, path: Path) -> None:
    """As JPEG with whole colours: thin coloured lines would bleed into each other."""
    picture.save(path, quality=90, subsampling=0, optimize=True)


def _parts(examples: Sequence[Example]) -> list[Sequence[Example]]:
    across = columns(examples[0].input.shape[-1])
    return [examples[i : i + across] for i in range(0, len(examples), across)]


def _band(title: str, examples: Sequence[Example], captions: bool) -> Image.Image:
    rows: dict[str, list[Tensor]] = {
        "input": [each.input for each in examples],
        "translated": [each.translated for each in examples],
        "truth": [each.truth for each in examples if each.truth is not None],
    }
    rows = {name: pictures for name, pictures in rows.items() if pictures}
    cells = {name: [_enlarged(picture) for picture in pictures] for name, pictures in rows.items()}
    width, height = cells["input"][0].size
    above = (BAND if title else 0) + (CAPTION if captions else 0)
    canvas = Image.new(
        "RGB", (TITLES + len(examples) * (width + GAP) - GAP, above + len(cells) * (height + GAP) - GAP), "white"
    )
    draw, font, small = ImageDraw.Draw(canvas), ImageFont.load_default(FONT), ImageFont.load_default(SMALL)
    if title:
        draw.text((TITLES, 0), title, fill=INK, font=font)
    for j, example in enumerate(examples if captions else ()):
        middle = TITLES + j * (width + GAP) + width // 2
        draw.text((middle, above - 5), f"{example.value:.3f}", fill=QUIET, font=small, anchor="ms")
    for i, (name, pictures) in enumerate(cells.items()):
        top = above + i * (height + GAP)
        draw.text((TITLES - 10, top + height // 2), name, fill=QUIET, font=font, anchor="rm")
        for j, picture in enumerate(pictures):
            canvas.paste(picture, (TITLES + j * (width + GAP), top))
    return canvas


def _scale(side: int) -> int:
    return math.ceil(SMALLEST / side)


def _enlarged(picture: Tensor) -> Image.Image:
    pixels = to_uint8(torch.as_tensor(picture)[None])[0].permute(1, 2, 0).numpy()
    scale = _scale(pixels.shape[1])
    return Image.fromarray(pixels).resize((pixels.shape[1] * scale, pixels.shape[0] * scale), Image.Resampling.NEAREST)
