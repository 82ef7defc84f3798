"""`report.html`: a run in one page that opens from disk: alarms, scores, samples over time, curves, settings.

It shows what the run's folder holds and leaves out what is not there, so it serves a run at work, a finished one, and
the folder of several seeds.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from i2i.engine import monitor
from i2i.engine.monitor import ALARMS, VALIDATION, Line
from i2i.engine.pictures import Curve, curves
from i2i.files import atomically

Row = Mapping[str, Mapping[str, float | None]]  # score → {"mean", "interval"}


def write(run: Path, title: str, recipe: str, note: str, criterion: tuple[str, bool] | None = None) -> Path:
    """Writes the page from what the run has left on disk. `recipe`: its YAML. `note`: one line on how it stands.

    `criterion`: the validation score that chooses the best model, and whether larger is better; its best step is marked
    in the curves.
    """
    lines, validations = monitor.read(run), monitor.read(run, VALIDATION)
    grids = sorted(file for file in (run / "samples").glob("*.png") if file.stem.isdecimal())
    body = (
        _section("Alarms", _alarms(monitor.read(run, ALARMS))),
        _section("Test pictures", _test(_json(run / "test.json"))),
        _section("Over seeds", _seeds(_json(run / "seeds.json"))),
        _section("Samples over time", SLIDER if grids else ""),
        _section("Validation", _validation(validations, criterion)),
        _section("Losses", _losses(lines)),
        _section("Recipe", f"<pre>{html.escape(recipe)}</pre>"),
    )
    page = Template((Path(__file__).parent / "report.html").read_text("utf-8")).substitute(
        title=html.escape(title),
        note=html.escape(note),
        facts=_facts(lines[-1]) if lines else "",
        body="\n".join(part for part in body if part),
        frames=",".join(f'["{int(grid.stem):,}","samples/{grid.name}"]' for grid in grids),
    )
    path = run / "report.html"
    atomically(path, lambda temporary: temporary.write_text(page, "utf-8"))
    return path


SLIDER = """<p><label>after step <output id="step"></output>
  <input type="range" id="time" min="0" value="0" aria-label="training step of the samples"></label></p>
