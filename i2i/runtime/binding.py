"""Running a session where it lives: pictures go to the device once, and come back once.

A GPU that replays recorded work, and TensorRT, want fixed sizes. Padding pictures to some coarser grid would change
them: instance normalisation takes its statistics over the padding, and reflections at the border move. The only padding
that changes nothing is the one the exported graph does itself, to the network's multiple by edge pixels; so that is the
grid, and the last few sizes are kept. GPUs: not measured; on the CPU the results are equal bit for bit.
A model's free dimensions are known by their names: batch, height, width.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock

import numpy as np
import onnxruntime as ort

Feeds = Mapping[str, np.ndarray]  # a model's inputs by name
Compute = Callable[[Feeds], np.ndarray]
DTYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
}
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
    """A model's inputs → its one output, on the device that the session has got. `reopen(sizes)`: the same model with
    these lengths for its free dimensions. `multiple`, `minimum`: of the network's sides. `graphs`: record runs on cuda.
    What comes back raises what onnxruntime raises."""
    if device == "tensorrt" or (device == "cuda" and graphs):
        return BySize(session, reopen, place(device), multiple=multiple, minimum=minimum)
    return partial(run, session, device)


def run(session: ort.InferenceSession, device: str, feeds: Feeds) -> np.ndarray:
    """The session's one output for its inputs; raises what onnxruntime raises."""
    if device != "cpu":
        return bound_run(session, place(device), feeds)
    (y,) = session.run(None, dict(feeds))
    return np.asarray(y)


def bound_run(session: ort.InferenceSession, where: str, feeds: Feeds) -> np.ndarray:
    """As `run`, with inputs and output in the memory of `where`: cpu or cuda."""
    binding = session.io_binding()
    for name, x in feeds.items():
        binding.bind_ortvalue_input(name, _value(x, where))
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
    inputs: Mapping[str, ort.OrtValue]
    y: ort.OrtValue

    def __call__(self, feeds: Feeds) -> np.ndarray:
        for name, x in feeds.items():
            self.inputs[name].update_inplace(x)
        self.session.run_with_iobinding(self.binding)
        return np.array(self.y.numpy())  # a copy: the next run overwrites the buffer


class BySize:
    """A model's inputs → its output through one session a size; of the sizes used last, `most` are kept. Safe for
    threads, which wait for each other."""

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
        self.inputs = {each.name: (tuple(each.shape), DTYPES[each.type]) for each in session.get_inputs()}
        (output,) = session.get_outputs()
        self.output = output.name, tuple(output.shape), DTYPES[output.type]
        self.kept: OrderedDict[tuple[int, ...], Fixed] = OrderedDict()
        self.lock = Lock()

    def __call__(self, feeds: Feeds) -> np.ndarray:
        true = {
            name: length
            for source, x in feeds.items()
            for name, length in zip(self.inputs[source][0], x.shape, strict=True)
            if isinstance(name, str)
        }
        grid = {
            name: length if name == "batch" else padded(length, self.multiple, self.minimum)
            for name, length in true.items()
        }
        ready = {}
        for source, x in feeds.items():
            more = [(0, grid[name] - true[name] if name in grid else 0) for name in self.inputs[source][0]]
            ready[source] = np.pad(x, more, mode="edge")
        with self.lock:
            y = self._fixed(grid)(ready)
        return y[tuple(slice(true.get(name)) for name in self.output[1])]

    def _fixed(self, grid: Mapping[str, int]) -> Fixed:
        key = tuple(grid.values())
        if key not in self.kept:
            while len(self.kept) >= self.most:  # before the new one: two would not fit where one just does
                self.kept.popitem(last=False)
            self.kept[key] = self._open(grid)
        self.kept.move_to_end(key)
        return self.kept[key]

    def _open(self, grid: Mapping[str, int]) -> Fixed:
        session = self.reopen(grid)
        binding = session.io_binding()
        inputs = {}
        for name, (shape, dtype) in self.inputs.items():
            inputs[name] = _value(np.zeros([grid.get(length, length) for length in shape], dtype), self.where)
            binding.bind_ortvalue_input(name, inputs[name])
        name, shape, dtype = self.output
        y = ort.OrtValue.ortvalue_from_shape_and_type([grid.get(n, n) for n in shape], dtype, self.where, 0)
        binding.bind_ortvalue_output(name, y)
        return Fixed(session, binding, inputs, y)


def _value(x: np.ndarray, where: str) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x), where, 0)
