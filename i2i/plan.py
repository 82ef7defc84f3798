"""What the words of a command name: files, folders and patterns → (source, target) for each picture and video, and the
files of its conditions."""

from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path

from i2i import images
from i2i.errors import UserError

Jobs = list[tuple[Path, Path]]  # (source, target) of each


def plan(inputs: Sequence[str | Path], out: Path) -> Jobs:
    """(source, target) for all that the inputs name; a folder's tree is kept below `out`. `out` is a folder, or with
    one input file the name of its translation. Raises UserError when nothing is found, or names would clash."""
    jobs: Jobs = []
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if images.is_media(file) and out not in file.parents)
            if not found:
                known = ", ".join(sorted(images.SUFFIXES | images.VIDEO_SUFFIXES))
                raise UserError(f"The folder {given} has no pictures or videos ({known}).")
            jobs += [(file, out / images.target_name(file.relative_to(path))) for file in found]
        else:
            matches = [path] if path.exists() else [Path(match) for match in sorted(glob(str(given), recursive=True))]
            if not matches:
                raise UserError(f"There is no file or folder {str(given)!r}, and nothing matches it as a pattern.")
            jobs += [(file, out / images.target_name(file.name)) for file in matches if file.is_file()]
    if names_a_file(out):
        if len(jobs) == 1:
            return [(jobs[0][0], out)]
        raise UserError(f"--out {out} names one file, but there are {len(jobs)} to translate; give a folder.")
    _check(jobs)
    return jobs


def names_a_file(out: Path) -> bool:
    """Whether `out` is the name of a picture or video, and not of a folder."""
    return images.is_media(out) and not out.is_dir()


def holding(jobs: Jobs, out: Path, channels: int, classes: bool) -> Jobs:
    """The jobs, with targets whose formats can hold what a model makes: where a suffix cannot, it becomes .png, or .tif
    for channels that are no colours. A name that somebody has chosen stays. Raises UserError if names clash by it."""
    if names_a_file(out):
        return jobs
    able = ".png" if classes or channels in (2, 4) else ".tif"
    kept = [
        (source, target if images.is_video(target) or not images.misfit(target, channels, classes) else
         target.with_suffix(able)) for source, target in jobs
    ]  # fmt: skip
    _check(kept)
    return kept


def _check(jobs: Jobs) -> None:
    clashes = len(jobs) - len({target for _, target in jobs})
    if clashes:
        raise UserError(f"{clashes} of the inputs have the same name as another; translate their folders one by one.")


def conditions(words: Sequence[str]) -> dict[str, str]:
    """`mask=FOLDER` of a command line → {'mask': 'FOLDER'}. Raises UserError for other words, and for a name twice."""
    found: dict[str, str] = {}
    for word in words:
        name, _, place = word.partition("=")
        if not name or not place or name in found:
            twice = "this name is there twice" if name in found else "expected NAME=FOLDER or NAME=FILE"
            raise UserError(f"--condition {word}: {twice}, as in --condition mask=masks/")
        found[name] = place
    return found


class Companions:
    """The files of conditions: in a folder those of equal names, whatever their suffix, or one file for one input."""

    def __init__(self, places: Mapping[str, str | Path], jobs: Jobs, out: Path) -> None:
        """`places`: for each condition its folder or file. Raises UserError for one that is not there, and for one file
        beside many inputs."""
        self.places = {name: Path(place) for name, place in places.items()}
        self.out = out
        self.found: dict[str, dict[str, list[Path]]] = {}
        for name, place in self.places.items():
            if place.is_dir():
                self.found[name] = {}
                for file in sorted(file for file in place.rglob("*") if images.is_media(file)):
                    self.found[name].setdefault(_key(file.relative_to(place)), []).append(file)
            elif not place.is_file():
                raise UserError(f"--condition {name}={place}: there is no such file or folder.")
            elif len(jobs) != 1:
                raise UserError(
                    f"--condition {name}={place} is one file, and there are {len(jobs)} inputs. Give a folder with a "
                    f"file for each, of its name."
                )

    def inputs(self, jobs: Jobs) -> Jobs:
        """The jobs without what are conditions themselves: their folder may lie in that of the inputs."""
        folders = [self.places[name].resolve() for name in self.found]
        return [job for job in jobs if not any(folder in job[0].resolve().parents for folder in folders)]

    def of(self, source: Path, target: Path) -> dict[str, Path]:
        """The file of each condition for one job. Raises UserError where one is missing, or more than one fits."""
        return {name: self._one(name, source, target) for name in self.places}

    def _one(self, name: str, source: Path, target: Path) -> Path:
        place = self.places[name]
        if name not in self.found:
            return place
        key = _key(target.relative_to(self.out)) if self.out in target.parents else source.stem
        files = self.found[name].get(key, [])
        alike = [file for file in files if file.suffix == source.suffix] if len(files) > 1 else files
        if not alike:
            some = f"{len(files)} files" if files else "no file"
            raise UserError(f"{source}: {place} has {some} named '{key}' for its {name}, where one is expected.")
        return alike[0]


def _key(relative: Path) -> str:
    """A name that pairs a picture with its conditions."""
    return relative.with_suffix("").as_posix()
