"""An exported model taken apart for tiles: its graph with open norms, and the sessions that run it, one at a time.

A picture that is cut into tiles takes long, so its sessions are made anew for it; each is gone before the next one is
made, since each has all weights. Shapes: h w height and width, c channels in, o channels out.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

import numpy as np
import onnx
import onnxruntime as ort

from i2i.errors import UserError
from i2i.runtime import norms
from i2i.runtime.agreement import Statistics, agreed, pooled
from i2i.runtime.grid import Cut, piece
from i2i.runtime.model import Exported
from i2i.runtime.norms import CORE, SIDES, Norm

Run = Callable[[list[str], dict[str, np.ndarray]], list[np.ndarray]]


class Workshop:
    """`size`: bytes of the model's weights once they are open. `norms`: how many norms look at a whole picture."""

    def __init__(self, model: Exported) -> None:
        self.model = model
        self.source = model.file if isinstance(model.file, bytes) else model.file.read_bytes()
        graph = onnx.load_from_string(self.source)
        halves = sum(prod(each.dims) for each in graph.graph.initializer if each.data_type == onnx.TensorProto.FLOAT16)
        self.size = len(self.source) + 6 * halves  # 32 bits of them, and 16 weights of each 9 of a resize convolution
        self.norms = len(norms.norms(graph))
        self.statistics: list[Statistics] = []

    def agree(
        self,
        picture: np.ndarray,
        smaller: np.ndarray,
        rows: Sequence[Cut],
        columns: Sequence[Cut],
        rounds: int,
        tick: Callable[[], None],
    ) -> None:
        """Finds the statistics of the whole picture, with which every tile is then normalised."""

        def small(corrections: Sequence[Statistics]) -> list[Statistics]:
            graph = onnx.load_from_string(self.source)
            found = norms.corrected(graph)
            given = _named([norm.correction for norm in found], corrections)
            told = self._session(graph)(_names(found), given | self._layout(smaller))
            return list(zip(told[::2], told[1::2], strict=True))

        def large(statistics: Sequence[Statistics]) -> list[Statistics]:
            graph = onnx.load_from_string(self.source)
            found = norms.opened(graph)
            run, given = self._session(graph), _named([norm.own for norm in found], statistics)
            del graph  # with all weights
            told, areas = [], []
            for row, column in product(rows, columns):
                core = np.array([[row.first, column.first], [row.last, column.last]]) - (row.start, column.start)
                place = {CORE: core, SIDES: np.array([row.stop - row.start, column.stop - column.start])}
                told.append(run(_names(found), given | place | self._layout(piece(picture, row, column))))
                areas.append(float(np.prod(core[1] - core[0])))
                tick()
            return [
                pooled([(tile[2 * k], tile[2 * k + 1]) for tile in told], areas, mean)
                for k, (mean, _) in enumerate(statistics)
            ]

        self.statistics = agreed(small, large, self.norms, rounds)

    def runner(self) -> Callable[[np.ndarray], np.ndarray]:
        """A function h w c → o h w float32, in the range of the pixels but not yet whole."""
        graph = onnx.load_from_string(self.source)
        norms.settled(graph, self.statistics)
        raw = norms.unrounded(graph)
        run = self._session(graph)
        return lambda pixels: run([raw], self._layout(pixels))[0][0]

    def _session(self, graph: onnx.ModelProto) -> Run:
        """As the model's own, but with less memory: half, where norms tell what they see."""
        options = self.model.session.get_session_options()
        options.enable_mem_pattern = False  # a second block, as large as all values of a tile
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED  # else what is told is computed last, and all kept
        providers = list(self.model.session.get_provider_options().items())
        session = ort.InferenceSession(graph.SerializeToString(), options, providers=providers)

        def run(outputs: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
            try:
                return session.run(outputs, given)
            except ort.capi.onnxruntime_pybind11_state.RuntimeException as problem:
                words = " ".join(str(problem).split())
                if "alloc" in words or "memory" in words:
                    raise UserError("A tile is too large for this machine's memory; give a smaller --memory.") from None
                raise UserError(f"the model cannot be run on this picture: {words[:300]}") from None

        return run

    def _layout(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """h w c → what the graph takes."""
        x = pixels.transpose(2, 0, 1) if self.model.card.pixels == "float32" else pixels
        return {"picture": np.ascontiguousarray(x[None])}


def _names(found: Sequence[Norm]) -> list[str]:
    return [name for norm in found for name in norm.told]


def _named(names: Sequence[tuple[str, str]], values: Sequence[Statistics]) -> dict[str, np.ndarray]:
    pairs = zip(names, values, strict=True)
    return {name: np.asarray(value, np.float32) for pair in pairs for name, value in zip(*pair, strict=True)}
