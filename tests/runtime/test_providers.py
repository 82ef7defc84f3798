"""Devices: what was asked for, or an error that says why not and what to type."""

import ctypes
import importlib.util
import mmap
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from i2i.errors import UserError
from i2i.runtime import binding, gpu, providers
from i2i.runtime.providers import Tuning, open_session, provider_options

CUDA, TENSORRT, CPU = (gpu.PROVIDERS[device] for device in ("cuda", "tensorrt", "cpu"))
without_gpu = pytest.mark.skipif(gpu.obstacle("cuda") is None, reason="this machine has a GPU that works")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What one test pretends of the machine is not remembered in the next."""
    gpu.obstacle.cache_clear()
    yield
    gpu.obstacle.cache_clear()


@pytest.fixture
def session(exported: Path) -> ort.InferenceSession:
    return open_session(exported, "model", "cpu")[0]


def pictures(n: int, h: int, w: int) -> dict[str, np.ndarray]:
    return {"picture": np.random.default_rng(h * w).integers(0, 256, (n, h, w, 3), dtype=np.uint8)}


# Without a GPU


@without_gpu
def test_auto_runs_on_the_cpu_and_says_why(exported: Path) -> None:
    opened, device = open_session(exported, "model")
    assert device == "cpu"
    assert binding.run(opened, device, pictures(1, 9, 7)).shape == (1, 9, 7, 3)
    assert providers.note("auto", device).startswith("Running on the CPU: ")
    assert providers.note("cpu", device) == ""


@without_gpu
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_was_named_and_does_not_work_is_an_error(device: str, exported: Path) -> None:
    with pytest.raises(UserError, match=f"The device {device} does not work here: .* --device auto.*i2i doctor"):
        open_session(exported, "model", device)


@without_gpu
@pytest.mark.parametrize("device", ["auto", "cuda", "tensorrt"])
def test_onnxruntime_itself_prints_nothing(device: str, exported: Path) -> None:
    code = f"""
from pathlib import Path
from i2i.errors import UserError
from i2i.runtime.providers import open_session
try:
    open_session(Path({str(exported)!r}), "model", {device!r})
except UserError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("device", "meant"), [("cudo", "cuda"), ("tensor-rt", "tensorrt"), ("CPU", "cpu")])
def test_a_misspelt_device_names_the_nearest(device: str, meant: str, exported: Path) -> None:
    with pytest.raises(UserError, match=rf"no device '{device}'\. (Did you mean|Known:).*{meant}"):
        open_session(exported, "model", device)


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_a_file_that_is_no_model_is_a_clean_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.onnx cannot be opened as a model"):
        open_session(tmp_path / "model.onnx", "model.onnx")


# What stands in the way, piece by piece


def pretend(
    monkeypatch: pytest.MonkeyPatch,
    *,
    listed: tuple[str, ...] = (TENSORRT, CUDA, CPU),
    driver: gpu.Driver | None = gpu.Driver((13, 0), 1),
    missing: tuple[str, ...] = (),
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(listed))
    monkeypatch.setattr(ort, "cuda_version", "13.0", raising=False)
    monkeypatch.setattr(gpu, "driver", lambda: driver)
    monkeypatch.setattr(gpu, "missing_libraries", lambda device: list(missing))


def test_nothing_stands_in_the_way_of_a_whole_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    assert gpu.obstacle("cuda") is None
    assert gpu.obstacle("tensorrt") is None


