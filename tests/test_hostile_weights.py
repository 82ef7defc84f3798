"""Files of weights made to do harm: nothing in them runs, none takes more memory than it may, each is told plainly."""

import io
import json
import os
import pickle
import pickletools
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from i2i import store, zoo
from i2i.errors import UserError
from i2i.foreign import import_weights, opening
from i2i.store.headers import TOLD

CPU = torch.device("cpu")
MIB = 2**20


class Payload:
    """Pickled, it is a call that makes the file `canary` in the working directory of whoever loads it."""

    def __init__(self, call: Callable[..., Any] = exec, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments or ("open('canary', 'w').close()",)

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("canary").exists(), "code in the file was run"


@contextmanager
def little_memory(most: int = 64 * MIB) -> Iterator[None]:
    """The process's peak grows by less than `most` bytes within (where the kernel tells peaks)."""
    status = Path("/proc/self/status")

    def told(word: str) -> int:
        return int(status.read_text().split(f"{word}:")[1].split()[0]) * 1024

    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew from here
    except OSError:
        yield
        return
    before = told("VmRSS")
    yield
    assert told("VmHWM") - before < most


def refused(path: Path, message: str = r"\w", **options: Any) -> str:
    """The one line that is said about a file; no model comes of it."""
    with little_memory(), pytest.raises(UserError, match=message) as problem:
        import_weights(path, "hostile", **options)
    text = str(problem.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert len(text) < 1000
    assert not (store.folder() / "hostile").exists()
    return text


def weights() -> dict[str, torch.Tensor]:
    """Of a generator that can be imported."""
    block = nn.Sequential(nn.Identity(), nn.Conv2d(8, 8, 3), *[nn.Identity()] * 3, nn.Conv2d(8, 8, 3))
    layers = {1: nn.Conv2d(3, 2, 7), 4: nn.Conv2d(2, 4, 3), 7: nn.Conv2d(4, 8, 3), 11: nn.ConvTranspose2d(8, 4, 3),
              14: nn.ConvTranspose2d(4, 2, 3), 18: nn.Conv2d(2, 3, 7)}  # fmt: skip
    layers[10] = nn.Module()
    layers[10].conv_block = block
    return {f"model.{n}.{key}": tensor for n, layer in layers.items() for key, tensor in layer.state_dict().items()}


def saved(content: Any, path: Path = Path("g.pth"), old: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes], path: Path = Path("g.pth"), how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def with_pickle(content: bytes) -> Path:
    """A zip of weights whose pickle is another."""
    parts = entries(saved(weights()))
    return zipped({name: content if name.endswith("data.pkl") else part for name, part in parts.items()})


def tar(*payloads: bytes) -> Path:
    """As torch.save wrote it until 2017: sys_info, pickle, tensors, storages."""
    with tarfile.open("g.pth", "w") as archive:
        for name, content in zip(("sys_info", "storages", "tensors", "pickle"), payloads, strict=True):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return Path("g.pth")


def test_the_harmless_file_is_taken() -> None:
    for old in (False, True):
        assert import_weights(saved(weights(), old=old), "harmless", force=True).is_file()


def test_the_payload_is_one(tmp_path: Path) -> None:
    torch.load(saved({"w": Payload()}), weights_only=False)
    assert Path("canary").exists()
    Path("canary").unlink()


# Code


class WithMetadata(OrderedDict):  # type: ignore[type-arg]
    """Pickled, a state dict with `_metadata` that is a payload."""

    def __reduce__(self) -> Any:
        return OrderedDict, (), {"_metadata": Payload()}, None, iter(self.items())


PAYLOADS: dict[str, Callable[[], Any]] = {
    "alone": Payload,
    "a weight": lambda: weights() | {"model.1.weight": Payload()},
    "beside the weights": lambda: {"state_dict": weights(), "epoch": Payload()},
    "a name": lambda: {Payload(): torch.zeros(1)},
    "metadata": lambda: WithMetadata(weights()),
    "os.system": lambda: Payload(os.system, "touch canary"),
    "a file's own function": lambda: Payload(pickle.loads, pickle.dumps(Payload())),
    "torch.load": lambda: Payload(torch.load, "other.pth"),
    "a whole network": lambda: nn.Conv2d(3, 4, 7),
    "an attribute of a class": lambda: Payload(getattr, nn.Conv2d, "forward"),
    "what torch allows": lambda: Payload(bytearray, 2**33),
    "a tensor made from nothing": lambda: Payload(torch.Tensor, 2**17, 2**17),
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "row"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_code_in_a_pickle_is_not_run(payload: str, old: bool) -> None:
    refused(saved(PAYLOADS[payload](), old=old), "is no plain file of weights")


def test_a_payload_is_named() -> None:
    assert "builtins exec" in refused(saved(Payload())).replace("__builtin__", "builtins")


@pytest.mark.parametrize("place", range(5))
def test_code_in_any_of_the_five_pickles_of_the_old_format_is_not_run(place: int) -> None:
    raw = io.BytesIO(saved(weights(), old=True).read_bytes())
    starts = [0]
    for _ in range(5):
        assert [opcode.name for opcode, _, _ in pickletools.genops(raw)][-1] == "STOP"
        starts.append(raw.tell())
    whole = raw.getvalue()
    changed = whole[: starts[place]] + pickle.dumps(Payload(), 2) + whole[starts[place + 1] :]
    Path("g.pth").write_bytes(changed)
    refused(Path("g.pth"))


KEYS = [b"N", b"](K\x01X\x01\x00\x00\x00ae", b"]q\x00h\x00a", b"](}e", b"]" + b"]" * 99_000 + b"a" * 99_000, b"]"]


@pytest.mark.parametrize("keys", KEYS, ids=["none", "mixed", "itself", "a dict", "deep", "empty"])
def test_the_old_formats_list_of_storages_is_that_of_its_weights(keys: bytes) -> None:
    raw = io.BytesIO(saved({"w": torch.zeros(2)}, old=True).read_bytes())
    starts = [[raw.tell(), [*pickletools.genops(raw)]][0] for _ in range(5)]
    Path("g.pth").write_bytes(raw.getvalue()[: starts[4]] + b"\x80\x02" + keys + b"." + raw.read())
    refused(Path("g.pth"), "its list of storages")


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_pickle_of_any_protocol_is_not_run(protocol: int) -> None:
    Path("g.pth").write_bytes(pickle.dumps(Payload(), protocol))
    refused(Path("g.pth"), "no file of weights")
    refused(with_pickle(pickle.dumps(Payload(), protocol)))


@pytest.mark.parametrize("place", range(4))
def test_a_tar_file_is_refused_unopened(place: int) -> None:
    parts = [pickle.dumps(Payload() if place == n else 0, 2) for n in range(4)]
    refused(tar(*parts), "is a tar file.*save it again")


def test_a_tar_file_whose_first_name_is_the_old_formats_first_bytes_is_not_opened_as_one() -> None:
    raw = bytearray(tar(*[pickle.dumps(Payload(), 2)] * 4).read_bytes())
    raw[: len(opening.ROW)] = opening.ROW
    raw[148:156] = b" " * 8
    raw[148:156] = f"{sum(raw[:512]):06o}\0 ".encode()  # the header's own sum, over spaces in its place
    Path("g.pth").write_bytes(raw)
    refused(Path("g.pth"), "is damaged|no plain file")


def test_a_script_is_refused() -> None:
    torch.jit.script(nn.Conv2d(3, 4, 7)).save("g.pth")
    refused(Path("g.pth"), "code beside it")


def test_a_second_pickle_in_the_archive_is_not_read() -> None:
    parts = entries(saved(weights()))
    refused(zipped(parts | {"other/data.pkl": pickle.dumps(Payload(), 2)}), "not one of weights alone")
    zipped(parts)
    with zipfile.ZipFile("g.pth", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("g/data.pkl", pickle.dumps(Payload(), 2))
    refused(Path("g.pth"))


# Memory


def test_an_archive_that_unpacks_to_more_than_may_be_is_not_unpacked() -> None:
    bomb = {"data": torch.zeros(64 * MIB)}  # 256 MiB of nothing
    path = zipped(entries(saved(bomb)), how=zipfile.ZIP_DEFLATED)
    del bomb
    assert path.stat().st_size < MIB
    refused(path, r"unpacks to 268,\d\d\d,\d\d\d bytes; at most 104,857,600", most=100 * MIB)
    raw = bytearray(path.read_bytes())  # more than the default, by its own words
    at = raw.rindex(b"PK\x01\x02", 0, raw.index(b"g/data/0", raw.index(b"PK\x01\x02")))
    raw[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(raw)
    refused(path, "unpacks to 4,29.* at most 2,147,483,648")


def test_an_archive_that_says_less_than_it_unpacks_to_is_not_unpacked_further() -> None:
    parts = entries(saved({"data": torch.zeros(32)}))
    path = zipped(parts | {"g/data/0": bytes(256 * MIB)}, how=zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    for sign, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = raw.rindex(sign, 0, raw.index(b"g/data/0", raw.index(sign)))
        raw[place + at : place + at + 4] = struct.pack("<I", 128)
    path.write_bytes(raw)
    refused(path, "damaged")


def test_a_file_larger_than_may_be_is_not_opened() -> None:
    path = Path("g.pth")
    with path.open("wb") as file:
        file.truncate(3 * 2**30)  # a hole: it takes no room on the disk
    refused(path, "has 3,221,225,472 bytes; at most 2,147,483,648")
    for old in (False, True):
        refused(saved(weights(), old=old), "at most 1,000 are read", most=1000)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "row"])
@pytest.mark.parametrize("claimed", [17, 2**31 - 1])
def test_a_storage_that_claims_more_than_is_there_is_refused(claimed: int, old: bool) -> None:
    raw = saved({"w": torch.zeros(16)}, old=old).read_bytes()
    parts = raw if old else entries(Path("g.pth"))["g/data.pkl"]
    sixteen, more = b"K\x10", b"J" + struct.pack("<i", claimed)
    assert parts.count(sixteen) >= 2  # the storage's length and the tensor's
    changed = parts.replace(sixteen, more)
    if old:
        Path("g.pth").write_bytes(changed)
    else:
        zipped(entries(Path("g.pth")) | {"g/data.pkl": changed})
    refused(Path("g.pth"), "is damaged: it speaks of")


def test_few_numbers_cannot_pass_for_many() -> None:
    for old in (False, True):
        refused(saved({"w": torch.zeros(1).expand(2**20, 2**20)}, old=old), "tensor of .* in a storage of 1 numbers")


def test_a_tensor_ends_where_its_storage_does() -> None:
    raw = entries(saved({"w": torch.zeros(4, 4)}))
    assert raw["g/data.pkl"].count(b"K\x04K\x01\x86") == 1
    for stride in (b"K\x05K\x01\x86", b"K\x04K\x02\x86", b"J\xff\xff\xff\xffK\x01\x86", b"K\x04J\xff\xff\xff\x7f\x86"):
        changed = raw["g/data.pkl"].replace(b"K\x04K\x01\x86", stride)
        refused(zipped(raw | {"g/data.pkl": changed}), "is damaged: it has a")


OD, TENSOR = b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor\n"
MANY: dict[str, bytes] = {
    "a list to copy": b"\x80\x02" + OD + b"](K\x01K\x01e\x85R.",
    "attributes set often": b"\x80\x02}q\x00" + (OD + b")R}b") * 3 + b".",
    "more dimensions than there are": b"\x80\x02" + TENSOR + b"(NK\x00" + 2 * (b"(" + b"K\x01" * 99 + b"t") + b"tR.",
    "an endless string": b"\x80\x02X\xff\xff\xff\xffabc",
    "an endless number": b"\x80\x02\x8b\xff\xff\xff\x7f1",
    "marks without end": b"\x80\x02" + b"(" * 1000 + b".",
    "nothing to pop": b"\x80\x02R.",
    "an unknown memory": b"\x80\x02h\x09.",
    "a dict within itself": b"\x80\x02}q\x00X\x01\x00\x00\x00wh\x00s.",
    "odd items": b"\x80\x02}(X\x01\x00\x00\x00wu.",
    "a name that is no text": b"\x80\x02}K\x01K\x01s.",
    "no end": b"\x80\x02}",
    "no pickle": b"\xff" * 100,
    "empty": b"",
    "a new protocol": b"\x80\x05}.",
    "a number": b"\x80\x02K\x01.",
    "a text of another tongue": b"\x80\x02c\xff\xfe\n\xff\n.",
    "a function by its stack": b"\x80\x02X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.",
    "a new object": b"\x80\x02ccollections\nCounter\n)\x81.",
    "a storage that is none": b"\x80\x02X\x01\x00\x00\x00wQ.",
}


REASONS = {
    "a list to copy": "calls 'collections OrderedDict' with 1 arguments",
    "attributes set often": "sets attributes of objects",
    "more dimensions than there are": "a tensor of 99 sizes and 99",
    "a new protocol": "a pickle of protocol 5",
    "a dict within itself": "'w' is no tensor",
    "a number": "as a state_dict.. does, but one int",
}


@pytest.mark.parametrize("what", MANY)
def test_a_pickle_that_could_not_be_a_state_dicts_is_refused(what: str) -> None:
    refused(with_pickle(MANY[what]), REASONS.get(what, "is damaged|is no plain file of weights"))


def test_a_pickle_longer_than_any_state_dicts_is_not_read() -> None:
    refused(with_pickle(b"\x80\x02" + b"K\x01" * MIB + b"."), "has a pickle of 2,097,155 bytes; at most 1,048,576")
    Path("g.pth").write_bytes(opening.ROW + b"\x80\x02" + b"N" * 2 * MIB + b".")
    refused(Path("g.pth"))


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"PK\x03\x04", b"PK\x03\x04" * 999, opening.ROW, opening.ROW * 9, b"x" * 600, b"\0" * 600]
)
def test_what_is_no_file_of_weights_is_told(content: bytes) -> None:
    Path("g.pth").write_bytes(content)
    refused(Path("g.pth"))


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "x" * 2**18, "\u202e", "\0"])
def test_a_name_in_the_file_cannot_take_over_the_terminal(name: str) -> None:
    """Escape codes that clear it, and words that nobody wants to scroll through."""
    refused(saved({name: torch.zeros(1)}))
    refused(saved({name: [name]}))
    refused(saved(weights() | {name: torch.zeros(1)}))
    refused(safetensors({name: tensor([2], 0, 8), f"{name}b": tensor([2], 4, 12)}, bytes(12)))
    refused(with_pickle(b"\x80\x02c" + name.encode("ascii", "ignore").replace(b"\n", b"") + b"\nsystem\n."))


