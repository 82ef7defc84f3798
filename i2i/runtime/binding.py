"""Running a session where it lives: pictures go to the device once, and come back once.

A GPU that replays recorded work, and TensorRT, want fixed sizes. Padding pictures to some coarser grid would change
them: instance normalisation takes its statistics over the padding, and reflections at the border move. The only padding
that changes nothing is the one the exported graph does itself, to the network's multiple by edge pixels; so that is the
grid, and the last few sizes are kept. GPUs: not measured; on the CPU the results are equal bit for bit.
Shapes: n pictures, h height, w width; a float32 model has its channels before, the others after h and w.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock

import numpy as np
import onnxruntime as ort

Compute = Callable[[np.ndarray], np.ndarray]
MOST = 4  # sizes kept at once: each has a session with its own weights and buffers on the device


def runner(
    session: ort.InferenceSession,
    device: str,
    reopen: Callable[[Mapping[str, int]], ort.InferenceSession],
    *,
    multiple: int = 1,
    minimum: int = 1,
    graphs: bool = False,
) -> Compute:
    """pictures → translations, on the device that the session has got. `reopen(sizes)`: the same model with these
    lengths for its free dimensions. `multiple`, `minimum`: of the network's sides. `graphs`: record runs on cuda."""
    if device == "tensorrt" or (device == "cuda" and graphs):
        return BySize(session, reopen, place(device), multiple=multiple, minimum=minimum)
    return partial(run, session, device)


def run(session: ort.InferenceSession, device: str, x: np.ndarray) -> np.ndarray:
    """The session's one output for its one input; raises what onnxruntime raises (`providers.FAILURES`)."""
    source, target = session.get_inputs()[0].name, session.get_outputs()[0].name
    if device == "cpu":
        (y,) = session.run([target], {source: x})
        return np.asarray(y)
    return bound_run(session, place(device), x)


def bound_run(session: ort.InferenceSession, where: str, x: np.ndarray) -> np.ndarray:
    """As `run`, with input and output in the memory of `where`: cpu or cuda."""
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, _value(x, where))
    binding.bind_output(session.get_outputs()[0].name, where, 0)
    session.run_with_iobinding(binding)
    (y,) = binding.copy_outputs_to_cpu()
    return np.asarray(y)


def place(device: str) -> str:
    """The memory that a device computes in. Always the first one; CUDA_VISIBLE_DEVICES says which GPU that is."""
    return "cpu" if device == "cpu" else "cuda"


def padded(side: int, multiple: int, minimum: int) -> int:
    """The length that an exported graph pads a side to."""
    return -(-max(side, minimum) // multiple) * multiple


@dataclass(frozen=True)
class Fixed:
    """A session for one size, with buffers that never move: recorded work refers to them by their addresses."""

    session: ort.InferenceSession
    binding: ort.IOBinding
    x: ort.OrtValue
    y: ort.OrtValue

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.x.update_inplace(x)
        self.session.run_with_iobinding(self.binding)
        return np.array(self.y.numpy())  # a copy: the next run overwrites the buffer


class BySize:
    """pictures → translations through one session a size; of the sizes used last, `most` are kept. Safe for threads,
    which wait for each other."""

    def __init__(
        self,
        session: ort.InferenceSession,
        reopen: Callable[[Mapping[str, int]], ort.InferenceSession],
        where: str,
        *,
        multiple: int = 1,
        minimum: int = 1,
        most: int = MOST,
    ) -> None:
        self.reopen, self.where, self.most = reopen, where, most
        self.multiple, self.minimum = multiple, minimum
        self.input = tuple(session.get_inputs()[0].shape)  # free dimensions are names: batch, height, width
        self.output = tuple(session.get_outputs()[0].shape)
        self.kept: OrderedDict[tuple[int, ...], Fixed] = OrderedDict()
        self.lock = Lock()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        true = {name: length for name, length in zip(self.input, x.shape, strict=True) if isinstance(name, str)}
        grid = {
            name: length if name == "batch" else padded(length, self.multiple, self.minimum)
            for name, length in true.items()
        }
        more = [(0, grid.get(name, length) - length) for name, length in zip(self.input, x.shape, strict=True)]
        with self.lock:
            y = self._fixed(grid, x.dtype)(np.pad(x, more, mode="edge"))
        return y[tuple(slice(true.get(name)) for name in self.output)]

    def _fixed(self, grid: Mapping[str, int], dtype: np.dtype) -> Fixed:
        key = tuple(grid.values())
        if key not in self.kept:
            while len(self.kept) >= self.most:  # before the new one: two would not fit where one just does
                self.kept.popitem(last=False)
            self.kept[key] = self._open(grid, dtype)
        self.kept.move_to_end(key)
        return self.kept[key]

    def _open(self, grid: Mapping[str, int], dtype: np.dtype) -> Fixed:
        session = self.reopen(grid)
        shapes = [[grid.get(name, name) for name in value] for value in (self.input, self.output)]
        x = _value(np.zeros(shapes[0], dtype), self.where)
        y = ort.OrtValue.ortvalue_from_shape_and_type(shapes[1], dtype, self.where, 0)  # of the input's type, always
        binding = session.io_binding()
        binding.bind_ortvalue_input(session.get_inputs()[0].name, x)
        binding.bind_ortvalue_output(session.get_outputs()[0].name, y)
        return Fixed(session, binding, x, y)


def _value(x: np.ndarray, where: str) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x), where, 0)