@pytest.mark.parametrize(
    ("machine", "device", "reason", "remedy"),
    [
        ({"driver": None}, "cuda", "no NVIDIA driver", "Install the driver"),
        ({"driver": gpu.Driver((13, 0), 0, 100)}, "cuda", "shows no GPU .CUDA error 100", "nvidia-smi"),
        ({"driver": gpu.Driver((12, 4), 1)}, "cuda", "CUDA 12.4 at most.*built for CUDA 13.0", "newer driver"),
        (
            {"missing": ("libcudnn.so.9",)},
            "cuda",
            "libcudnn.so.9 cannot be loaded",
            r"'onnxruntime-gpu\[cuda,cudnn\]'",
        ),
        ({"missing": gpu.TENSORRT}, "tensorrt", " and ".join(gpu.TENSORRT), "pip install 'tensorrt-cu13<11'"),
    ],
)
def test_each_missing_piece_is_named_with_its_remedy(
    machine: dict[str, Any], device: str, reason: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    pretend(monkeypatch, **machine)
    with pytest.raises(UserError, match=rf"{reason}.*{remedy}"):
        providers.check(device)


def test_hidden_gpus_are_not_taken_for_missing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    pretend(monkeypatch, driver=gpu.Driver((13, 0), 0, 100))
    with pytest.raises(UserError, match=r"CUDA_VISIBLE_DEVICES is '-1'.*Unset CUDA_VISIBLE_DEVICES"):
        providers.check("cuda")


@pytest.mark.skipif(sys.platform == "darwin", reason="says only that there is no CUDA")
def test_a_package_without_cuda_and_two_packages_at_once_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, listed=(CPU,))
    monkeypatch.setattr(gpu, "packages", lambda: {"onnxruntime": "1.30"})
    with pytest.raises(
        UserError, match=r"package onnxruntime is made without cuda. Type: pip uninstall -y onnxruntime "
    ):
        providers.check("cuda")
    gpu.obstacle.cache_clear()
    monkeypatch.setattr(gpu, "packages", lambda: {"onnxruntime": "1.30", "onnxruntime-gpu": "1.31"})
    with pytest.raises(UserError, match=r"both installed.*pip uninstall -y onnxruntime onnxruntime-gpu && pip install"):
        providers.check("cuda")


@pytest.mark.parametrize(("devices", "error"), [(2, 0), (0, 100)])
def test_the_driver_is_asked_as_cuda_documents_it(devices: int, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(value: int) -> Any:
        def call(pointer: Any) -> int:
            pointer._obj.value = value
            return 0

        return call

    fake = SimpleNamespace(cuDriverGetVersion=fill(12040), cuInit=lambda flags: error, cuDeviceGetCount=fill(devices))
    monkeypatch.setattr(gpu, "library", lambda name: fake)
    assert gpu.driver() == gpu.Driver((12, 4), devices, error)


def test_no_driver_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "library", lambda name: ctypes.CDLL("no-such-library.so"))
    assert gpu.driver() is None


def test_what_preloading_complains_of_is_listed_and_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ort, "preload_dlls", lambda: print("Failed to load libcublasLt.so.13: no such file"))
    monkeypatch.setattr(gpu, "library", lambda name: ctypes.CDLL("no-such-library.so"))
    assert gpu.missing_libraries("cuda") == ["libcublasLt.so.13", gpu.CUDNN]
    assert gpu.missing_libraries("tensorrt")[1:] == [gpu.CUDNN, *gpu.TENSORRT]
    assert capsys.readouterr().out == ""


# Sessions


class Session:
    """A session as onnxruntime gives on a machine with a GPU; it remembers how it was made."""

    on_cpu: Mapping[str, int] = {}
    made: list["Session"] = []  # noqa: RUF012

    def __init__(self, source: Any, options: Any, providers: Any, **more: Any) -> None:
        self.options, self.asked, self.more = options, providers, more
        self.made.append(self)

    def get_providers(self) -> list[str]:
        return [each if isinstance(each, str) else each[0] for each in self.asked]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        nodes = [SimpleNamespace(op_type=kind) for kind, count in self.on_cpu.items() for _ in range(count)]
        shapes = [SimpleNamespace(op_type="Shape"), SimpleNamespace(op_type="Gather")]
        return [SimpleNamespace(ep_name=CPU, get_nodes=lambda: nodes + shapes)]


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> type[Session]:
    pretend(monkeypatch)
    kind = type("Here", (Session,), {"made": []})
    monkeypatch.setattr(ort, "InferenceSession", kind)
    return kind


@pytest.mark.parametrize(
    ("asked", "got", "first"), [("auto", "cuda", CUDA), ("cuda", "cuda", CUDA), ("tensorrt", "tensorrt", TENSORRT)]
)
def test_a_gpu_that_works_is_taken(asked: str, got: str, first: str, with_gpu: type[Session]) -> None:
    _, device = open_session(b"model", "model", asked)
    assert device == got
    assert with_gpu.made[0].get_providers()[0] == first
    assert with_gpu.made[0].more == {"enable_fallback": 0}  # or it would go on with the CPU after an error, later
    assert providers.note(asked, device) == ("Running on cuda." if asked == "auto" else "")


def test_the_arithmetic_of_shapes_may_stay_on_the_cpu_but_no_convolution(with_gpu: type[Session]) -> None:
    assert open_session(b"model", "model", "cuda")[1] == "cuda"
    with_gpu.on_cpu = {"Conv": 2, "ConvTranspose": 1}
    with pytest.raises(UserError, match=r"leave a part of model to the CPU \(2 Conv, 1 ConvTranspose\)"):
        open_session(b"model", "model", "cuda")
    assert open_session(b"model", "model", "auto")[1] == "cpu"


