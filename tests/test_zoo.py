"""Model files and their names: what is a name, what a file holds, and what happens to a file that is not one."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from i2i import recipe, store, zoo
from i2i.errors import UserError
from i2i.models import MODELS

CPU = torch.device("cpu")


def make(path: Path, tree: dict[str, Any], seed: int = 0) -> Path:
    """A model file as a run would write it, of untrained networks."""
    settings = recipe.build(tree, "test")
    torch.manual_seed(seed)
    zoo.save(path, MODELS[type(settings)](settings).product(), settings, 7, "print")
    return path


@pytest.fixture
def file(tmp_path: Path, tiny: Callable[..., Any]) -> Path:
    return make(tmp_path / "run" / store.FILE, tiny("cyclegan"))


def header(path: Path) -> dict[str, str]:
    return store.read_header(path)


def rewrite(path: Path, **changed: str | None) -> None:
    """The same weights under a changed header; None removes a key."""
    told = {key: value for key, value in {**header(path), **changed}.items() if value is not None}
    save_file(load_file(path), path, {"i2i": json.dumps(told)})


# Names


@pytest.mark.parametrize("name", ["a", "0", "horse2zebra", "a.b_c-d", "x" * 64, "console", "com", "nulls"])
def test_a_plain_name_is_taken(name: str) -> None:
    assert store.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "a\\b", "/etc", ".hidden", "-flag", "%2e%2e", "a\0", "a\n", "a b", "x" * 65),
        *("CON", "con", "nul.txt", "lpt1", "com9.a", "Name", "naïve", "а", "²", "~", "$HOME", "c:"),
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(name: str, file: Path, fresh_home: Path) -> None:
    with pytest.raises(UserError, match="cannot be a model's name"):
        store.register(file, name)
    assert not fresh_home.exists()


# The store


def test_a_registered_model_is_found_by_its_name(file: Path, fresh_home: Path) -> None:
    kept = store.register(file, "zebra")
    assert kept.is_relative_to(fresh_home)
    assert store.find("zebra") == kept
    assert kept.read_bytes() == file.read_bytes()
    assert [entry.name for entry in store.entries()] == ["zebra"]


def test_an_entry_tells_what_can_be_done_with_a_model(file: Path, fresh_home: Path) -> None:
    store.register(file, "zebra")
    (entry,) = store.entries()
    assert (entry.model, entry.directions, entry.step) == ("cyclegan", ("a2b", "b2a"), 7)
    assert entry.size == file.stat().st_size
    assert entry.problem == ""


def test_a_run_folder_and_a_file_are_models_too(file: Path) -> None:
    assert store.find(file.parent) == store.find(file) == file


def test_an_unknown_model_suggests_known_ones(file: Path, fresh_home: Path) -> None:
    store.register(file, "zebra")
    with pytest.raises(UserError, match="Did you mean zebra"):
        store.find("zebar")


def test_a_run_folder_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="i2i train"):
        store.find(tmp_path)


@pytest.mark.parametrize("name", ["a\0b", "", "..\\..", "%2e%2e/model"])
def test_a_strange_model_is_no_model_and_no_crash(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        store.find(name)


def test_a_damaged_model_is_listed_as_damaged_beside_the_others(file: Path, fresh_home: Path) -> None:
    for name in ("bare", "empty", "good", "nojson", "nomodel"):
        store.register(file, name)
    (store.folder() / "empty" / store.FILE).write_bytes(b"")
    save_file({"w": torch.zeros(1)}, store.folder() / "bare" / store.FILE)
    rewrite(store.folder() / "nojson" / store.FILE, recipe="{")
    rewrite(store.folder() / "nomodel" / store.FILE, recipe="[]")
    entries = {entry.name: entry for entry in store.entries()}
    assert {name for name, entry in entries.items() if entry.problem} == {"bare", "empty", "nojson", "nomodel"}
    assert all(entry.problem.startswith("damaged") for name, entry in entries.items() if name != "good")


# The file


def test_a_model_file_is_as_readable_as_any_new_file(file: Path) -> None:
    (file.parent / "other").touch()
    assert file.stat().st_mode == (file.parent / "other").stat().st_mode


def test_equal_weights_give_equal_bytes(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    one, same, other = (
        hashlib.sha256(make(tmp_path / str(i), tiny("pix2pix"), seed).read_bytes()).hexdigest()
        for i, seed in enumerate([0, 0, 1])
    )
    assert one == same != other


@pytest.mark.parametrize("kind", ["pix2pix", "cyclegan", "dcgan", "gan"])
def test_a_model_comes_back_from_its_file_alone(kind: str, tmp_path: Path, tiny: Callable[..., Any]) -> None:
    tree = tiny(kind)
    path = make(tmp_path / store.FILE, tree)
    torch.manual_seed(0)
    settings = recipe.build(tree, "test")
    written = MODELS[type(settings)](settings).product()
    loaded = zoo.load(path, CPU)
    assert loaded.recipe == settings
    assert (loaded.step, loaded.data) == (7, "print")
    assert loaded.product.keys() == written.keys()
    for part, net in loaded.product.items():
        assert not net.training
        assert not any(p.requires_grad for p in net.parameters())
        for key, tensor in net.state_dict().items():
            assert torch.equal(tensor, written[part].state_dict()[key])


def test_loading_a_model_draws_no_random_numbers(file: Path) -> None:
    before = torch.get_rng_state()
    zoo.load(file, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_header_is_plain_text_that_other_tools_read(file: Path) -> None:
    raw = file.read_bytes()
    told = json.loads(json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])["__metadata__"]["i2i"])
    assert told["format"] == store.FORMAT
    assert json.loads(told["recipe"])["model"] == "cyclegan"
    assert told["directions"] == "a2b,b2a"


@pytest.mark.parametrize(
    "content", [b"", b"x" * 7, b"PK\x03\x04" * 40, b"\xff" * 100, b"\x08" + b"\0" * 7 + b"{}      "]
)
def test_a_foreign_file_is_no_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / store.FILE
    path.write_bytes(content)
    with pytest.raises(UserError, match=store.FILE):
        zoo.load(path, CPU)


@pytest.mark.parametrize("share", [0.0005, 0.3, 0.9, 0.999])
def test_a_model_cut_short_is_no_model(share: float, file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match="not a readable model"):
        zoo.load(file, CPU)


def test_weights_of_another_program_are_no_model(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not written by i2i"):
        zoo.load(tmp_path / "other.safetensors", CPU)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_a_header_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / store.FILE, {"i2i": text})
    with pytest.raises(UserError, match="damaged header"):
        zoo.load(tmp_path / store.FILE, CPU)


def test_a_model_of_a_later_format_asks_for_a_newer_i2i(file: Path) -> None:
    rewrite(file, format="3")
    with pytest.raises(UserError, match="Update i2i"):
        zoo.load(file, CPU)


@pytest.mark.parametrize("key", ["format", "recipe", "step", "data", "directions"])
def test_a_header_without_one_of_its_parts_is_refused(key: str, file: Path) -> None:
    rewrite(file, **{key: None})
    with pytest.raises(UserError, match=key):
        zoo.load(file, CPU)


@pytest.mark.parametrize("changed", [{"recipe": "{"}, {"recipe": "[]"}, {"recipe": '{"model": 1}'}, {"step": "x"}])
def test_a_header_with_a_damaged_part_is_refused(changed: dict[str, str], file: Path) -> None:
    rewrite(file, **changed)
    with pytest.raises(UserError, match=store.FILE):
        zoo.load(file, CPU)


def test_weights_that_do_not_fit_the_recipe_are_refused(file: Path) -> None:
    told, weights = header(file), load_file(file)
    some = next(iter(weights))
    for wrong in (
        {key: value for key, value in weights.items() if key != some},  # one is missing
        {**weights, some: torch.zeros(3, 3)},  # another shape
        {**weights, f"{some}x": torch.zeros(1)},  # one too many in a network
        {**weights, "c2d.x": torch.zeros(1)},  # a network too many
    ):
        told["sha256"] = zoo._sum(told, wrong)
        save_file(wrong, file, {"i2i": json.dumps(told)})
        with pytest.raises(UserError, match="does not fit"):
            zoo.load(file, CPU)


# Rounded to 16 bits


def make_half(path: Path, tree: dict[str, Any]) -> dict[str, torch.nn.Module]:
    """A half file of untrained networks; returns these, as they were."""
    settings = recipe.build(tree, "test")
    torch.manual_seed(0)
    product = MODELS[type(settings)](settings).product()
    for network in product.values():
        for value in network.state_dict().values():  # no weight is the nearest 16-bit float already
            value += 1e-4 * torch.randn(value.shape) if value.is_floating_point() else 1
    zoo.save(path, product, settings, 7, "print", {"l1": 0.1}, half=True)
    return product


def states(product: dict[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": value for name, net in product.items() for key, value in net.state_dict().items()}


def bits(weights: dict[str, torch.Tensor]) -> dict[str, tuple[torch.dtype, bytes]]:
    return {key: (value.dtype, value.contiguous().numpy().tobytes()) for key, value in weights.items()}


def test_a_weight_is_rounded_to_the_nearest_half_ties_to_even() -> None:
    exact = torch.tensor([[0.1, 1 + 2**-11, 1 + 3 * 2**-11, -3.0, 65504, 0]])
    nearest = torch.tensor([[0.0999755859375, 1, 1 + 2**-9, -3, 65504, 0]], dtype=torch.float16)
    assert torch.equal(zoo.halved(exact), nearest)
    assert zoo.halved(exact).dtype == torch.float16


@pytest.mark.parametrize(
    "weight",
    [
        torch.full((3,), 0.1),  # numbers per channel
        torch.tensor([[0.1, 65520.0]]),  # the first that 16 bits call infinite
        torch.tensor([[0.1, float("inf")]]),
        torch.tensor([[0.1, float("nan")]]),
        torch.full((2, 2), 1e-7),  # 16 bits know multiples of 6e-8
        torch.full((2, 2), 1e-30),  # whose square is nothing in 32 bits
        torch.tensor([[7]]),
        torch.tensor([[0.1]], dtype=torch.float64),
    ],
    ids=str,
)
def test_a_weight_that_rounding_would_spoil_stays_as_it_is(weight: torch.Tensor) -> None:
    assert zoo.halved(weight) is weight


def test_tiny_weights_beside_large_ones_are_no_loss() -> None:
    assert zoo.halved(torch.tensor([[1.0, 1e-9]])).tolist() == [[1, 0]]


@pytest.mark.parametrize("kind", ["pix2pix", "cyclegan", "dcgan", "gan"])
def test_a_half_file_gives_the_rounded_networks_in_32_bits(kind: str, tmp_path: Path, tiny: Callable[..., Any]) -> None:
    path = tmp_path / store.FILE
    product = make_half(path, tiny(kind))
    loaded, before = zoo.load(path, CPU), states(product)
    assert bits(states(loaded.product)) == bits(states(zoo.rounded(product))) != bits(before)
    assert (loaded.step, loaded.data, loaded.scores) == (7, "print", {"l1": 0.1})
    assert not any(net.training for net in loaded.product.values())
    for key, kept in load_file(path).items():
        assert kept.dtype == (torch.float16 if before[key].ndim > 1 else before[key].dtype)
        assert torch.equal(kept, before[key].to(kept.dtype))


def test_a_norm_keeps_its_statistics_of_any_size(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    unet = {"kind": "unet", "levels": 2, "width": 4, "norm": "batch", "test_statistics": "running"}
    settings = recipe.build(tiny("pix2pix", generator=unet), "test")
    product = MODELS[type(settings)](settings).product()
    (norm,) = (layer for layer in product["a2b"].modules() if isinstance(layer, torch.nn.BatchNorm2d))
    assert norm.running_var is not None
    norm.running_var.copy_(torch.tensor([1e-9, 1e9, 0.1, 1]))
    zoo.save(tmp_path / store.FILE, product, settings, 0, "", half=True)
    back = states(zoo.load(tmp_path / store.FILE, CPU).product)
    (variances,) = (value for key, value in back.items() if key.endswith("running_var"))
    assert torch.equal(variances, norm.running_var)


def test_rounding_twice_is_rounding_once(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    product = make_half(one, tiny("pix2pix"))
    assert bits(states(zoo.rounded(zoo.rounded(product)))) == bits(states(zoo.rounded(product)))
    loaded = zoo.load(one, CPU)
    assert bits(states(zoo.load(one, CPU).product)) == bits(states(loaded.product))
    zoo.save(two, loaded.product, loaded.recipe, loaded.step, loaded.data, loaded.scores, half=True)
    assert one.read_bytes() == two.read_bytes()


def test_rounding_leaves_the_networks_that_it_is_given(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    product = make_half(tmp_path / store.FILE, tiny("pix2pix"))
    before = bits({key: value.clone() for key, value in states(product).items()})
    zoo.rounded(product)
    assert bits(states(product)) == before


def test_only_a_half_file_asks_for_an_i2i_that_knows_such(tmp_path: Path, tiny: Callable[..., Any], file: Path) -> None:
    make_half(tmp_path / "half", tiny("cyclegan"))
    assert (header(tmp_path / "half")["format"], header(file)["format"]) == ("2", "1")
    assert {value.dtype for value in load_file(file).values() if value.is_floating_point()} == {torch.float32}


def test_a_flipped_bit_of_a_half_file_is_found(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    path = tmp_path / store.FILE
    make_half(path, tiny("pix2pix"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        zoo.load(path, CPU)


def test_a_half_file_is_a_model_of_the_store(tmp_path: Path, tiny: Callable[..., Any], fresh_home: Path) -> None:
    make_half(tmp_path / store.FILE, tiny("cyclegan"))
    store.register(tmp_path / store.FILE, "small")
    (entry,) = store.entries()
    assert (entry.name, entry.model, entry.directions, entry.problem) == ("small", "cyclegan", ("a2b", "b2a"), "")
    assert "small" in store.describe("small")
