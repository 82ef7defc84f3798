"""`i2i doctor`: does this machine have what i2i needs, and what to type where it has not.

What may crash or hang, drivers and everything that loads them, runs in processes of its own.
"""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from json import dumps
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.version import Version
from rich.console import Console
from rich.table import Table
from rich.text import Text

from i2i import __version__
from i2i.data.crew import cores
from i2i.paths import home
from i2i.runtime import gpu
from i2i.runtime.probe import answer, start

State = Literal["ok", "warn", "bad"]
STYLES = {"ok": "green", "warn": "yellow", "bad": "bold red"}
SECURITY = {  # the first releases without a hole that a file from elsewhere can use
    "torch": ("2.10", "older ones run code from weights (CVE-2026-24747)"),
    "pillow": ("13.0.0", "older ones overflow in the JPEG decoder"),
    "onnx": ("1.21", "older ones read any file that a model names"),
}
SHOWN = ("torch", "torchvision", "kornia", "numpy", "pillow", "onnx", "pydantic")  # the rest only where it is wrong
PATIENCE = 60.0  # seconds for a device to answer; a healthy one needs 1 to 20, TensorRT longest
LEAST, LITTLE = 0.5e9, 5e9  # bytes free on a disk: bad, worth knowing
TORCH = """
import json, torch
told = {"version": torch.__version__, "cuda": torch.version.cuda, "gpus": torch.cuda.device_count(), "works": False}
devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
sums = [torch.conv2d(torch.ones(1, 1, 3, 3, device=d), torch.ones(1, 1, 3, 3, device=d)).item() for d in devices]
print(json.dumps(told | {"works": sums == [9.0] * len(devices), "devices": devices}))
"""


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, what was found, and where it is not ok, what to do."""

    name: str
    state: State
    found: str
    fix: str = ""


def checkup() -> list[Finding]:
    """Everything that can be seen of this machine without training or translating; takes some seconds, no network."""
    learning = start("-c", TORCH)  # first, since it takes longest
    probes = {device: start("-m", "i2i.runtime.probe", device) for device in gpu.PROVIDERS}
    findings = [*python(), *packages(), onnxruntime(), *extras()]
    findings.append(torch(answer(learning, PATIENCE)))
    cards = graphics()
    findings += [device(name, answer(probe, PATIENCE)) for name, probe in probes.items()]
    return [*findings, *cards, *machine(), *disks()]


def json(findings: Sequence[Finding]) -> str:
    """For programs: a list of objects with the fields of `Finding`."""
    return dumps([asdict(finding) for finding in findings], indent=1)


def table(findings: Sequence[Finding], console: Console | None = None) -> str:
    """For people: columns in a terminal; a line each, unwrapped and plain, for a file or another program."""
    shown = console or Console()
    width = max(len(finding.name) for finding in findings)
    grid = Table.grid(padding=(0, 2))
    with shown.capture() as captured:
        for each in findings:
            if shown.is_terminal:
                told = Text(each.found).append(f"\n→ {each.fix}" if each.fix else "", style="bold")
                grid.add_row(Text(each.state, style=STYLES[each.state]), Text(each.name), told)
            else:
                fix = f"  → {each.fix}" if each.fix else ""
                shown.print(Text(f"{each.state:4}  {each.name:{width}}  {each.found}{fix}"), soft_wrap=True)
        if shown.is_terminal:
            shown.print(grid)
        bad, warn = (sum(finding.state == state for finding in findings) for state in ("bad", "warn"))
        shown.print(f"{bad} bad, {warn} to know about." if bad or warn else "All is well.", highlight=False)
    return captured.get().rstrip("\n")


def python() -> Iterator[Finding]:
    here = platform.python_version()
    found = f"{here}, {platform.system()} {platform.machine()}"
    ok = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if ok else "bad", found, "" if ok else "Install Python 3.11 or newer")
    yield Finding("i2i", "ok", __version__)


def packages() -> Iterator[Finding]:
    """The packages that i2i declares, against the versions it declares, and against those that are safe."""
    try:
        declared = [Requirement(line) for line in metadata.requires("i2i") or ()]
    except metadata.PackageNotFoundError:
        declared = []
        yield Finding("i2i", "warn", "is not installed, so its packages are not known", "pip install -e .")
    needed = [r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})]
    names = {r.name.lower() for r in needed}
    needed += [Requirement(f"{name}>={least}") for name, (least, _) in SECURITY.items() if name not in names]
    good = 0
    for wanted in needed:
        finding = package(wanted)
        if finding.name in SHOWN or finding.state != "ok":
            yield finding
        else:
            good += 1
    yield Finding("others", "ok", f"{good} more packages as i2i needs them")


def package(wanted: Requirement) -> Finding:
    name = wanted.name.lower()
    least, why = SECURITY.get(name, ("0", ""))
    version, fix = _version(name), f"pip install -U '{wanted.name}{wanted.specifier}'"
    if version is None and name in gpu.PACKAGES:
        return Finding(name, "ok", "is looked at below")  # another one of them may do its work
    if version is None:
        return Finding(name, "bad", "is not installed", fix)
    if Version(version) < Version(least):
        return Finding(name, "bad", f"{version} is not safe: {why}", f"pip install -U '{name}>={least}'")
    if not wanted.specifier.contains(version, prereleases=True):
        return Finding(name, "bad", f"{version}; i2i needs {wanted.specifier}", fix)
    return Finding(name, "ok", version)


def onnxruntime() -> Finding:
    """Two packages with one module: both installed, CUDA may be gone without a word, and `pip check` is content."""
    installed = gpu.packages()
    found = ", ".join(f"{name} {version}" for name, version in installed.items())
    if len(installed) == 1:
        return Finding("onnxruntime", "ok", found)
    if not installed:
        return Finding("onnxruntime", "bad", "is not installed", gpu.one_package(["onnxruntime"]))
    return Finding("onnxruntime", "bad", f"{found} overwrite each other's files", gpu.one_package(installed))


def extras() -> Iterator[Finding]:
    av = _version("av")
    yield Finding("av", "ok", av or "not installed; videos need it: pip install 'i2i[video]'")
    if _version("albumentations"):
        yield Finding("albumentations", "ok", "does not look for updates online (NO_ALBUMENTATIONS_UPDATE=1, by i2i)")


def torch(told: dict[str, Any]) -> Finding:
    if not told["works"]:
        reason = told.get("reason", "a convolution of ones does not give nine")
        return Finding("torch computes", "bad", reason, "pip install --force-reinstall torch torchvision")
    build = f"built for CUDA {told['cuda']}" if told["cuda"] else "built without CUDA"
    where = " and ".join(told["devices"])
    gpus = f", {told['gpus']} GPUs" if told["gpus"] else ""
    return Finding("torch computes", "ok", f"on {where}; {told['version']}, {build}{gpus}")


def device(name: str, told: dict[str, Any]) -> Finding:
    """From what a probe said. A GPU that is not there is worth knowing, one that is and does not compute is bad."""
    title = f"device {name}"
    if told["works"]:
        return Finding(title, "ok", "computes")
    there = bool((told.get("driver") or {}).get("devices"))
    bad = told.get("broken") or name == "cpu" or (there and name == "cuda")
    missing = f"; not found: {', '.join(told['missing'])}" if told.get("missing") else ""
    fix = told.get("remedy") or f"{sys.executable} -m i2i.runtime.probe {name}"
    return Finding(title, "bad" if bad else "warn", f"does not work: {told['reason']}{missing}", fix)


def graphics() -> Iterator[Finding]:
    """The NVIDIA driver and its GPUs, as nvidia-smi tells."""
    query = "--query-gpu=name,driver_version,memory.free,memory.total"
    try:
        said = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=PATIENCE / 4
        )
    except FileNotFoundError:
        yield Finding("GPU", "ok", "none: nvidia-smi is not installed")
        return
    except subprocess.TimeoutExpired:
        yield Finding("GPU", "bad", "nvidia-smi hangs", "Restart the machine; the driver is stuck")
        return
    if said.returncode:
        words = " ".join((said.stdout + said.stderr).split())[:200]
        yield Finding("GPU", "bad", f"nvidia-smi fails: {words}", "Reinstall the NVIDIA driver, then restart")
        return
    for number, line in enumerate(said.stdout.strip().splitlines()):
        name, version, free, total = (part.strip() for part in line.split(","))
        told = f"{name}, driver {version}, {free} of {total} MiB free"
        full = free.isdigit() and int(free) < 1000
        fix = "Type nvidia-smi to see who holds its memory"
        yield Finding(f"GPU {number}", "warn" if full else "ok", told, fix if full else "")


def machine() -> Iterator[Finding]:
    yield Finding("cores", "ok", f"{cores()}")
    if memory := _memory():
        free, total = memory
        little = free < 2e9
        yield Finding(
            "memory", "warn" if little else "ok", f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free",
            "Close other programs, or train with --set memory=auto" if little else "",
        )  # fmt: skip


def disks() -> Iterator[Finding]:
    """Where i2i writes: models and data sets, runs, and what programs put aside."""
    elsewhere = "export I2I_HOME=/a/folder/with/room"
    yield _disk("models and data", home(), elsewhere)
    yield _disk("working folder", Path.cwd(), "cd /a/folder/with/room")
    yield _disk("temporary files", Path(tempfile.gettempdir()), "export TMPDIR=/a/folder/with/room")


def _disk(name: str, folder: Path, fix: str) -> Finding:
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding(name, "bad", f"{folder} cannot be written to: {error.strerror}", fix)
    free = shutil.disk_usage(there).free
    state: State = "bad" if free < LEAST else "warn" if free < LITTLE else "ok"
    return Finding(name, state, f"{folder}, {free / 1e9:.1f} GB free", "" if state == "ok" else fix)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _memory() -> tuple[int, int] | None:
    """Bytes free, with what the system would give up for us, and in all; None where Linux does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kilobytes["MemAvailable"] * 1024, kilobytes["MemTotal"] * 1024