<p><img id="grid" alt="sample grid at the chosen step"></p>"""


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>\n{content}" if content else ""


def _facts(last: Line) -> str:
    facts = {
        "steps": f"{last['step']:,} of {last['steps']:,}",
        "training time": f"{last['seconds'] / 60:.1f} min",
        "pictures a second": f"{last['pictures_per_second']:.1f}",
        "waiting for data": f"{100 * last['data_share']:.1f} % of the time",
    }
    return "<dl>" + "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in facts.items()) + "</dl>"


def _alarms(lines: Sequence[Line]) -> str:
    """The newest first; one that has gone away says when."""
    cards: list[tuple[Line, int | None]] = []
    for line in lines:
        if not line.get("over"):
            cards.append((line, None))
            continue
        mine = [i for i, (card, gone) in enumerate(cards) if card["alarm"] == line["alarm"] and gone is None]
        for i in mine:
            cards[i] = (cards[i][0], line["step"])
    told = []
    for line, gone in reversed(cards):
        when = f"step {line['step']:,}" + (f", gone at {gone:,}" if gone else "")
        told.append(
            f'<div class="alarm{" gone" if gone else ""}"><h3>{_text(line["alarm"])}</h3> <small>{when}</small>'
            f"<p>{_text(line['seen'])}</p><p>{_text(line['change'])} <small>Look at {_text(line['where'])}.</small></p>"
            "</div>"
        )
    return "".join(told)


def _test(told: Mapping[str, Any]) -> str:
    """Final and best model beside the controls, which are the same for both."""
    final, best = told.get("final", {}), told.get("best")
    if not final:
        return ""
    same = best is None or told.get("best_step") == told.get("final_step", -1)
    rows: dict[str, Row] = {}
    for answer, row in final.get("scores", {}).items():
        if not answer.startswith("model"):
            rows[answer] = row
            continue
        model = f"<strong>{_text(answer)}</strong>"
        rows[f"{model}, {'best and final' if best and same else 'final'}"] = row
        if best and not same:
            rows[f"{model}, best (step {told['best_step']:,})"] = best["scores"].get(answer, {})
    chosen = f" The best model is chosen by {_text(told['chosen_by'])} on the val split." if "chosen_by" in told else ""
    what = f"{final.get('pictures', '?')} pictures of the {_text(final.get('split', 'test'))} split, scored once"
    return f"<p>{what}; ± is a 95 % interval.{chosen}</p>{_table(rows)}"


def _seeds(told: Mapping[str, Any]) -> str:
    if not told:
        return ""
    runs, rows = told.get("runs", ()), told.get("rows", {})
    links = [f'<a href="{html.escape(run)}/report.html">{html.escape(run)}</a>' for run in runs]
    head = _cells(["", "mean ± spread", *links], "th")
    body = [_cells([_text(name), f"{_digits(name, row['mean'])} ± {_digits(name, row['std'])}",
                    *(_digits(name, value) for value in row["values"])]) for name, row in rows.items()]  # fmt: skip
    note = f"The best model of each of {len(runs)} seeds on the test split; the spread is one standard deviation."
    return f"<p>{note}</p><div class=wide><table>{head}{''.join(body)}</table></div>"


def _table(rows: Mapping[str, Row]) -> str:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    head = _cells(["", *(_text(name).replace("_", "_<wbr>") for name in columns)], "th")
    body = [_cells([name, *(_score(column, row.get(column)) for column in columns)]) for name, row in rows.items()]
    return f"<div class=wide><table>{head}{''.join(body)}</table></div>"


def _score(name: str, value: Mapping[str, float | None] | None) -> str:
    if value is None or value.get("mean") is None:
        return ""
    half = value.get("interval")
    return _digits(name, value["mean"]) + (f" <small>±{_digits(name, half)}</small>" if half is not None else "")


def _digits(name: str, value: float | None) -> str:
    return "" if value is None else f"{value:.{4 if 'kid' in name else 3}f}"


def _cells(texts: Iterable[str], kind: str = "td") -> str:
    return "<tr>" + "".join(f"<{kind}>{text}</{kind}>" for text in texts) + "</tr>"


def _validation(lines: Sequence[Line], criterion: tuple[str, bool] | None) -> str:
    """A panel for each score; `a2b/fid`, `b2a/fid` and their mean `fid` share one."""
    if not lines:
        return ""
    groups: dict[str, dict[str, Curve]] = {}
    names = dict.fromkeys(name for line in lines for name in line["scores"])
    ways = any("/" in name for name in names)
    for name in names:
        told = [(line["step"], line["scores"][name]) for line in lines if name in line["scores"]]
        way, _, score = name.rpartition("/")
        label = way or ("mean" if ways else score)
        groups.setdefault(score, {})[label] = ([step for step, _ in told], [value for _, value in told])
    best, note = None, ""
    if criterion and any(criterion[0] in line["scores"] for line in lines):
        name, larger = criterion
        scored = [(line["scores"][name], line["step"]) for line in lines if name in line["scores"]]
        value, best = (max if larger else min)(scored, key=lambda at: at[0])
        note = f"<p>Best by {_text(name)}: {_digits(name, value)} at step {best:,} of the training, dotted.</p>"
    return note + curves(groups, best=best)


def _losses(lines: Sequence[Line]) -> str:
    """A panel for each player."""
    groups: dict[str, dict[str, Curve]] = {}
    for name in sorted({name for line in lines for name in line["losses"]}):
        player, _, loss = name.partition("/")
        told = [(line["step"], line["losses"][name]) for line in lines if name in line["losses"]]
        groups.setdefault(player, {})[loss] = ([step for step, _ in told], [value for _, value in told])
    return curves(groups) if groups else ""


def _text(words: str) -> str:
    """As text, with what stands in backquotes as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(str(words)))


def _json(path: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return told
