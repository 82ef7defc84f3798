"""`README.md`: the model card, written from the record alone, so that the two cannot say different things."""

from typing import Any

from i2i.engine.settings import Settings
from i2i.publishing import words
from i2i.publishing.figures import WHAT, figures
from i2i.publishing.front import front
from i2i.publishing.measures import energy
from i2i.publishing.methods import papers
from i2i.publishing.record import Record
from i2i.publishing.usage import usage

GRID, FAILURES = "grid.jpg", "failures.jpg"
ABOUT = """## What it is good and bad for

It is made for pictures like those of its data set, {at}. What it has not seen there it does not know: for other kinds
of pictures, things of another size and other light it still gives something that looks like its training pictures. It
invents what the input does not say. So its pictures are no evidence of anything, and nothing that matters to people
should be decided by them."""


def card(record: Record, settings: Settings, about: str = "", given: dict[str, Any] | None = None) -> str:
    """The whole text. `about`: what its author says of it, Markdown, in place of a general word; `given`: the author's
    front matter. Everything else that comes from elsewhere is escaped."""
    parts = (
        f"# {record['name']}\n\n{_summary(record)}",
        f"![{_grid(record)}]({GRID})\n\n*{_grid(record)}*" if record["pictures"] else "",
        about.strip() or ABOUT.format(at=f"at about {record['crop']} × {record['crop']} px"),
        usage(record),
        figures(record, settings),
        _failures(record),
        _data(record),
        _training(record, settings),
        _cost(record),
        _again(record),
        _files(record),
        _citation(settings),
    )
    return words.front_matter(front(record, given or {})) + "\n" + "\n\n".join(filter(None, parts)) + "\n"


def _summary(record: Record) -> str:
    does = "draws pictures from noise" if record["task"] == "sample" else "translates pictures of any size"
    data = "; ".join(words.inline(each.get("title", each["name"])) for each in record["data"])
    return f"A `{record['model']}` model of i2i that {does}." + (
        f" It has learnt from: {data}{_way(record)}." if data else ""
    )


def _way(record: Record) -> str:
    """Which way a data set whose title has an arrow is gone, and what else a title does not say."""
    if record["derived"]:
        return f". Its inputs are {words.inline(record['derived'])} of these, made while training"
    if "→" not in record["data"][0].get("title", "") or record["task"] == "sample":
        return ""
    if len(record["directions"]) == 2:
        return " (`a2b`), and the other way round (`b2a`)"
    return ", the other way round" if record["reversed"] else ", in this direction"


def _grid(record: Record) -> str:
    grid = record["pictures"]["grid"]
    if record["task"] == "sample":
        return f"{grid['count']} samples, of seed {grid['seed']}, not chosen."
    return (
        f"{grid['count']} of {grid['of']} pictures of the {grid['split']} split, drawn by lot (seed {grid['seed']}), "
        f"not chosen."
    )


def _failures(record: Record) -> str:
    told = record["pictures"] and record["pictures"]["failures"]
    if not told:
        return ""
    by = f"`{told['by']}`" if told["by"] in WHAT else told["by"]
    text = f"The {told['count']} pictures of the {told['split']} split that it does worst, by {by}, the worst first."
    return f"## Where it fails\n\n{text}\n\n![{text}]({FAILURES})"


def _data(record: Record) -> str:
    if not record["data"]:
        return ""
    parts = ["## Data"]
    for each in record["data"]:
        if "title" not in each and record["run"] and record["run"]["teacher"]:
            teacher = words.code(record["run"]["teacher"])
            parts.append(f"Pictures and the answers of the model {teacher} to them, not truths (`i2i distil`).")
            continue
        if "title" not in each:
            parts.append(f"Pictures of its author: {words.code(each['name'])}.")
            continue
        facts = {
            "Licence": each["licence"],
            "Commercial use": each["commercial"],
            "Attribution": each["attribution"],
            "Source": each["source"],
            "Citation": each["citation"],
            "Notes": each["notes"],
        }
        lines = "\n".join(f"- {key}: {words.inline(value)}" for key, value in facts.items() if value)
        parts.append(f"**{words.inline(each['title'])}** (`i2i data info {each['name']}`)\n\n{lines}")
    chose = "chose the step that is published" if record["run"] and record["run"]["chosen_by"] else "measured alone"
    uses = {"train": "what it learnt from", "val": chose, "test": "measured alone"}
    rows = [[split, " + ".join(f"{n:,}" for n in told["pictures"]), uses[split], f"`{told['fingerprint'][:16]}`"]
            for split, told in record["splits"].items()]  # fmt: skip
    if rows:
        parts.append(words.table(["split", "pictures", "used for", "fingerprint"], rows, left=4))
    parts.append(f"Fingerprint of the training pictures, as the run saw them: `{record['fingerprint'] or 'unknown'}`.")
    return "\n\n".join(parts)


