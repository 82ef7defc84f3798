"""The minimal clients, which know nothing of i2i: each gives what the runtime gives, on a picture with odd sides."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from i2i.paths import shared
from i2i.runtime.model import Exported

from .browser import tiny

CLIENTS = shared("export") / "clients"
PACKAGES = ("onnxruntime-node", "pngjs")


@pytest.fixture(scope="module", params=[(3, 3), (3, 1), (1, 3)], ids=["3 to 3", "3 to 1", "1 to 3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("model") / "model.onnx", *request.param)


def source(model: Path, picture: np.ndarray) -> np.ndarray:
    """The picture in the model's channels, h w c."""
    if Exported(model, device="cpu").inputs == 3:
        return picture
    return np.asarray(Image.fromarray(picture).convert("L"))[..., None]


def save(path: Path, picture: np.ndarray) -> Path:
    Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(path)
    return path


def check(path: Path, model: Path, picture: np.ndarray) -> None:
    """The file holds the runtime's translation, to 1 of 255: another build of ONNX Runtime may round otherwise."""
    native = Exported(model, device="cpu")(source(model, picture))
    got = np.asarray(Image.open(path).convert("L" if native.shape[2] == 1 else "RGB")).reshape(native.shape)
    assert np.abs(got.astype(int) - native).max() <= 1


def test_python(model: Path, photograph: np.ndarray, tmp_path: Path) -> None:
    picture = save(tmp_path / "in.png", photograph)
    subprocess.run([sys.executable, CLIENTS / "translate.py", model, picture, tmp_path / "out.png"], check=True)
    check(tmp_path / "out.png", model, photograph)


def test_python_gives_and_takes_transparency(photograph: np.ndarray, tmp_path: Path) -> None:
    model = tiny(tmp_path / "model.onnx", 4, 4)
    clear = np.dstack([photograph, photograph[..., 0]])
    picture = save(tmp_path / "in.png", clear)
    subprocess.run([sys.executable, CLIENTS / "translate.py", model, picture, tmp_path / "out.png"], check=True)
    with Image.open(tmp_path / "out.png") as made:
        assert made.mode == "RGBA"
        away = np.abs(np.asarray(made).astype(int) - Exported(model, device="cpu")(clear))
    assert away.max() <= 1


def test_python_turns_pictures_upright(photograph: np.ndarray, tmp_path: Path) -> None:
    model = tiny(tmp_path / "model.onnx")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise
    Image.fromarray(np.rot90(photograph)).save(tmp_path / "in.png", exif=exif)
    subprocess.run(
        [sys.executable, CLIENTS / "translate.py", model, tmp_path / "in.png", tmp_path / "out.png"], check=True
    )
    check(tmp_path / "out.png", model, photograph)


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """A folder with the packages of npm that translate.mjs needs: in NODE_PATH, or installed globally."""
    if shutil.which("node") is None:
        pytest.skip("there is no node on this machine")
    folders = [Path(entry) for entry in os.environ.get("NODE_PATH", "").split(os.pathsep) if entry]
    if npm := shutil.which("npm"):
        asked = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=False)
        folders.append(Path(asked.stdout.strip() or "."))
    for folder in folders:
        if all((folder / package).is_dir() for package in PACKAGES):
            return folder
    pytest.skip(f"missing packages of npm: npm install --global --ignore-scripts {' '.join(PACKAGES)}")


def run_node(node_modules: Path, folder: Path, *words: Path) -> None:
    script = shutil.copy(CLIENTS / "translate.mjs", folder)  # modules are looked for beside the script
    (folder / "node_modules").symlink_to(node_modules)
    subprocess.run(["node", script, *words], check=True)


def test_node(model: Path, photograph: np.ndarray, node_modules: Path, tmp_path: Path) -> None:
    run_node(node_modules, tmp_path, model, save(tmp_path / "in.png", photograph), tmp_path / "out.png")
    check(tmp_path / "out.png", model, photograph)


def test_node_lays_transparency_on_white(photograph: np.ndarray, node_modules: Path, tmp_path: Path) -> None:
    model = tiny(tmp_path / "model.onnx")
    alpha = np.tile(np.linspace(0, 255, photograph.shape[1]).astype(np.uint8), (photograph.shape[0], 1))
    Image.fromarray(np.dstack([photograph, alpha])).save(tmp_path / "in.png")
    run_node(node_modules, tmp_path, model, tmp_path / "in.png", tmp_path / "out.png")
    share = alpha[..., None] / 255
    check(tmp_path / "out.png", model, np.rint(photograph * share + 255 * (1 - share)).astype(np.uint8))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """translate.cpp, against the library of the Python package. No package index has its headers; a release has."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    folders = [Path(entry) for entry in os.environ.get("CPLUS_INCLUDE_PATH", "").split(os.pathsep) if entry]
    folders += [Path("/usr/local/include"), Path("/usr/local/include/onnxruntime"), Path("/usr/include/onnxruntime")]
    headers = next((folder for folder in folders if (folder / "onnxruntime_cxx_api.h").is_file()), None)
    library = next(iter(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")), None)
    if compiler is None or headers is None or library is None:
        pytest.skip("needs a C++ compiler, and ONNX Runtime's headers in CPLUS_INCLUDE_PATH or /usr/local/include")
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "libonnxruntime.so").symlink_to(library)
    (folder / "libonnxruntime.so.1").symlink_to(library)
    flags = ["-std=c++17", f"-I{headers}", f"-L{folder}", "-lonnxruntime", f"-Wl,-rpath,{folder}"]
    subprocess.run([compiler, CLIENTS / "translate.cpp", *flags, "-o", folder / "translate"], check=True)
    return folder / "translate"


def test_cpp(model: Path, photograph: np.ndarray, compiled: Path, tmp_path: Path) -> None:
    picture = save(tmp_path / "in.ppm", source(model, photograph))
    subprocess.run([compiled, model, picture, tmp_path / "out.ppm"], check=True)
    check(tmp_path / "out.ppm", model, photograph)


@pytest.mark.parametrize(
    "content", [b"", b"P3 1 1 255\n0 0 0", b"P6 9 9 255\nabc", b"P6 -1 1 255\n", b"P6 1 1 65535\nab"]
)
def test_cpp_tells_what_is_wrong(content: bytes, compiled: Path, tmp_path: Path) -> None:
    model = tiny(tmp_path / "model.onnx")
    (tmp_path / "in.ppm").write_bytes(content)
    words = [compiled, model, tmp_path / "in.ppm", tmp_path / "out.ppm"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.strip()
    assert not (tmp_path / "out.ppm").exists()
