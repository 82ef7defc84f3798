"""What the words of a command name: files, folders and patterns → (source, target) for each picture and video."""

from collections.abc import Sequence
from glob import glob
from pathlib import Path

from i2i import images
from i2i.errors import UserError


def plan(inputs: Sequence[str | Path], out: Path) -> list[tuple[Path, Path]]:
    """(source, target) for all that the inputs name; a folder's tree is kept below `out`. `out` is a folder, or with
    one input file the name of its translation. Raises UserError when nothing is found, or names would clash."""
    jobs: list[tuple[Path, Path]] = []
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
    if images.is_media(out) and not out.is_dir():
        if len(jobs) == 1:
            return [(jobs[0][0], out)]
        raise UserError(f"--out {out} names one file, but there are {len(jobs)} to translate; give a folder.")
    clashes = len(jobs) - len({target for _, target in jobs})
    if clashes:
        raise UserError(f"{clashes} of the inputs have the same name as another; translate their folders one by one.")
    return jobs