def test_a_folder_and_a_missing_file_are_told(tmp_path: Path) -> None:
    refused(tmp_path, "is no file")
    refused(Path("missing.pth"), "No such file")
    with pytest.raises(UserError, match="is no file"):
        import_weights(Path("/dev/zero"), "hostile")


@pytest.mark.parametrize("suffix", ["zip", "row", "safetensors"])
def test_a_damaged_file_is_told_or_gives_a_model_and_nothing_else_happens(suffix: str) -> None:
    path = Path("g.pth")
    if suffix == "safetensors":
        save_file(weights(), path)
    else:
        saved(weights(), old=suffix == "row")
    whole, draw, fates = path.read_bytes(), torch.Generator().manual_seed(0), []
    described = whole.rindex(b"PK\x01\x02") if suffix == "zip" else 0
    for n in range(150):
        raw = bytearray(whole)
        begin = described if n % 3 == 0 else 0  # often where it is described, not in the weights
        span = len(raw) - begin if suffix == "zip" else (5000 if n % 3 else len(raw))
        for _ in range(1 + n % 4):
            raw[begin + int(torch.randint(span, (1,), generator=draw))] = int(torch.randint(256, (1,), generator=draw))
        path.write_bytes(raw if n % 5 else raw[: int(torch.randint(len(raw), (1,), generator=draw))])
        try:
            import_weights(path, "damaged", force=True)
            fates.append("taken")
        except UserError as problem:
            fates.append(str(problem).split()[0])
    assert set(fates) == {"taken", "g.pth"}


