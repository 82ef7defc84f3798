"""How much memory a piece of code takes, and how much there is."""

import os
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Curve(TorchDispatchMode):
    """The bytes of a device's tensors after each operation in a with-block, of forward and backward passes.

    `bytes`, in order, by operation and number of its call: storages made inside and not yet freed. `before`: those that
    were there already, as far as they were used. What a library takes and gives back within one operation is not seen.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.bytes: dict[tuple[str, int], int] = {}
        self.calls: Counter[str] = Counter()
        self.live = self.before = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.before += self._meet((args, kwargs))
        made = func(*args, **(kwargs or {}))
        self.live += self._meet(made, inside=True)
        name = str(func)
        self.bytes[name, self.calls[name]] = self.live
        self.calls[name] += 1
        return made

    def _meet(self, tree: Any, inside: bool = False) -> int:
        """The bytes of the storages in `tree` that are met for the first time."""
        total = 0
        for tensor in tree_leaves(tree):
            if isinstance(tensor, Tensor) and tensor.device.type == self.device.type:
                storage = tensor.untyped_storage()
                key, count = storage._cdata, storage.nbytes()
                if key not in self._known:
                    self._known[key] = weakref.ref(storage, self._freed(key, count if inside else 0))
                    total += count
        return total

    def _freed(self, key: int, count: int) -> Callable[[object], None]:
        def forget(_: object) -> None:
            del self._known[key]
            self.live -= count

        return forget


class Peak:
    """Of a with-block: `bytes`, the most that all it made took up at one time, and `before`, what was there already.

    On CUDA by the allocator's own count; elsewhere by a `Curve`, which sees of `before` what is used inside.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = self.before = 0
        self._curve = Curve(device)

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
        else:
            self._curve.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self.before
        else:
            self._curve.__exit__(kind, error, at)
            self.bytes, self.before = max(self._curve.bytes.values(), default=0), self._curve.before


def size(tree: Any) -> int:
    """The bytes of all tensors in nested lists, tuples and dicts."""
    return sum(leaf.nbytes for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def told(count: float) -> str:
    """Bytes for people: 1.5 GiB, 320 MiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def available(device: torch.device, root: Path = Path("/")) -> int:
    """The bytes that this process may still take on the device, now.

    On a CPU the least of what the system and the process's control groups have left: in a container the system's own
    figure is that of the whole machine. `root`: where `proc` and `sys` are.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    left = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            left.append(int(line.split()[1]) * 1024)
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):  # version 2 has one tree for everything, version 1 one for memory
            left += _group(root / "sys/fs/cgroup" / controllers, path.strip("/"), controllers == "")
    if not left and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        left.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(left, default=sys.maxsize))


def _group(tree: Path, path: str, unified: bool) -> list[int]:
    """What a control group and those above it have left; nothing where no limit is set.

    Inside a container the path may be the host's and the tree's top the group itself, so the top is always asked.
    """
    limit, usage, cached = (
        ("memory.max", "memory.current", "inactive_file ")
        if unified
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
    )
    left = []
    for folder in {tree, *(tree / path).parents, tree / path}:
        most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
        if folder.is_relative_to(tree) and most.isdecimal() and used.isdecimal():
            files = [line for line in _text(folder / "memory.stat").splitlines() if line.startswith(cached)]
            left.append(
                int(most) - int(used) + sum(int(line.split()[1]) for line in files)
            )  # file pages are given back
    return left


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
