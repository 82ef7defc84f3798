import json
import re
from pathlib import Path
from typing import Any

import pytest

from i2i.engine import report


def jsonl(path: Path, *lines: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def words(page: str) -> str:
    """What a reader sees of a page, without its drawings."""
    return re.sub(
        r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"<svg.*?</svg>|<script.*?</script>", "", page, flags=re.S))
    )


def losses(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "steps": 2000,
        "phase": "adversarial",
        "rate": 1.0,
        "seconds": step / 10,
        "pictures_per_second": 12.34,
        "data_share": 0.025,
        "losses": {"generator/l1": 1 / step, "generator/adversarial": 1.0, "discriminator/real": 0.3},
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    jsonl(tmp_path / "metrics.jsonl", losses(500), losses(1000))
    return tmp_path


def write(run: Path, **more: Any) -> str:
    return report.write(run, "my run", "model: pix2pix", "at step 1,000", **more).read_text("utf-8")


def test_a_run_that_has_only_begun_has_a_page_too(tmp_path: Path) -> None:
    page = write(tmp_path)
    assert re.findall("<h2>(.*)</h2>", page) == ["Recipe"]


def test_each_part_is_there_when_its_file_is(run: Path) -> None:
    assert re.findall("<h2>(.*)</h2>", write(run)) == ["Losses", "Recipe"]
    (run / "samples").mkdir()
    (run / "samples" / "0000500.png").write_bytes(b"")
    jsonl(run / "validation.jsonl", {"step": 500, "scores": {"psnr": 20.0}})
    jsonl(run / "alarms.jsonl", {"step": 500, "alarm": "stalled", "seen": "s", "where": "w", "change": "c"})
    (run / "test.json").write_text(
        json.dumps({"final": {"scores": {"model": {"l1": {"mean": 0.1, "interval": 0.01}}}}})
    )
    (run / "seeds.json").write_text(json.dumps({"seeds": [0], "runs": ["seed0"], "rows": {}}))
    titles = ["Alarms", "Test pictures", "Over seeds", "Samples over time", "Validation", "Losses", "Recipe"]
    page = write(run)
    assert re.findall("<h2>(.*)</h2>", page) == titles
    assert '["500","samples/0000500.png"]' in page
    assert page.count("<svg") == 2
    assert "1,000 of 2,000" in words(page)
    assert "2.5 % of the time" in words(page)


def test_a_page_without_samples_does_not_look_for_them(run: Path) -> None:
    page = write(run)
    assert 'id="time"' not in page
    assert "if (time)" in page


def test_the_best_validation_is_the_one_that_the_criterion_likes(run: Path) -> None:
    scores = ((500, 0.4, 20.0), (1000, 0.2, 21.0), (1500, 0.3, 23.0))
    jsonl(run / "validation.jsonl", *({"step": s, "scores": {"kid_x": k, "psnr": p}} for s, k, p in scores))
    assert "Best by kid_x: 0.2000 at step 1,000" in words(write(run, criterion=("kid_x", False)))
    assert "Best by psnr: 23.000 at step 1,500" in words(write(run, criterion=("psnr", True)))
    assert "Best by" not in write(run)
    assert "Best by" not in write(run, criterion=("other", True))


def test_the_directions_of_a_score_share_a_panel(run: Path) -> None:
    jsonl(run / "validation.jsonl", {"step": 500, "scores": {"fid": 60.0, "a2b/fid": 50.0, "b2a/fid": 70.0}})
    page = write(run)
    drawing = page[page.index("<svg") : page.index("</svg>")]
    assert re.findall(r">([a-z][\w/]*)</text>", drawing) == ["fid", "mean", "a2b", "b2a"]


def test_alarms_say_what_was_seen_where_and_what_to_type_and_when_they_were_over(run: Path) -> None:
    card = {"seen": "Too <b>bright</b>.", "where": "the grid", "change": "Type `--set seed=1`."}
    jsonl(
        run / "alarms.jsonl",
        {"step": 500, "alarm": "first", **card},
        {"step": 600, "alarm": "second", **card},
        {"step": 700, "alarm": "first", "over": True, "seen": "No longer seen.", "where": "", "change": ""},
        {"step": 900, "alarm": "first", **card},
        {"step": 950, "alarm": "first", "over": True, "seen": "No longer seen.", "where": "", "change": ""},
        {"step": 990, "alarm": "first", **card},
    )
    page = write(run)
    told = words(page)
    cards = ("first step 990 Too", "first step 900, gone at 950", "second step 600 Too", "first step 500, gone at 700")
    order = [told.index(card) for card in cards]
    assert order == sorted(order)
    assert page.count('class="alarm"') == 2
    assert page.count('class="alarm gone"') == 2
    assert "&lt;b&gt;bright" in page
    assert "<code>--set seed=1</code>" in page
    assert "Look at the grid." in told


def test_final_and_best_stand_beside_the_controls_once(run: Path) -> None:
    def scores(model: float, interval: float | None) -> dict[str, Any]:
        rows = {"model": {"l1": {"mean": model, "interval": 0.01}, "kid_x": {"mean": 0.00123, "interval": interval}}}
        return {"split": "test", "pictures": 99, "scores": rows | {"copy": {"l1": {"mean": 0.5, "interval": 0.02}}}}

    told = {"final": scores(0.2, 0.0005), "best": scores(0.125, None), "best_step": 1500, "final_step": 2000}
    (run / "test.json").write_text(json.dumps(told | {"chosen_by": "kid_x"}))
    text = words(write(run))
    assert "99 pictures of the test split, scored once" in text
    assert "model , final 0.200 ±0.010 0.0012 ±0.0005 model , best (step 1,500) 0.125 ±0.010 0.0012 copy 0.500" in text
    assert "chosen by kid_x on the val split" in text
    assert text.count("copy") == 1

    (run / "test.json").write_text(json.dumps(told | {"best_step": 2000}))
    text = words(write(run))
    assert "model , best and final 0.200" in text
    assert text.count("model ,") == 1


def test_scores_of_an_unknown_shape_break_no_page(run: Path) -> None:
    for told in ({}, {"final": {}}, {"final": {"scores": {"model": {"l1": {"mean": None}}}}}):
        (run / "test.json").write_text(json.dumps(told))
        assert "Recipe" in write(run)
    (run / "test.json").write_text('{"final": {"sco')
    assert "Test pictures" not in write(run)


def test_seeds_have_a_mean_a_spread_and_links_to_their_own_pages(tmp_path: Path) -> None:
    rows = {
        "l1": {"values": [0.1, 0.2, 0.3], "mean": 0.2, "std": 0.1},
        "kid_x": {"values": [0.001], "mean": 0.001, "std": 0},
    }
    told = {"seeds": [0, 1, 2], "runs": ["seed0", "seed1", "seed2"], "rows": rows}
    (tmp_path / "seeds.json").write_text(json.dumps(told))
    page = write(tmp_path)
    assert re.findall('href="(.*?)"', page) == [f"seed{i}/report.html" for i in range(3)]
    assert "l1 0.200 ± 0.100 0.100 0.200 0.300" in words(page)
    assert "0.0010 ± 0.0000" in words(page)


def test_the_page_needs_nothing_from_elsewhere_and_has_a_dark_side(run: Path) -> None:
    page = write(run)
    assert "http" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