# Safetensors: the header of our own model files, and of others' weights


def safetensors(header: bytes | dict[str, Any], data: bytes = b"", length: int | None = None) -> Path:
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = Path("g.safetensors")
    path.write_bytes(struct.pack("<Q", len(told) if length is None else length) + told + data)
    return path


def tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


ONE = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
HEADERS: dict[str, tuple[Any, ...]] = {
    "longer than the file": (b"{}", b"", 99_000_000),
    "longer than memory": (b"{}", b"", 2**63),
    "longer than any number": (b"{}", b"", 2**64 - 1),
    "no header": (b"", b""),
    "no JSON": (b"{xxxxxxx", b""),
    "no mapping": (b'{"w":[1,2,3]}', b""),
    "deep JSON": (DEEP, b""),
    "deep in one tensor": (b'{"w":' + b"[" * 100_000, b""),
    "a name twice": (b'{"w":' + ONE + b',"w":' + ONE.replace(b"0,4", b"4,8") + b"}", bytes(8)),
    "two descriptions": (b'{"__metadata__":{"i2i":"{}"},"__metadata__":{"i2i":"[]"}}', b""),
    "overlapping tensors": ({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),
    "a gap": ({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)),
    "bytes behind the last": ({"a": tensor([1], 0, 4)}, bytes(400)),
    "cut short": ({"a": tensor([4], 0, 16)}, bytes(4)),
    "a negative shape": ({"a": tensor([-1], 0, 4)}, bytes(4)),
    "a negative place": ({"a": tensor([1], -4, 0)}, bytes(4)),
    "backwards": ({"a": tensor([1], 4, 0)}, bytes(4)),
    "a shape that overflows": ({"a": tensor([2**62, 4], 0, 0)}, b""),
    "a shape larger than its bytes": ({"a": tensor([2**40], 0, 4)}, bytes(4)),
    "an unknown type": ({"a": tensor([1], 0, 4, "F31")}, bytes(4)),
    "a fraction of a number": ({"a": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 6]}}, bytes(6)),
    "no text": (b'{"\xff\xfe":1}', b""),
    "half a letter": (b'{"__metadata__":{"i2i":"\\ud800"}}', b""),
}


