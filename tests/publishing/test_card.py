"""The text of a card: what comes from elsewhere stays text, the law is told, and the figures are read with care."""

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from i2i import recipe, zoo
from i2i.data import card as data_card
from i2i.data import names
from i2i.models import MODELS
from i2i.publishing import front, record, sources, words
from i2i.publishing.card import card, duration, large
from i2i.publishing.methods import PAPERS, papers

HOSTILE = [
    "a | b",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "*bold* _it_ `code` ~~gone~~ # head",
    "&lt; &amp; \\ \\* $x$",
    "line\n\n# heading\n---\n- item",
    "---\nlicense: mit\n---",
    "``` fence",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_has_no_meaning_in_markdown(text: str) -> None:
    """By a reference parser: what is shown is the text, in one paragraph without a tag."""
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(f"- Notes: {words.inline(text)}")
    plain = html.escape(" ".join(text.split()), quote=False)
    assert shown.replace("&quot;", '"') == f"<ul>\n<li>Notes: {plain}</li>\n</ul>\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_code_is_shown_as_it_is(text: str) -> None:
    shown = MarkdownIt("commonmark").render(words.fenced("python", f"before\n{text}"))
    assert shown == f'<pre><code class="language-python">before\n{html.escape(text)}\n</code></pre>\n'


@pytest.mark.parametrize(
    "value",
    [*HOSTILE, "no", "On", "1e5", "0x1F", "2026-01-01", "null", "~", "a: b", "- a", "'", '"', "é → 漢", "1:30", ""],
)
def test_front_matter_is_read_alike_by_both_versions_of_yaml(value: str) -> None:
    told = {"name": value, "list": [value], "number": 1.0, "small": 0.00001, "large": 123456.789, "whole": 3}
    text = words.front_matter(told)
    expected = told | {"name": " ".join(value.split()), "list": [" ".join(value.split())], "small": 0.0}
    assert yaml.safe_load(text.removeprefix("---\n").removesuffix("---\n")) == expected  # 1.1, the hub's
    assert words.parted(f"{text}\n# body\n", "x") == (expected, "\n# body\n")  # 1.2


def test_a_text_without_front_matter_is_all_body() -> None:
    assert words.parted("# x\n\n---\n\ny", "x") == ({}, "# x\n\n---\n\ny")
    assert words.parted("---\n---\nbody", "x") == ({}, "body")


@pytest.fixture
def told(published: dict[str, Any]) -> record.Record:
    return record.read(published["pix2pix"])


@pytest.fixture
def settings(published: dict[str, Any]) -> Any:
    return recipe.load(published["pix2pix"] / "recipe.yaml")


def of(name: str) -> list[record.Record]:
    """What a record tells of a data set of the catalogue."""
    return [{key: data_card(name).model_dump(mode="json")[key] for key in record.TOLD}]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (of("earth_map2sat"), {"license": "apache-2.0"}),
        (of("clothing") + of("fluent_line2d3d"), {"license": "apache-2.0"}),
        (of("afhq"), {"license": "cc-by-nc-4.0"}),
        (of("maps"), {"license": "other", "license_name": "terms-of-maps"}),
        (of("maps") + of("clothing") + of("facades"), {"license": "other", "license_name": "terms-of-maps-facades"}),
        ([{"name": "mine"}], {"license": "unknown"}),
        ([], {"license": "unknown"}),
    ],
)
def test_weights_are_as_free_as_the_pictures(data: list[record.Record], expected: dict[str, str]) -> None:
    assert front.licence(data) == expected


def test_no_data_set_that_forbids_a_use_gives_free_weights() -> None:
    for name in names():
        free = front.licence(of(name)) == {"license": "apache-2.0"}
        assert free == (data_card(name).commercial == "yes"), name


def test_a_card_tells_whose_the_pictures_are(told: record.Record, settings: Any) -> None:
    text = card(told | {"data": of("fluent_line2d3d")}, settings)
    assert "Copyright (c) Microsoft Corporation." in text
    assert "- Licence: MIT\n" in text
    parsed = ModelCard(text).data
    assert parsed.datasets == ["fluent_line2d3d"]
    assert {each.dataset_name for each in parsed.eval_results} == {data_card("fluent_line2d3d").title}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_data_set_card_stays_text(told: record.Record, settings: Any, text: str) -> None:
    keys = ("title", "attribution", "source", "notes", "licence")
    made, plain = (
        card(told | {"data": [of("clothing")[0] | dict.fromkeys(keys, value)]}, settings) for value in (text, "x")
    )
    for made_of in (made, plain):
        ModelCard(made_of)  # its front matter is still one
    body = [words.parted(each, "x")[1] for each in (made, plain)]
    tokens = [[token.type for token in MarkdownIt("gfm-like", {"linkify": False}).parse(each)] for each in body]
    assert tokens[0] == tokens[1]
    tags = [[child.type for token in MarkdownIt("gfm-like", {"linkify": False}).parse(each) for child in
             token.children or () if child.type != "text"] for each in body]  # fmt: skip
    assert tags[0] == tags[1]


