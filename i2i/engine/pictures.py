"""Tensors → pictures for people: grids with titled rows, scatter plots of points, curves."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from i2i.data.looks import shown

SMALLEST = 96  # pixels: narrower pictures are enlarged, so that people can see what is there
TITLE = 90  # pixels for the titles on the left
INK = "#0a0b0c"  # stands for the colour of a page's text

Curve = tuple[Sequence[int], Sequence[float]]  # steps, values


def to_uint8(pictures: Tensor) -> Tensor:
    """n c h w float in [-1, 1] → n c h w uint8."""
    return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def grid(rows: Mapping[str, Tensor]) -> Image.Image:
    """Titled rows of pictures above each other, one column a picture; each row n c h w in [-1, 1], all of one n, h, w.
    One and two channels are shown as grey, of others the first three as red, green and blue."""
    tall = torch.stack([to_uint8(shown(row, [row.shape[1]])).cpu() for row in rows.values()])  # rows n 3 h w
    sheet = tile(tall.flatten(0, 1), tall.shape[1], SMALLEST)
    canvas = Image.new("RGB", (TITLE + sheet.width, sheet.height), "white")
    canvas.paste(sheet, (TITLE, 0))
    draw, height, font = ImageDraw.Draw(canvas), sheet.height / len(rows), ImageFont.load_default(14)
    for i, title in enumerate(rows):
        draw.text((TITLE - 6, (i + 0.5) * height), title, fill="black", font=font, anchor="rm")
    return canvas


def sheet(pictures: Tensor) -> Image.Image:
    """n c h w in [-1, 1] → one picture, about as wide as high, in reading order."""
    rgb = to_uint8(shown(pictures, [pictures.shape[1]])).cpu()
    return tile(rgb, math.ceil(math.sqrt(len(pictures))), SMALLEST // 2)


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


def curves(groups: Mapping[str, Mapping[str, Curve]], across: int = 3, best: int | None = None) -> str:
    """A panel for each group of lines, up to `across` in a row, as an SVG element in the page's own ink and font.

    groups: panel → line → (steps, values). `best`: a step to mark in each panel.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    across = max(2, min(across, len(groups)))
    down = math.ceil(len(groups) / across)
    parts = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    # Text stays text, and its colour is named by the page: one drawing serves a light and a dark one.
    theme: dict[Any, Any] = dict.fromkeys(parts, INK) | {"svg.fonttype": "none", "svg.hashsalt": "i2i", "font.size": 9}
    with rc_context(theme):
        figure = Figure(figsize=(4.2 * across, 2.6 * down), layout="constrained")
        cells = figure.subplots(down, across, squeeze=False).flat
        for (title, lines), panel in zip(groups.items(), cells, strict=False):
            for name, (steps, values) in lines.items():
                (line,) = panel.plot(*thinned(steps, values), label=name, linewidth=1.3)
                if best in steps:
                    panel.plot(best, values[steps.index(best)], "o", color=line.get_color(), markersize=5)
            if best is not None:
                panel.axvline(best, color=INK, alpha=0.5, linewidth=0.8, linestyle=":")
            panel.set_title(title, fontsize=10)
            panel.locator_params("x", nbins=5)
            panel.grid(alpha=0.15, color=INK)
            panel.spines[["top", "right"]].set_visible(False)
            if list(lines) != [title]:
                panel.legend(fontsize=8, frameon=False)
        for panel in cells:  # what is left of the last row
            panel.set_visible(False)
        buffer = io.StringIO()
        # Without the metadata (a date, addresses of vocabularies) and the namespaces, which HTML knows by itself.
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    text = buffer.getvalue()
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text[text.index("<svg") :])
    return re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text.replace(INK, "currentColor"))


def thinned(steps: Sequence[int], values: Sequence[float], most: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points: means over neighbours, so that a long run's page stays small and its trend visible."""
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    width = math.ceil(len(x) / most)
    if width <= 1:
        return x, y
    starts = np.arange(0, len(x), width)
    count = np.diff(np.append(starts, len(x)))
    return np.add.reduceat(x, starts) / count, np.add.reduceat(y, starts) / count
