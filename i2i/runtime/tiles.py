"""Pictures of any size through a model within a fixed memory: in tiles that overlap, with seams that do not show.

Whether a picture is cut, and where, depends on its size, the model and `memory` alone, never on what a machine has
free: the same picture becomes the same picture everywhere. Tiles take several times as long as the whole, so pictures
are left whole up to more memory than is used once they are cut.

What makes tiles equal to the whole:
- Their places are multiples of the model's, so strided layers drop the same pixels.
- They overlap, since near its border a tile does not see what the whole picture sees there. Over the middle of an
  overlap one tile fades into the next, before anything is rounded.
- Their norms share the statistics of the whole picture: i2i.runtime.agreement.
A U-Net sees through its innermost level further than tiles overlap, and differs a little for what lies far away.
Shapes: h w height and width, c channels in, o channels out.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from i2i.errors import UserError
from i2i.runtime.agreement import ROUNDS
from i2i.runtime.grid import Cut, cuts, padded, piece, smaller, tile_sides
from i2i.runtime.model import Exported

if TYPE_CHECKING:
    from i2i.runtime.workshop import Workshop

WHOLE = 2**32  # bytes of activations that a whole picture may take
TILES = 3 * 2**28  # those of a tile; 8192² from file to file then stays below 2 GiB
# What onnxruntime takes, over the values that live at once: 1.4 to 3.3 times, with its convolutions' workspaces and an
# arena that grows by powers of two; `benchmarks/translate.py --part memory` measures it.
WORKSPACE = 4
OVERLAP = 64  # pixels: with more, no difference was measured for residual and compact generators, and little for U-Nets
LEAST = 2  # a tile's sides are so many overlaps, or more

Progress = Callable[[int, int], object]


def translate(
    model: Exported,
    picture: np.ndarray,
    *,
    memory: int | None = None,
    rounds: int = ROUNDS,
    progress: Progress | None = None,
) -> np.ndarray:
    """h w c → h w o, in the type the model was exported for.

    `memory`: bytes for activations; a picture that needs more is cut into tiles. If None, that is 4 GiB for a whole
    picture, and 768 MiB for tiles. `rounds`: how often, at most, all tiles are looked at before they are translated,
    so that their norms agree; 0 leaves it at a guess from a smaller picture, which is several times faster. `progress`:
    told after each tile how many of how many are done; it may raise, and nothing is left behind. Raises UserError as
    calling the model does, and when `memory` is too little for a single tile.
    """
    card = model.card
    if picture.ndim != 3 or 0 in picture.shape or picture.shape[2] != model.inputs or picture.dtype != model.dtype:
        return model(picture)  # which says what is wrong
    h, w = (padded(side, card.multiple, card.minimum) for side in picture.shape[:2])
    if h * w * card.memory * WORKSPACE <= (memory or WHOLE):
        return model(picture)
    from i2i.runtime.workshop import Workshop  # imports onnx: 0.2 s, which most pictures need not wait for

    workshop = Workshop(model)
    overlap = padded(OVERLAP, card.multiple, 1)
    pixels, least = _tile(model, workshop.size, overlap, memory or TILES)
    sides = tile_sides(h, w, pixels, least, card.multiple)
    rows, columns = (cuts(length, side, overlap, card.multiple) for length, side in zip((h, w), sides, strict=True))
    tick = _ticking(progress, len(rows) * len(columns), rounds if workshop.norms else 0)
    if workshop.norms:
        workshop.agree(picture, smaller(picture, pixels, card.multiple, card.minimum), rows, columns, rounds, tick)
    return _joined(workshop, picture, rows, columns, tick)


def _tile(model: Exported, weights: int, overlap: int, memory: int) -> tuple[int, int]:
    """How many pixels a tile may have, and the least side."""
    card = model.card
    least = padded(LEAST * overlap, card.multiple, card.minimum)
    # The session for tiles has the weights once more, as they are and as the kernels like them.
    pixels = (memory - 2 * weights) // (card.memory * WORKSPACE)
    if pixels < least**2:
        needed = -(-(least**2 * card.memory * WORKSPACE + 2 * weights) // 10**7) / 100
        raise UserError(
            f"{memory / 1e9:.2f} GB of memory are too little for this model, one tile of which ({least}×{least}) takes "
            f"{needed:.2f} GB. Give --memory {needed:.2f} or more."
        )
    return pixels, least


def _joined(
    workshop: "Workshop", picture: np.ndarray, rows: Sequence[Cut], columns: Sequence[Cut], tick: Callable[[], None]
) -> np.ndarray:
    """All tiles, faded into each other. Besides the result, only what overlaps the next tile or row is kept."""
    model = workshop.model
    out = np.empty((*picture.shape[:2], model.outputs), model.dtype)
    above: np.ndarray | None = None  # o rows columns: the end of the last row of tiles
    run = workshop.runner()
    for row, below in zip(rows, [*(row.start for row in rows[1:]), rows[-1].stop], strict=True):
        kept = np.empty((model.outputs, row.stop - below, columns[-1].stop), np.float32)
        left: np.ndarray | None = None  # o rows columns: the end of the last tile
        for column, right in zip(columns, [*(each.start for each in columns[1:]), columns[-1].stop], strict=True):
            tile = run(piece(picture, row, column))  # o h w, not rounded
            if left is not None:
                _fade(left, tile[:, :, : left.shape[2]], axis=2)
            left = tile[:, :, right - column.start :].copy()
            done = tile[:, :, : right - column.start]
            if above is not None:
                _fade(above[:, :, column.start : right], done[:, : above.shape[1]], axis=1)
            kept[:, :, column.start : right] = done[:, below - row.start :]
            _write(out, done[:, : below - row.start], row.start, column.start)
            tick()
        above = kept
    return out


def _fade(old: np.ndarray, new: np.ndarray, axis: int) -> None:
    """Into the beginning of `new`, the end of its neighbour that covers the same pixels: along `axis` a quarter of the
    old, a straight way from one to the other over the middle half, a quarter of the new. Nearest to its border a tile
    knows least, so these quarters are not used."""
    length = old.shape[axis]
    share = np.clip((np.arange(length, dtype=np.float32) + 0.5) / length * 2 - 0.5, 0, 1)  # of the new
    new += (old - new) * (1 - (share[:, None] if axis == 1 else share))


def _write(out: np.ndarray, done: np.ndarray, top: int, left: int) -> None:
    """o h w → its place in h w o, as whole numbers where the picture has such; what is only padding is left."""
    place = out[top : top + done.shape[1], left : left + done.shape[2]]
    values = done[:, : place.shape[0], : place.shape[1]].transpose(1, 2, 0)
    if out.dtype != np.float32:
        values = np.clip(np.rint(values), 0, np.iinfo(out.dtype).max)
    place[...] = values


def _ticking(progress: Progress | None, tiles: int, rounds: int) -> Callable[[], None]:
    """A function that is called after each tile. Rounds may be fewer than planned: then the last step is a long one."""
    done = 0
    total = tiles * (rounds + 1)

    def tick() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    return tick
