"""Tensors → pictures for people: grids with titled rows, scatter plots of points, curves."""

import io
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

SMALLEST = 96  # pixels: narrower pictures are enlarged, so that people can see what is there
TITLE = 90  # pixels for the titles on the left


def to_uint8(pictures: Tensor) -> Tensor:
    """n c h w float in [-1, 1] → n c h w uint8."""
    return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def grid(rows: Mapping[str, Tensor]) -> Image.Image:
    """Titled rows of pictures above each other, one column a picture; each row n c h w in [-1, 1], grey or RGB, all of
    one n, h, w."""
    tall = torch.stack([to_uint8(row).cpu().expand(-1, 3, -1, -1) for row in rows.values()])  # rows n 3 h w
    sheet = tile(tall.flatten(0, 1), tall.shape[1], SMALLEST)
    canvas = Image.new("RGB", (TITLE + sheet.width, sheet.height), "white")
    canvas.paste(sheet, (TITLE, 0))
    draw, height, font = ImageDraw.Draw(canvas), sheet.height / len(rows), ImageFont.load_default(14)
    for i, title in enumerate(rows):
        draw.text((TITLE - 6, (i + 0.5) * height), title, fill="black", font=font, anchor="rm")
    return canvas


def sheet(pictures: Tensor) -> Image.Image:
    """n c h w in [-1, 1] → one picture, about as wide as high, in reading order."""
    return tile(to_uint8(pictures).cpu(), math.ceil(math.sqrt(len(pictures))), SMALLEST // 2)


def tile(pictures: Tensor, across: int, smallest: int) -> Image.Image:
    """n c h w uint8 → `across` of them in a line; those narrower than `smallest` are enlarged, unsmoothed."""
    scale = math.ceil(smallest / pictures.shape[-1])
    enlarged = pictures.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)
    return Image.fromarray(make_grid(enlarged, nrow=across, padding=4, pad_value=255).permute(1, 2, 0).numpy())


def scatter(clouds: Mapping[str, Tensor]) -> Image.Image:
    """Clouds of 2-D points, each n 2, over each other in one square plot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    for title, points in clouds.items():
        x, y = points.cpu().T
        axes.scatter(x, y, s=6, alpha=0.5, label=title, linewidths=0)
    limit = 1.25 * float(next(iter(clouds.values())).abs().max())
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axes.legend(loc="upper right")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    return Image.open(buffer).convert("RGB")


def curves(steps: Sequence[int], lines: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """One panel for each group of lines, side by side, as an SVG element."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * max(1, len(lines)), 3.2), layout="constrained")
    for panel, (title, group) in zip(figure.subplots(1, len(lines), squeeze=False)[0], lines.items(), strict=True):
        for name, values in group.items():
            panel.plot(steps, np.asarray(values, dtype=float), label=name, linewidth=1.2)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("step", fontsize=9)
        panel.grid(alpha=0.25)
        panel.legend(fontsize=8, frameon=False)
    buffer = io.StringIO()
    # Without the metadata (a date, and addresses of vocabularies) and the namespaces, which HTML knows by itself.
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    return re.sub(r' xmlns(:\w+)?="[^"]*"', "", text[text.index("<svg") :])
