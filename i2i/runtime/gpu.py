"""What a GPU needs before onnxruntime can use it, looked for piece by piece, so that an error names the one missing.

onnxruntime cannot be asked: it lists CUDA wherever the package was built for it, and a session that wanted CUDA runs on
the CPU without a word. Not measured: no machine with a GPU has run this.
"""

import contextlib
import ctypes
import functools
import importlib.util
import io
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import onnxruntime as ort

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-migraphx")
WINDOWS = sys.platform == "win32"
DRIVER = "nvcuda.dll" if WINDOWS else "libcuda.so.1"
CUDNN = "cudnn64_9.dll" if WINDOWS else "libcudnn.so.9"  # onnxruntime 1.19 and later
# TensorRT 10 is what onnxruntime's provider is linked with; 11 has other names.
TENSORRT = ("nvinfer_10.dll", "nvonnxparser_10.dll") if WINDOWS else ("libnvinfer.so.10", "libnvonnxparser.so.10")


@dataclass(frozen=True)
class Obstacle:
    """Why a device does not work, as the end of a sentence, and what to type or do about it, as the start of one."""

    reason: str
    remedy: str


@dataclass(frozen=True)
class Driver:
    """What the NVIDIA driver says of itself: the newest CUDA it runs, such as (13, 0), how many devices it shows, and
    the number of CUDA's error when it does not start."""

    cuda: tuple[int, int]
    devices: int
    error: int = 0


def packages() -> dict[str, str]:
    """The installed packages that bring the module `onnxruntime`, with their versions. More than one is a mistake: they
    overwrite each other's files, and the CPU's may win (onnxruntime issue 26996)."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def one_package(installed: Iterable[str]) -> str:
    """The line to type that leaves the one package which can use this machine's GPU."""
    with_cuda = sys.platform in ("linux", "win32") and platform.machine().lower() in ("x86_64", "amd64")
    return f"pip uninstall -y {' '.join(installed)} && pip install onnxruntime{'-gpu' if with_cuda else ''}"


def library(name: str | Path) -> ctypes.CDLL:
    """A shared library, loaded into this process; OSError says what is missing."""
    return ctypes.CDLL(str(name))


def driver() -> Driver | None:
    """Asks the NVIDIA driver; None where there is none."""
    try:
        cuda = library(DRIVER)
    except OSError:
        return None
    version, devices = ctypes.c_int(0), ctypes.c_int(0)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    error = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(devices))
    return Driver((version.value // 1000, version.value % 1000 // 10), 0 if error else devices.value, error)


def missing_libraries(device: str) -> list[str]:
    """Loads what onnxruntime's provider for `device` is linked with, from the nvidia wheels that torch brings or from
    where the system keeps it; the names of what is not there. torch itself is not imported."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # where preload_dlls reports what it does not find
        ort.preload_dlls()
    missing = re.findall(r"Failed to load (\S+?):", said.getvalue())
    wheel = importlib.util.find_spec("tensorrt_libs") if device == "tensorrt" else None
    folders = [Path(place) for place in (wheel.submodule_search_locations or ())] if wheel else []
    for name in (CUDNN, *(TENSORRT if device == "tensorrt" else ())):
        if not any(_loads(place) for place in (*(folder / name for folder in folders), name)):
            missing.append(name)
    return [Path(name).name for name in missing]


def _loads(name: str | Path) -> bool:
    try:
        library(name)
    except OSError:
        return False
    return True


@functools.cache
def obstacle(device: str) -> Obstacle | None:
    """What keeps `device` (cpu, cuda or tensorrt) from working, as far as it shows without a model; None for nothing.

    Starts CUDA in this process when there is a driver, so processes forked afterwards cannot use it.
    """
    if device == "cpu":
        return None
    if PROVIDERS[device] not in ort.get_available_providers():
        return _without_provider(device)
    found = driver()
    if found is None:
        return Obstacle(
            f"no NVIDIA driver was found ({DRIVER})",
            "Install the driver of your GPU; give a container its GPUs (docker run --gpus all)",
        )
    if not found.devices:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = f"; CUDA_VISIBLE_DEVICES is {visible!r}" if visible is not None else ""
        return Obstacle(
            f"the NVIDIA driver shows no GPU (CUDA error {found.error}{hidden})",
            "Unset CUDA_VISIBLE_DEVICES" if hidden else "See what `nvidia-smi` says",
        )
    built = getattr(ort, "cuda_version", "")
    if built and found.cuda[0] < int(built.split(".")[0]):
        return Obstacle(
            f"the NVIDIA driver runs CUDA {found.cuda[0]}.{found.cuda[1]} at most, and onnxruntime {ort.__version__} "
            f"is built for CUDA {built}",
            "Install a newer driver",
        )
    if missing := missing_libraries(device):
        return Obstacle(f"{_listed(missing)} cannot be loaded", f"Install them: {_install(missing, built)}")
    return None


def _without_provider(device: str) -> Obstacle:
    """When the module onnxruntime that was imported knows nothing of the device."""
    if sys.platform == "darwin":
        return Obstacle("there is no CUDA on macOS", "Use --device cpu")
    installed = packages()
    remedy = f"Type: {one_package(installed or PACKAGES[:1])}"
    if len(installed) > 1:
        return Obstacle(f"{_listed(list(installed))} are both installed and have overwritten each other", remedy)
    return Obstacle(f"the installed package {next(iter(installed), 'onnxruntime')} is made without {device}", remedy)


def _install(missing: Sequence[str], built: str) -> str:
    wanted = [] if set(missing) <= set(TENSORRT) else ["'onnxruntime-gpu[cuda,cudnn]'"]
    if set(missing) & set(TENSORRT):
        wanted.append(f"'tensorrt-cu{built.split('.')[0] or 12}<11'")
    return f"pip install {' '.join(wanted)}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
