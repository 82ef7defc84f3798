"""What a file of torch.save holds, told from its pickle without running it.

A pickle is a program for a stack machine, and some of its opcodes call functions by name. This machine knows the
opcodes and the few names that saved weights are made of, calls nothing, and so tells the names, shapes and places of
all tensors before anything is loaded. It refuses the rest, also what torch.load(weights_only=True) would run: there
a few bytes can ask for any amount of memory, by a tensor of any size or by copying one long list again and again.
"""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from i2i.errors import UserError

ITEM = {"Float": 4, "Double": 8, "Half": 2, "BFloat16": 2, "Long": 8}  # bytes; Long is num_batches_tracked
STORAGES = {f"{module} {kind}Storage": size for module in ("torch", "torch.cuda") for kind, size in ITEM.items()}
NEW_DICT, PARAMETER = "collections OrderedDict", "torch._utils _rebuild_parameter"
TENSORS = {"torch._utils _rebuild_tensor": 4, "torch._utils _rebuild_tensor_v2": 6}  # how many arguments they have
KNOWN = {*STORAGES, NEW_DICT, PARAMETER, *TENSORS}
MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class Name:
    """A function or class that the pickle speaks of."""

    name: str


@dataclass(frozen=True)
class Storage:
    """The bytes that tensors lie in: `key` says where in the file they are."""

    key: str
    bytes: int
    count: int  # elements


@dataclass(frozen=True)
class Stored:
    """A tensor, not loaded."""

    storage: Storage
    shape: tuple[int, ...]


def read(stream: BinaryIO) -> Any:
    """The object that the pickle at the stream's place would make, with `Stored` for tensors; stops behind the pickle.

    Raises UserError, whose text goes on a sentence that begins with the file's name, for anything but saved weights.
    """
    try:
        return _run(stream)
    except UserError:
        raise
    except Exception as error:  # opcodes in an impossible order: an empty stack, a missing mark, a wrong type
        raise UserError(f"is damaged: its pickle cannot be followed ({type(error).__name__})") from None


def _run(stream: BinaryIO) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    attributes = 0

    def since_mark() -> list[Any]:
        place = marks.pop()
        found = stack[place:]
        del stack[place:]
        return found

    operations: Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]] = pickletools.genops(stream)
    for opcode, argument, _ in operations:
        match opcode.name:
            case "PROTO":
                if argument != 2:
                    raise UserError(f"has a pickle of protocol {argument}; torch.save writes protocol 2")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE" | "SHORT_BINSTRING":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "APPEND" | "APPENDS":
                items = since_mark() if opcode.name == "APPENDS" else [stack.pop()]
                _a(list, stack[-1]).extend(items)
            case "SETITEM" | "SETITEMS":
                items = since_mark() if opcode.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                _a(dict, stack[-1]).update(zip((_a(str, key) for key in items[::2]), items[1::2], strict=True))
            case "GLOBAL":
                if argument not in KNOWN:
                    raise UserError(f"is no plain file of weights: its pickle names {argument[:80]!r}, maybe code")
                stack.append(Name(argument))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                arguments, called = _a(tuple, stack.pop()), _a(Name, stack.pop())
                stack.append(_called(called.name, arguments))
            case "BUILD":  # a state dict's `_metadata`: versions of layers, which say nothing of ours
                attributes += 1
                if _a(dict, stack.pop()).keys() - {"_metadata"} or not isinstance(stack[-1], dict) or attributes > 1:
                    raise UserError("is no plain file of weights: its pickle sets attributes of objects")
            case "STOP":
                return stack.pop()
            case _:
                raise UserError(f"is no plain file of weights: its pickle has the opcode {opcode.name}")
    raise AssertionError("genops ends with STOP or raises")


def _a(kind: type, value: Any) -> Any:
    """The value, if it is of the kind and of no subclass."""
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise UserError(f"is damaged: it has a size of {value!r}")
    return value


def _storage(told: Any) -> Storage:
    """From ("storage", type, key, device, elements), and in old files None: no view of another storage."""
    word, kind, key, _, count, *view = _a(tuple, told)
    if word != "storage" or any(part is not None for part in view) or len(view) > 1:
        raise UserError("is no plain file of weights: its pickle refers to something that is no storage")
    return Storage(_a(str, key), STORAGES[_a(Name, kind).name] * _size(count), count)


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    """What a call gives. Only these shapes of calls come from torch.save."""
    if name == NEW_DICT and not arguments:
        return {}
    if name == PARAMETER and len(arguments) == 3 and isinstance(arguments[0], Stored):
        return arguments[0]
    if name not in TENSORS or len(arguments) != TENSORS[name]:
        raise UserError(f"is no plain file of weights: its pickle calls {name!r} with {len(arguments)} arguments")
    storage, offset, shape, stride = arguments[:4]
    sizes, steps = [_size(n) for n in _a(tuple, shape)], [_size(n) for n in _a(tuple, stride)]
    if len(sizes) > MOST_DIMENSIONS or len(sizes) != len(steps):
        raise UserError(f"is damaged: it has a tensor of {len(sizes)} sizes and {len(steps)} strides")
    last = _size(offset) + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    # Strides of 0 let few numbers pass for many: what is small on the disk would be large once it is copied.
    if prod(sizes) > _a(Storage, storage).count or (prod(sizes) and last >= storage.count):
        raise UserError(f"is damaged: it has a tensor of {sizes} in a storage of {storage.count} numbers")
    return Stored(storage, tuple(sizes))


def tensors(tree: Any) -> Iterator[tuple[str, Stored]]:
    """The tensors of a state dict by name; UserError for anything else."""
    if not isinstance(tree, dict):
        raise UserError(f"holds no weights by name, as a state_dict() does, but one {type(tree).__name__}")
    for name, value in tree.items():
        if not isinstance(value, Stored):
            raise UserError(
                f"holds something else than the weights of one network: {name[:80]!r} is no tensor. "
                f"Save them alone: torch.save(network.state_dict(), FILE)"
            )
        yield name, value
