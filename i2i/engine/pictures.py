"""Tensors → pictures for people: grids with titled columns, scatter plots of points, curves."""

import io
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

SMALLEST = 96  # pixels: smaller pictures are enlarged, unsmoothed, so that people can see what is there
TITLE = 22  # pixels for the titles


def to_uint8(pictures: Tensor) -> Tensor:
    """n c h w float in [-1, 1] → n c h w uint8."""
    return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def grid(columns: Mapping[str, Tensor]) -> Image.Image:
    """Rows of pictures under titled columns; each column n c h w in [-1, 1], grey or RGB, all of one n, h, w."""
    stacks = [to_uint8(column).cpu().expand(-1, 3, -1, -1) for column in columns.values()]
    scale = -(-SMALLEST // stacks[0].shape[-1])
    rows = torch.stack(stacks, dim=1).flatten(0, 1)  # n·columns 3 h w
    rows = rows.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)
    sheet = make_grid(rows, nrow=len(stacks), padding=4, pad_value=255)
    canvas = Image.new("RGB", (sheet.shape[2], sheet.shape[1] + TITLE), "white")
    canvas.paste(Image.fromarray(sheet.permute(1, 2, 0).numpy()), (0, TITLE))
    draw, width = ImageDraw.Draw(canvas), rows.shape[-1] + 4
    font = ImageFont.load_default(14)
    for i, title in enumerate(columns):
        draw.text((4 + i * width + width / 2, TITLE / 2), title, fill="black", font=font, anchor="mm")
    return canvas


def scatter(columns: Mapping[str, Tensor]) -> Image.Image:
    """Clouds of 2-D points, each n 2, over each other in one square plot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    for title, points in columns.items():
        x, y = points.cpu().T
        axes.scatter(x, y, s=6, alpha=0.5, label=title, linewidths=0)
    limit = 1.25 * float(next(iter(columns.values())).abs().max())
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


def sheet(pictures: Tensor) -> Image.Image:
    """n c h w in [-1, 1] → one picture, about as wide as high, in reading order."""
    scale = -(-SMALLEST // 2 // pictures.shape[-1])
    enlarged = to_uint8(pictures).cpu().repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)
    tiled = make_grid(enlarged, nrow=math.ceil(math.sqrt(len(pictures))), padding=4, pad_value=255)
    return Image.fromarray(tiled.permute(1, 2, 0).numpy())
