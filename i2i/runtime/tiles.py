"""Pictures of any size through a model within a fixed memory: in tiles that overlap, with seams that do not show.

Whether a picture is cut, and where, depends on its size, the model and `memory` alone, never on what a machine has
free: the same picture becomes the same picture everywhere.

What makes tiles equal to the whole:
- Their places are multiples of the model's, so strided layers drop the same pixels.
- They overlap, since near its border a tile does not see what the whole picture sees there. Across the middle of the
  overlap one fades into the other, before anything is rounded.
- Their norms share the statistics of the whole picture (`norms`), which are those of a smaller picture: every f-th
  pixel of every f-th row, so that one run holds it all. Other ways were measured (benchmarks/translate.py --statistics):
  those of tiles, averaged, are further away than those of the reduced whole, and passes over all tiles, each with the
  statistics of the last, move away from the truth before they come to it, since norms amplify each other's errors.
A U-Net sees through its innermost level further than any overlap: its tiles differ a little in what lies far away.
Shapes: h w height and width, c channels in, o channels out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from i2i.errors import UserError
from i2i.runtime.grid import Cut, cuts, padded, tile_sides
from i2i.runtime.model import Exported

if TYPE_CHECKING:
    import onnx

MEMORY = 2**30  # bytes of activations
WORKSPACE = 3  # what onnxruntime really takes, over the sum of the values that live at once: benchmarks/translate.py
OVERLAP = 64  # pixels; ...
LEAST = 2  # a tile's sides are at least so many overlaps

Progress = Callable[[int, int], object]


def translate(
    model: Exported, picture: np.ndarray, *, memory: int = MEMORY, progress: Progress | None = None
) -> np.ndarray:
    """h w c → h w o, in the type the model was exported for. `memory`: bytes for activations; a picture that needs more
    is cut into tiles. `progress`: told after each tile how many of how many are done.

    Raises UserError as calling the model does, and when `memory` is too little for a single tile.
    """
    card = model.card
    if picture.ndim != 3 or 0 in picture.shape or picture.shape[2] != model.inputs or picture.dtype != model.dtype:
        return model(picture)  # which says what is wrong
    h, w = (padded(side, card.multiple, card.minimum) for side in picture.shape[:2])
    if h * w * card.memory * WORKSPACE <= memory:
        return model(picture)
    return _tiled(model, picture, memory, progress)


def _tiled(model: Exported, picture: np.ndarray, memory: int, progress: Progress | None) -> np.ndarray:
    card, shape = model.card, picture.shape[:2]
    source = _source(model)
    # A second session for the tiles has the weights once more, as they are and as the kernels like them.
    pixels = (memory - 2 * len(source)) // (card.memory * WORKSPACE)
    overlap = padded(OVERLAP, card.multiple, 1)
    least = padded(LEAST * overlap, card.multiple, card.minimum)
    if pixels < least**2:
        needed = least**2 * card.memory * WORKSPACE + 2 * len(source)
        raise UserError(
            f"{memory / 2**20:.0f} MiB are too little for this model: one tile of {least}×{least} pixels takes "
            f"{needed / 2**20:.0f} MiB. Give at least --memory {-(-needed // 2**20)}M."
        )
    whole = padded(shape[0], card.multiple, card.minimum), padded(shape[1], card.multiple, card.minimum)
    sides = tile_sides(*whole, pixels, least, card.multiple)
    rows, columns = (cuts(length, side, overlap, card.multiple) for length, side in zip(whole, sides, strict=True))
    run = _runner(model, source, lambda: smaller(picture, pixels, card.multiple, card.minimum))
    del source
    out = np.empty((*shape, model.outputs), model.dtype)
    above: np.ndarray | None = None  # what the last row of tiles has below its part: o rows columns, float32
    for j, row in enumerate(rows):
        below = rows[j + 1].start if j + 1 < len(rows) else row.stop  # where the next row of tiles begins
        kept = np.empty((model.outputs, row.stop - below, whole[1]), np.float32)
        left: np.ndarray | None = None
        for i, column in enumerate(columns):
            tile = run(_piece(picture, row, column))  # o h w, not rounded
            right = columns[i + 1].start if i + 1 < len(columns) else column.stop
            if left is not None:
                _fade(left, tile[:, :, : left.shape[2]], 2)
            left = tile[:, :, right - column.start :].copy()
            done = tile[:, :, : right - column.start]
            if above is not None:
                _fade(above[:, :, column.start : right], done[:, : above.shape[1]], 1)
            kept[:, :, column.start : right] = done[:, below - row.start :]
            _write(out, done[:, : below - row.start], row.start, column.start)
            if progress:
                progress(j * len(columns) + i + 1, len(rows) * len(columns))
        above = kept
    return out


def _source(model: Exported) -> bytes:
    session = model.session  # onnxruntime tells what it was opened with only so
    return session._model_bytes or Path(session._model_path).read_bytes()


def smaller(picture: np.ndarray, pixels: int, multiple: int, minimum: int) -> np.ndarray:
    """The picture with so many pixels at most when it is padded: every f-th of every f-th row.

    Pixels are left out and not averaged, since an average has less contrast, and the first norm would see that.
    """
    h, w = picture.shape[:2]
    factor = max(h * w / pixels, 1) ** 0.5
    rows, columns = max(int(h / factor), 1), max(int(w / factor), 1)
    while padded(rows, multiple, minimum) * padded(columns, multiple, minimum) > pixels:
        if rows > columns:
            rows = max(rows - multiple, 1)
        else:
            columns = max(columns - multiple, 1)
    down, across = (np.arange(n) * length // n for n, length in ((rows, h), (columns, w)))
    return picture[down[:, None], across]


def _runner(
    model: Exported, source: bytes, reduced: Callable[[], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """A function h w c → o h w float32, that is in the range of the pixels but not yet whole."""
    import onnx  # 0.2 s, which most pictures need not wait for

    from i2i.runtime import norms

    graph = onnx.load_from_string(source)
    if norms.count(graph):
        names = norms.tell(graph)
        session = _session(model, graph)
        told = _run(session, names, _layout(model, reduced()))
        del session, graph  # its memory goes before the tiles need theirs
        graph = onnx.load_from_string(source)
        norms.settle(graph, [norms.Statistics(*pair) for pair in zip(told[::2], told[1::2], strict=True)])
    raw = norms.unround(graph)
    tiled = _session(model, graph)
    return lambda piece: _run(tiled, [raw], _layout(model, piece))[0][0]


def _session(model: Exported, graph: "onnx.ModelProto") -> ort.InferenceSession:
    """As the model's own, but for memory patterns, which would hold a second block as large as all values of a tile."""
    options = model.session.get_session_options()
    options.enable_mem_pattern = False
    providers = list(model.session.get_provider_options().items())
    return ort.InferenceSession(graph.SerializeToString(), options, providers=providers)


