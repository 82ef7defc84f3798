"""YAML → recipe: what is read as what, and what is said when it is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from i2i import recipe
from i2i.errors import UserError
from i2i.paths import shared

PLAIN = """
model: pix2pix
data: {layout: paired, root: "no", crop: 16}
schedule:
  - {phase: adversarial, steps: 3}
"""
CYCLE = PLAIN.replace("pix2pix", "cyclegan").replace("layout: paired", "layout: unpaired")
SHIPPED = sorted(file.stem for file in shared("recipes").glob("*.yaml") if not file.stem.startswith("distil_"))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """load(text, *overrides): the recipe in a file with this text."""

    def read(text: str | bytes, *overrides: str) -> Any:
        path = tmp_path / "written.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return recipe.load(path, overrides)

    return read


def refused(load: Callable[..., Any], text: str | bytes, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(text, *overrides)
    return str(caught.value)


# What YAML 1.2 means


def test_a_number_with_an_exponent_is_a_number(load: Callable[..., Any]) -> None:
    assert load(PLAIN + "players: {generator: {lr: 2e-4}}").players.generator.lr == 2e-4


def test_no_is_a_word_and_not_false(load: Callable[..., Any]) -> None:
    assert load(PLAIN.replace('"no"', "no")).data.root == Path("no")
    assert "got 'no'" in refused(load, PLAIN + "seed: no")


def test_a_recipe_cannot_be_changed(load: Callable[..., Any]) -> None:
    loaded = load(PLAIN)
    with pytest.raises(ValidationError, match="frozen"):
        loaded.batch = 3
    with pytest.raises(ValidationError, match="frozen"):
        loaded.players.generator.lr = 1.0


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (PLAIN + "model: gan", "duplicate key"),
        (PLAIN + "players: {generator: &g {lr: 1e-4}, discriminator: *g}", "alias"),
        (PLAIN + "weights: " + "{a: " * 25 + "1" + "}" * 25, "deep"),
        (PLAIN + "weights: " + "[" * 100_000, "deep"),
        (PLAIN + "#" * 2**18, "bytes"),
        (PLAIN + 'seed: !!python/object/apply:os.system ["touch owned"]', "not readable"),
        (PLAIN + "seed: !!python/name:os.system", "not readable"),
        (PLAIN + "seed: !unknown 3", "not readable"),
        (PLAIN + "---\nmodel: gan", "not readable"),
        (PLAIN + "? [a, b]\n: 3", "not a valid recipe"),
        ("model: [", "not readable"),
        ("- a list", "mapping"),
        ("", "mapping"),
        (b"model: \xff\xfe", "not readable"),
        (b"model: \x00", "not readable"),
        (PLAIN + "seed: " + "9" * 5000, "not readable"),
    ],
)
def test_hostile_yaml_is_refused_in_words(load: Callable[..., Any], text: str | bytes, word: str) -> None:
    message = refused(load, text)
    assert word in message
    assert "written.yaml" in message  # says which file
    assert len(message) < 1000
    assert not Path("owned").exists()


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_infinity_is_no_setting(load: Callable[..., Any], value: str) -> None:
    assert "recipe.pix2pix.weights.l1" in refused(load, PLAIN + f"weights: {{l1: {value}}}")


# What is said about a mistake


@pytest.mark.parametrize(
    ("changed", "where", "nearest"),
    [
        (CYCLE + "weights: {identty: 5}", "recipe.cyclegan.weights.identty: unknown key", "identity"),
        (PLAIN + "generater: {}", "recipe.pix2pix.generater: unknown key", "generator"),
        (PLAIN + "generator: {kind: unet, levls: 3}", "recipe.pix2pix.generator.unet.levls: unknown key", "levels"),
        (PLAIN.replace("crop", "corp"), "recipe.pix2pix.data.corp: unknown key", "crop"),
        (PLAIN.replace("steps", "step"), "recipe.pix2pix.schedule.0.step: unknown key", "steps"),
        (PLAIN + "players: {generator: {beta: [0, 1]}}", "recipe.pix2pix.players.generator.beta", "betas"),
        (PLAIN.replace("pix2pix", "pix2pics"), "`model:` is 'pix2pics'", "pix2pix"),
        (PLAIN + "generator: {kind: resnt}", "recipe.pix2pix.generator: `kind:` is 'resnt'", "resnet"),
        (PLAIN.replace("paired", "pared"), "recipe.pix2pix.data.layout", "paired"),
        (PLAIN.replace("pix2pix", "gan").replace("paired", "mixtur"), "recipe.gan.data: `layout:`", "mixture"),
        (PLAIN + "loss: lest-squares", "recipe.pix2pix.loss", "Did you mean least-squares"),
        (PLAIN.replace("steps: 3", "steps: 3, lr: cosin"), "recipe.pix2pix.schedule.0.lr", "Did you mean cosine"),
        (PLAIN.replace("adversarial", "adverserial"), "recipe.schedule.0.phase", "Did you mean adversarial"),
        (PLAIN.replace("crop: 16", "crop: 16, augment: [Blurr]"), "recipe.pix2pix.data.augment", "Did you mean Blur"),
        (PLAIN.replace("adversarial", "forward"), "recipe.schedule.0.phase", "adversarial"),
        (PLAIN.replace("adversarial", "product"), "recipe.schedule.0.phase", "adversarial"),
    ],
)
def test_a_mistake_names_its_place_and_what_comes_nearest(
    load: Callable[..., Any], changed: str, where: str, nearest: str
) -> None:
    message = refused(load, changed)
    assert where in message
    assert nearest in message.split(where)[1]


@pytest.mark.parametrize("text", ["seed: 3", "model:"])
def test_a_recipe_without_a_model_lists_the_models(load: Callable[..., Any], text: str) -> None:
    message = refused(load, text)
    assert "cyclegan" in message
    assert "pix2pix" in message


def test_every_mistake_is_told_at_once(load: Callable[..., Any]) -> None:
    message = refused(load, PLAIN + "seed: -1\nbatch: 0\nweights: {l2: 1}")
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [
        "recipe.pix2pix.seed",
        "recipe.pix2pix.batch",
        "recipe.pix2pix.weights.l2",
    ]


def test_a_wrong_item_of_a_list_is_told_once(load: Callable[..., Any]) -> None:
    lines = refused(load, PLAIN.replace("steps: 3", "steps: zero")).splitlines()[1:]
    assert len(lines) == 1
    assert "recipe.pix2pix.schedule.0.steps" in lines[0]


def test_a_phase_has_one_length(load: Callable[..., Any]) -> None:
    assert "either `epochs` or `steps`" in refused(load, PLAIN.replace("steps: 3", "steps: 3, epochs: 1"))
    assert "either `epochs` or `steps`" in refused(load, PLAIN.replace(", steps: 3", ""))


def test_phases_are_the_public_methods_of_batches_and_game() -> None:
    class Model:
        def first(self, batches: Any, game: Any) -> None: ...
        def second(self, batches: Any, game: Any) -> None: ...
        def _hidden(self, batches: Any, game: Any) -> None: ...
        def other(self, batches: Any) -> None: ...

    assert recipe.phases(Model) == ["first", "second"]


def test_an_unknown_recipe_suggests_shipped_ones() -> None:
    with pytest.raises(UserError, match="Did you mean quickstart"):
        recipe.find("quikstart")


def test_a_recipe_is_found_by_name_by_shipped_path_and_by_file(tmp_path: Path) -> None:
    own = tmp_path / "quickstart.yaml"
    own.write_text(PLAIN)
    assert recipe.find("quickstart") == recipe.find("recipes/quickstart.yaml").resolve() == shared("recipes") / own.name
    assert recipe.find(own) == own


# --set


def test_set_reaches_nested_keys_and_places_in_lists(load: Callable[..., Any]) -> None:
    changed = load(
        PLAIN,
        "players.generator.lr=1e-3",
        "schedule.0.steps=7",
        "generator={kind: resnet, blocks: 2}",
        "data.augment=[Blur, {ColorJitter: {brightness: 0.1}}]",
        "ema=0.5",
    )
    assert changed.players.generator.lr == 1e-3
    assert changed.players.discriminator.lr == 2e-4
    assert changed.schedule[0].steps == 7
    assert changed.generator.blocks == 2
    assert changed.data.augment == ("Blur", {"ColorJitter": {"brightness": 0.1}})
    assert changed.ema == 0.5


def test_the_last_set_of_a_key_counts(load: Callable[..., Any]) -> None:
    assert load(PLAIN, "seed=1", "seed=2").seed == 2


def test_set_to_nothing_clears_a_setting(load: Callable[..., Any]) -> None:
    assert load(PLAIN + "ema: 0.9", "ema=").ema is None


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("players.generator.ln=1", "Did you mean lr"),
        ("players.generatr.lr=1", "Did you mean generator"),
        ("schedule.1.steps=3", "list of 1"),
        ("schedule.-1.steps=3", "list of 1"),
        ("schedule.².steps=3", "list of 1"),
        ("schedule.steps=3", "list of 1"),
        ("schedule.0=3", "recipe.pix2pix.schedule.0"),
        ("model.kind=3", "nothing below it"),
        ("seed", "key=value"),
        ("=3", "key=value"),
        ("seed=[", "--set seed=["),
        ("seed=!!python/name:os.system", "--set seed="),
        ("a..b=1", "unknown key"),
    ],
)
def test_a_wrong_set_is_refused_in_words(load: Callable[..., Any], override: str, word: str) -> None:
    assert word in refused(load, PLAIN, override)


# Round trips


@pytest.mark.parametrize("name", SHIPPED)
def test_a_written_out_recipe_reads_back_equal(load: Callable[..., Any], name: str) -> None:
    original = recipe.load(name)
    assert load(recipe.dump(original)) == original
    assert recipe.build(original.model_dump(mode="json"), "json") == original


@pytest.mark.parametrize("root", ["no", "2e-4", "null", "~", "a: b", "# x", "0x1f", "ünï", " edge ", "1_000", "[a]"])
def test_a_word_survives_writing_out_whatever_it_looks_like(load: Callable[..., Any], root: str) -> None:
    original = load(PLAIN, "seed=5").model_copy(update={"data": load(PLAIN).data.model_copy(update={"root": root})})
    assert str(load(recipe.dump(original)).data.root) == root


def test_small_numbers_survive_writing_out(load: Callable[..., Any]) -> None:
    original = load(PLAIN + "players: {generator: {lr: 1e-05, betas: [0.0, 1e-9]}}")
    assert load(recipe.dump(original)) == original