def test_what_stays_on_the_cpu_is_counted(session: ort.InferenceSession) -> None:
    counted = providers.left_on_cpu(session)
    assert counted["Conv"] > 5
    assert counted["InstanceNormalization"] > 3
    assert not counted["Shape"]


@without_gpu
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_session_that_quietly_took_the_cpu_is_found_out(
    device: str, exported: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real onnxruntime, which was told that everything is there."""
    monkeypatch.setattr(providers, "obstacle", lambda device: None)
    with pytest.raises(UserError, match=f"The device {device} does not work here: onnxruntime"):
        open_session(exported, "model", device)
    assert open_session(exported, "model", "auto")[1] == "cpu"
    assert capfd.readouterr() == ("", "")


@without_gpu
def test_a_damaged_file_is_not_blamed_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "obstacle", lambda device: None)
    with pytest.raises(UserError, match="model cannot be opened as a model"):
        open_session(b"no model", "model", "cuda")


def test_threads_and_waiting_are_as_asked_for() -> None:
    options = providers.session_options(3, Tuning(spin=False), {"height": 64})
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert providers.session_options(None, Tuning()).get_session_config_entry("session.intra_op.allow_spinning") == "1"


# Options of providers

FULL = Tuning(tf32=True, fp16=True, graphs=True)
SIZES = {"batch": 1, "height": 256, "width": 320}


def test_by_default_the_numbers_stay_those_of_the_export() -> None:
    options = dict(provider_options("tensorrt", Tuning(), SIZES, Path("engines/one")))
    assert list(options) == [TENSORRT, CUDA, CPU]
    assert options[CUDA]["use_tf32"] == options[TENSORRT]["trt_fp16_enable"] == "0"
    assert options[CUDA]["enable_cuda_graph"] == options[TENSORRT]["trt_cuda_graph_enable"] == "0"
    assert options[CUDA]["cudnn_conv_algo_search"] == "HEURISTIC"
    assert [name for name, _ in provider_options("cuda", Tuning())] == [CUDA, CPU]
    assert [name for name, _ in provider_options("cpu", Tuning())] == [CPU]


def test_nothing_is_recorded_or_built_while_sizes_are_free() -> None:
    options = dict(provider_options("tensorrt", FULL, None, Path("engines/one")))
    assert options[TENSORRT] == {"trt_fp16_enable": "1", "trt_cuda_graph_enable": "0"}
    assert dict(provider_options("cuda", FULL))[CUDA]["enable_cuda_graph"] == "0"
    assert dict(provider_options("cuda", FULL, SIZES))[CUDA]["enable_cuda_graph"] == "1"


def test_engines_of_other_sizes_or_other_weights_cannot_be_mistaken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("I2I_HOME", str(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"two")
    one, two = providers.engines_of(b"one"), providers.engines_of(tmp_path / "model.onnx")
    assert one
    assert two
    assert one != two
    assert two == providers.engines_of(b"two")
    assert one.parent == tmp_path / "engines"
    turned = {**SIZES, "height": 320, "width": 256}
    names = [dict(provider_options("tensorrt", FULL, sizes, one))[TENSORRT] for sizes in (SIZES, turned)]
    assert names[0]["trt_engine_cache_prefix"] != names[1]["trt_engine_cache_prefix"]
    assert names[0]["trt_engine_cache_path"] == names[1]["trt_engine_cache_path"] == str(one)


def test_a_home_that_cannot_be_written_to_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("I2I_HOME", str(tmp_path / "file"))
    assert providers.engines_of(b"model") is None


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_onnxruntime_knows_every_option_by_its_name(device: str) -> None:
    """A provider that meets an unknown option does not start. Here none starts, so their own names are read."""
    package = importlib.util.find_spec("onnxruntime")
    assert package
    assert package.origin
    (library,) = [*Path(package.origin).parent.glob(f"capi/*onnxruntime_providers_{device}.*")] or [None]
    if library is None:
        pytest.skip("this onnxruntime is made without the provider")
    (options,) = [
        told for name, told in provider_options(device, FULL, SIZES, Path("e")) if name == gpu.PROVIDERS[device]
    ]
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        unknown = [name for name in (*options, "no_such_option") if content.find(b"\0" + name.encode() + b"\0") < 0]
    assert unknown == ["no_such_option"]


# Running


@pytest.mark.parametrize("size", [(64, 48), (61, 47), (5, 3)])
def test_bound_memory_gives_what_plain_running_gives(size: tuple[int, int], session: ort.InferenceSession) -> None:
    x = pictures(2, *size)
    assert np.array_equal(binding.bound_run(session, "cpu", x), binding.run(session, "cpu", x))


@pytest.fixture
def by_size(exported: Path, session: ort.InferenceSession) -> binding.BySize:
    opened: list[Mapping[str, int]] = []

    def reopen(sizes: Mapping[str, int]) -> ort.InferenceSession:
        opened.append(dict(sizes))
        return open_session(exported, "model", "cpu", sizes=sizes)[0]

    made = binding.BySize(session, reopen, "cpu", multiple=4, minimum=12, most=2)
    made.opened = opened  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("size", [(64, 48), (61, 47), (33, 34), (5, 3), (1, 1)])
def test_fixed_sizes_change_no_bit(size: tuple[int, int], by_size: binding.BySize) -> None:
    x = pictures(2, *size)
    assert np.array_equal(by_size(x), binding.run(open_free(by_size), "cpu", x))


def open_free(by_size: binding.BySize) -> ort.InferenceSession:
    """The session of free sizes that `by_size` stands for."""
    return by_size.reopen({})


def test_a_coarser_grid_would_change_the_picture(session: ort.InferenceSession) -> None:
    """Why sizes are not rounded up to 64 or 128: instance normalisation sees the padding."""
    x = pictures(1, 61, 47)
    more = ((0, 0), (0, 128 - 61), (0, 128 - 47), (0, 0))
    coarse = binding.run(session, "cpu", {"picture": np.pad(x["picture"], more, mode="edge")})[:, :61, :47]
    assert np.abs(coarse.astype(int) - binding.run(session, "cpu", x)).max() > 5


def test_several_inputs_and_another_type_of_output_are_bound_as_well() -> None:
    """As a model has them that draws samples: noise and labels in, pixels out."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Gather", ["rows", "label"], ["row"]),
        helper.make_node("Add", ["noise", "row"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["picture"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "sampler",
        [
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["batch", 2])],
        [helper.make_tensor("rows", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 30.0, 40.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    free, _ = open_session(model, "model", "cpu")
    sized = binding.BySize(free, lambda sizes: open_session(model, "model", "cpu", sizes=sizes)[0], "cpu")
    feeds = {"noise": np.array([[3.0, 4.0], [5.0, 6.0]], np.float32), "label": np.array([1, 0])}
    for compute in (partial(binding.run, free, "cpu"), partial(binding.bound_run, free, "cpu"), sized):
        assert compute(feeds).tolist() == [[33, 44], [6, 8]]


def test_sizes_on_one_grid_point_share_a_session_and_few_are_kept(by_size: binding.BySize) -> None:
    for size in ((61, 47), (64, 48), (61, 45), (20, 20), (61, 47), (30, 30), (20, 20)):
        by_size(pictures(1, *size))
    opened = [(sizes["height"], sizes["width"]) for sizes in by_size.opened]  # type: ignore[attr-defined]
    assert opened == [(64, 48), (20, 20), (32, 32), (20, 20)]  # 64 × 48 was used after 20 × 20
    assert len(by_size.kept) == 2


def test_an_answer_stays_when_the_next_one_comes(by_size: binding.BySize) -> None:
    first = by_size(pictures(1, 20, 20))
    before = first.copy()
    by_size({"picture": 255 - pictures(1, 20, 20)["picture"]})
    assert np.array_equal(first, before)


def test_sides_are_padded_to_the_next_multiple_that_is_large_enough() -> None:
    """As in the exported graph; that it is the same one, `test_fixed_sizes_change_no_bit` shows."""
    assert [binding.padded(side, 4, 10) for side in (1, 10, 12, 13, 16)] == [12, 12, 12, 16, 16]
    assert [binding.padded(side, 1, 1) for side in (1, 2, 63)] == [1, 2, 63]


def test_only_what_wants_fixed_sizes_gets_them(session: ort.InferenceSession, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        (device, graphs): isinstance(
            binding.runner(session, device, lambda sizes: session, graphs=graphs), binding.BySize
        )
        for device in ("cpu", "cuda", "tensorrt")
        for graphs in (False, True)
    }
    assert [each for each, fixed in kinds.items() if fixed] == [("cuda", True), ("tensorrt", False), ("tensorrt", True)]