def _run(session: ort.InferenceSession, names: list[str], x: np.ndarray) -> list[np.ndarray]:
    try:
        return session.run(names, {"picture": x})
    except ort.capi.onnxruntime_pybind11_state.RuntimeException as problem:
        words = " ".join(str(problem).split())
        if "alloc" in words or "memory" in words:
            raise UserError("a tile is too large for this machine's memory; give a smaller --memory.") from None
        raise UserError(f"the model cannot be run on this picture: {words[:300]}") from None


def _layout(model: Exported, piece: np.ndarray) -> np.ndarray:
    """h w c → what the graph takes."""
    return np.ascontiguousarray((piece.transpose(2, 0, 1) if model.card.pixels == "float32" else piece)[None])


def _piece(picture: np.ndarray, row: Cut, column: Cut) -> np.ndarray:
    """The tile's pixels, with edge pixels repeated where it ends behind the picture, as the graph would do: all tiles
    of one size use the same memory."""
    piece = picture[row.start : row.stop, column.start : column.stop]
    behind = (row.stop - row.start - piece.shape[0], column.stop - column.start - piece.shape[1])
    return np.pad(piece, ((0, behind[0]), (0, behind[1]), (0, 0)), mode="edge") if any(behind) else piece


def _fade(old: np.ndarray, new: np.ndarray, axis: int) -> None:
    """Into the beginning of `new`, the end of its neighbour that covers the same pixels: along `axis` a quarter of the
    old, a straight way from one to the other over the middle half, a quarter of the new."""
    length = old.shape[axis]
    share = np.clip((np.arange(length, dtype=np.float32) + 0.5) / length * 2 - 0.5, 0, 1)
    weight = share[:, None] if axis == 1 else share
    new += (old - new) * (1 - weight)


def _write(out: np.ndarray, done: np.ndarray, top: int, left: int) -> None:
    """o h w → its place in h w o, as whole numbers where the picture has such; what is only padding is left."""
    place = out[top : top + done.shape[1], left : left + done.shape[2]]
    values = done[:, : place.shape[0], : place.shape[1]].transpose(1, 2, 0)
    if out.dtype != np.float32:
        values = np.clip(np.rint(values), 0, np.iinfo(out.dtype).max)
    place[...] = values