def test_the_way_of_a_data_set_is_told(told: record.Record, settings: Any) -> None:
    arrow = told | {"data": of("earth_day2night")}
    assert "the same place by night, in this direction." in card(arrow, settings)
    assert "the same place by night, the other way round." in card(arrow | {"reversed": True}, settings)
    both = card(arrow | {"directions": ["a2b", "b2a"]}, settings)
    assert "(`a2b`), and the other way round (`b2a`)." in both
    assert "--direction b2a" in both
    drawn = card(told | {"data": of("clothing"), "derived": "drawings (canny, hand)"}, settings)
    assert "Its inputs are drawings (canny, hand) of these" in drawn


def test_a_trivial_answer_that_is_as_good_is_named(told: record.Record, settings: Any) -> None:
    row = told["scores"]["test"]["scores"]
    changed = {"mean": row["model"]["ssim"]["mean"] + 0.1, "interval": 0.01}
    scores = told["scores"]["test"] | {"scores": row | {"mean picture": row["mean picture"] | {"ssim": changed}}}
    text = card(told | {"scores": {"val": None, "test": scores}}, settings)
    (line,) = [line for line in text.splitlines() if line.startswith("Trivial answers")]
    (part,) = [part for part in line.split(";") if "`ssim`" in part]
    assert "mean picture" in part
    assert "truth" not in line


def test_a_score_that_training_has_minimised_is_marked(told: record.Record, settings: Any) -> None:
    assert "flatters it, and" not in card(told, settings)
    seen = settings.model_copy(update={"weights": settings.weights.model_copy(update={"perceptual": 5.0})})
    assert "that score flatters it, and `fid_efflite0`" in " ".join(card(told, seen).split())


def test_the_energy_is_told_with_its_formula(told: record.Record, settings: Any) -> None:
    """By hand: an hour at 65 W is 0.065 kWh."""
    run = told["run"] | {"seconds": 3600.0}
    machine = told["cost"]["machine"] | {"watts": 65.0}
    text = card(told | {"run": run, "cost": told["cost"] | {"machine": machine}}, settings)
    assert "about 0.065 kWh. An estimate, no measurement: 3,600 s × 65 W" in text
    assert "- Training: 1 h 00 min of wall time" in text


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (764, "12 min 44 s"), (11_100, "3 h 05 min")])
def test_times_are_told_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(12, "12"), (3_110_000, "3.11 million"), (88_600_000, "88.6 million")])
def test_numbers_are_told_in_words(number: int, text: str) -> None:
    assert large(number) == text


def test_seeds_are_told_with_their_spread(told: record.Record, settings: Any) -> None:
    seeds = {"seeds": [0, 1], "rows": {"l1": {"values": [0.1, 0.3], "mean": 0.2, "std": 0.1414}}}
    text = card(told | {"run": told["run"] | {"seeds": seeds}}, settings)
    assert "| `l1` | 0.2 ± 0.14 | 0.1, 0.3 |" in text


def test_every_model_has_its_paper(tiny: Any) -> None:
    known = {kind.model_fields["model"].annotation.__args__[0] for kind in MODELS}
    assert known - {"imported"} == set(PAPERS)
    augmented = recipe.build(tiny("pix2pix", diffaugment=["cutout"]), "test")
    assert [paper.arxiv for paper in papers(augmented)] == ["1611.07004", "2006.10738"]


def test_places_are_cut_to_their_last_name(tiny: Any) -> None:
    settings = recipe.build(tiny("pix2pix"), "test")
    assert str(record.without_places(settings).data.root) == "sides"
    mixed = tiny("pix2pix")
    mixed["data"] |= {"root": None, "mix": [{"root": "/home/me/a"}, {"manifest": "C:\\Users\\me\\b.csv"}]}
    parts = record.without_places(recipe.build(mixed, "test")).data.mix
    assert (str(parts[0].root), str(parts[1].manifest)) == ("a", "b.csv")
    assert record.last_name("s3://bucket/x-{00..09}.tar?token=secret") == "x-{00..09}.tar"


def test_nothing_but_the_model_is_needed_to_be_loaded(published: dict[str, Any]) -> None:
    assert list(zoo.load(published["cyclegan"], torch.device("cpu")).product) == ["a2b", "b2a"]


def test_a_student_of_a_model_is_said_to_be_one(trained: dict[str, Any], told: record.Record, settings: Any) -> None:
    run = Path(trained["pix2pix"].run).with_name("student")
    shutil.copytree(trained["pix2pix"].run, run, dirs_exist_ok=True)
    (run / "distilled.json").write_text(json.dumps({"teacher": {"name": "/home/me/runs/large"}}))
    student = record.training(sources.find(run), settings)
    assert student["teacher"] == "large"
    text = card(told | {"run": student}, settings)
    assert "the answers of the model `large` to them, not truths" in text
    assert "## Train it again" not in text
    assert "## Train it again" in card(told, settings)