@pytest.mark.parametrize("parts", HEADERS.values(), ids=HEADERS.keys())
def test_a_hostile_header_is_told_and_costs_nothing(parts: tuple[Any, ...]) -> None:
    path = safetensors(*parts)
    with little_memory(), pytest.raises(UserError, match=path.name):
        store.read_header(path)
    with little_memory(), pytest.raises(UserError, match=path.name):
        zoo.load(path, CPU)
    refused(path)


def test_nothing_at_all_of_a_huge_shape_is_another_network() -> None:
    refused(safetensors({"a": tensor([0, 2**60], 0, 0)}), "another network")


@pytest.mark.parametrize("words", ["[" * 100_000, '{"a":' * 100_000])
def test_a_recipe_in_a_header_that_is_too_deep_is_told(words: str, fresh_home: Path) -> None:
    kept = store.folder() / "deep" / store.FILE
    kept.parent.mkdir(parents=True)
    for told in (words, json.dumps(dict.fromkeys(TOLD, "1") | {"recipe": words})):
        kept.write_bytes(safetensors({"__metadata__": {"i2i": told}}).read_bytes())
        with pytest.raises(UserError, match=store.FILE):
            zoo.load(kept, CPU)
        (entry,) = store.entries()
        assert entry.problem.startswith("damaged")


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.bool, torch.float8_e4m3fn, torch.complex64])
def test_weights_are_numbers_that_a_network_computes_in(kind: torch.dtype) -> None:
    """Converted, bytes would become four times as many."""
    save_file({key: tensor.to(kind) for key, tensor in weights().items()}, "g.safetensors")
    refused(Path("g.safetensors"), f"has weights of {kind}. Expected: torch.bfloat16, torch.float16")


def test_a_header_longer_than_any_generators_is_not_read() -> None:
    path = safetensors({"__metadata__": {"long": "x" * 2 * MIB}, "w": tensor([1], 0, 4)}, bytes(4))
    refused(path, r"has a header of 2,097,\d\d\d bytes; at most 1,048,576")


def test_a_name_twice_is_refused_in_others_weights() -> None:
    """The library takes the last of them, another might take the first: two readers would see two networks."""
    zeros = {key: value.shape for key, value in weights().items()}
    header, place = [], 0
    for key, shape in zeros.items():
        header.append(f'"{key}":{json.dumps(tensor(list(shape), place, place := place + 4 * shape.numel()))}')
    assert import_weights(safetensors(f"{{{','.join(header)}}}".encode(), bytes(place)), "once", force=True).is_file()
    refused(safetensors(f"{{{','.join([*header, header[0]])}}}".encode(), bytes(place)), "one name twice")
