"""`report.html`: a run's curves, sample grids over time and settings in one page that opens from disk."""

import html
from pathlib import Path
from string import Template

from i2i.engine import monitor
from i2i.engine.checkpoint import atomically
from i2i.engine.pictures import curves


def write(run: Path, title: str, recipe: str, note: str) -> Path:
    """Writes the page from what the run has left on disk. `recipe`: its YAML. `note`: one line on how it stands."""
    lines = monitor.read(run)
    steps = [line["step"] for line in lines]
    names = sorted({name for line in lines for name in line["losses"]})
    groups: dict[str, dict[str, list[float]]] = {}
    for name in names:
        player, _, loss = name.partition("/")
        values = [line["losses"].get(name, float("nan")) for line in lines]
        groups.setdefault(player, {})[loss] = values
    grids = sorted(file for file in (run / "samples").glob("*.png") if file.stem.isdecimal())
    last = lines[-1] if lines else {}
    facts = {
        "steps": f"{last.get('step', 0):,} of {last.get('steps', 0):,}",
        "training time": f"{last.get('seconds', 0) / 60:.1f} min",
        "pictures a second": f"{last.get('pictures_per_second', 0):.1f}",
        "waiting for data": f"{100 * last.get('data_share', 0):.1f} % of the time",
    }
    page = Template((Path(__file__).parent / "report.html").read_text("utf-8")).substitute(
        title=html.escape(title),
        note=html.escape(note),
        facts="".join(f"<div><dt>{key}</dt><dd>{html.escape(value)}</dd></div>" for key, value in facts.items()),
        curves=curves(steps, groups) if groups else "<p>No losses logged yet.</p>",
        frames=",".join(f'["{int(grid.stem):,}","samples/{grid.name}"]' for grid in grids),
        recipe=html.escape(recipe),
    )
    path = run / "report.html"
    atomically(path, lambda temporary: temporary.write_text(page, "utf-8"))
    return path