def _training(record: Record, settings: Settings) -> str:
    run, told = record["run"], settings.model_dump(mode="json")
    parts = ["## How it was trained"]
    cost = record["cost"]
    each = {way: f"{large(n)} parameters" for way, n in cost["parameters"].items()}
    sums = {way: f", {large(n)} multiply-adds for a picture of {record['crop']} × {record['crop']} px"
            for way, n in cost["multiply_adds"].items()}  # fmt: skip
    lines = [f"- `{way}`: {each[way]}{sums.get(way, '')}" for way in each]
    lines += [f"- {name}: {_words(told[name])}" for name in ("generator", "discriminator") if told.get(name)]
    if run:
        lines.append(f"- trained in all, with the discriminators: {large(run['parameters'])} parameters")
        lines.append(f"- seed {run['seed']}, batch {settings.batch}, precision {settings.precision}"
                     + (f", weights averaged with decay {settings.ema:g}" if settings.ema else ""))  # fmt: skip
        lines += [f"- {name}: {_words(told[name])}" for name in ("loss", "weights", "diffaugment") if told.get(name)]
        lines += [f"- optimiser of the {name}: {_words(player)}" for name, player in told.get("players", {}).items()]
        lines += [f"- schedule: {_words(phase)}" for phase in told["schedule"]]
        unfinished = (
            "" if run["trained"] >= run["steps"] else f"; the run was not at its end, it stood at {run['trained']:,}"
        )
        lines.append(f"- step {record['step']:,} of {run['steps']:,} is published{unfinished}")
    else:
        lines.append(f"- step {record['step']:,}; of its training no more is known than the recipe")
    parts += ["\n".join(lines), "All settings, with every default written out, are in [recipe.yaml](recipe.yaml)."]
    return "\n\n".join(parts)


def _words(value: Any) -> str:
    """The settings of a part, in a line of Markdown; what is off is left out."""
    if isinstance(value, dict):
        told = {key: each for key, each in value.items() if each not in (None, False, [], 0)}
        return ", ".join(f"{key} {_words(each)}" for key, each in told.items())
    return " ".join(map(_words, value)) if isinstance(value, list) else words.inline(value)


def _cost(record: Record) -> str:
    cost, run = record["cost"], record["run"]
    machine = cost["machine"]
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    lines = []
    if run and run["seconds"]:
        used, watts = run["seconds"], machine["watts"]
        lines.append(f"- Training: {duration(used)} of wall time for {run['trained']:,} steps, validations among them.")
        lines.append(
            f"- Energy: about {energy(used, watts):.2g} kWh. An estimate, no measurement: {used:,.0f} s × {watts:g} W "
            f"÷ 3 600 000, where the watts of the machine at work are assumed."
        )
    for way, milliseconds in cost["milliseconds"].items():
        lines.append(
            f"- `{way}`: {milliseconds:g} ms for a picture of {record['crop']} × {record['crop']} px by the ONNX file, "
            f"on one thread (median, processor time)."
        )
    lines.append(
        f"- Machine: {words.inline(machine['processor'])}{words.inline(gpu)}, {machine['cores']} cores, "
        f"{machine['system']}; torch {machine['torch']}, onnxruntime {machine['onnxruntime']}. The card was made "
        f"on it; a run does not tell where it was trained."
    )
    return "## What it costs\n\n" + "\n".join(lines)


def _again(record: Record) -> str:
    if not record["run"] or record["run"]["teacher"]:  # whose answers are not part of the folder
        return ""
    name = record["name"]
    commands = f"i2i train recipe.yaml --run runs/{name}\ni2i models publish runs/{name} -o again/{name}"
    return (
        f"## Train it again\n\n{words.fenced('', commands)}\n\nEvery random number is a function of the seed and the "
        f"step. With the same i2i ({words.inline(record['run']['i2i'])}), the same torch, type of processor and number "
        f"of threads the weights come out the same to the bit; before rounding their sha256 is\n"
        f"`{record['trained_weights']}` (`trained_weights` in card.json). Elsewhere sums are rounded in another way, "
        f"the weights drift apart, and what should agree are the scores, within what seeds differ by."
    )


def _files(record: Record) -> str:
    rows = [
        [f"[{name}]({name})", f"{told['bytes']:,}", f"`{told['sha256']}`"] for name, told in record["files"].items()
    ]
    return "## Files\n\n" + words.table(["file", "bytes", "sha256"], rows)


def _citation(settings: Settings) -> str:
    cited = papers(settings)
    if not cited:
        return ""
    named = "The method: " + ", ".join(paper.link for paper in cited) + "."
    return f"## Citation\n\n{named}\n\n" + words.fenced("bibtex", "\n\n".join(paper.bibtex for paper in cited))


def large(number: int) -> str:
    """`3.11 million`."""
    for word, size in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return str(number)


def duration(seconds: float) -> str:
    """`12 min 44 s`, `3 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
