"""Which hardware a model runs on: what was asked for or an error, never a silent substitute.

`cuda` means that the provider is there and does all of the heavy work. onnxruntime's own strictness
(`session.disable_cpu_ep_fallback`) also refuses the shape arithmetic that its CUDA provider leaves to the CPU on
purpose, and with it every model of free size; so it is asked after the fact which nodes went where.
CUDA and TensorRT: not measured.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from i2i.errors import UserError, suggest
from i2i.paths import home
from i2i.runtime.gpu import PROVIDERS, Obstacle, obstacle

DEVICES = ("auto", "cpu", "cuda", "tensorrt")
WARNING, FATAL = 2, 4  # onnxruntime's log levels; it says WARNING unless told otherwise
HEAVY = {"Conv", "ConvTranspose", "Gemm", "MatMul", "InstanceNormalization"}  # where the time goes
UNREADABLE = (
    state.Fail,
    state.InvalidProtobuf,
    state.InvalidGraph,
    state.NoSuchFile,
    state.NotImplemented,
    state.InvalidArgument,
)
FAILURES = (*UNREADABLE, state.RuntimeException, state.EPFail, RuntimeError, ValueError)


@dataclass(frozen=True)
class Tuning:
    """What may be traded for speed. The defaults keep to the numbers of the exported model."""

    tf32: bool = False  # CUDA: factors rounded to 10 bits, where the export has proved an error of 1e-4
    fp16: bool = False  # TensorRT: layers in half precision where that is faster
    graphs: bool = False  # cuda and tensorrt: a run is recorded once a size, then started as a whole
    spin: bool = True  # CPU: threads wait awake, and take the cores from each other where several clients are served


def open_session(
    file: Path | bytes,
    name: str,
    device: str = "auto",
    *,
    threads: int | None = None,
    tuning: Tuning = Tuning(),
    sizes: Mapping[str, int] | None = None,
    log: int = FATAL,
) -> tuple[ort.InferenceSession, str]:
    """A session on the device, and the device it really got: cpu, cuda or tensorrt.

    `auto` takes cuda when that works, else the CPU; never tensorrt, which builds for minutes at every new size. `name`:
    of the file, for errors. `sizes`: lengths for the model's free dimensions, which are then fixed. `log`: the level
    from which onnxruntime writes to stderr. Raises UserError for a device that is unknown or does not work, with the
    reason and what to type, and for a file that is no model.
    """
    check(device)
    options = session_options(threads, tuning, sizes, log)
    wanted = "cuda" if device == "auto" else device
    if wanted != "cpu":
        opened = obstacle(wanted) or _on_gpu(file, name, wanted, options, tuning, sizes)
        if not isinstance(opened, Obstacle):
            return opened, wanted
        if device != "auto":
            raise _refusal(device, opened)
    return _on_cpu(file, name, options), "cpu"


def check(device: str) -> None:
    """Raises UserError for a device that is unknown or, as far as it shows without a model, does not work here."""
    if device not in DEVICES:
        raise UserError(f"There is no device {device!r}.{suggest(device, DEVICES)}")
    if device != "auto" and (problem := obstacle(device)):
        raise _refusal(device, problem)


def _refusal(device: str, problem: Obstacle) -> UserError:
    return UserError(
        f"The device {device} does not work here: {problem.reason}. {problem.remedy}. Or use --device auto; "
        f"`i2i doctor` looks at the whole machine."
    )


def note(asked: str, got: str) -> str:
    """What `auto` took and why, for whoever asked for it; '' when a device was named."""
    if asked != "auto":
        return ""
    if got != "cpu":
        return f"Running on {got}."
    problem = obstacle("cuda")
    return f"Running on the CPU: {problem.reason}." if problem else "Running on the CPU: see `i2i doctor` for CUDA."


def session_options(
    threads: int | None, tuning: Tuning, sizes: Mapping[str, int] | None = None, log: int = FATAL
) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = log
    options.enable_mem_pattern = False  # it remembers the memory of each size, and takes up to 60 % more from then on
    if threads:
        options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", _flag(tuning.spin))
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for dimension, length in (sizes or {}).items():
        options.add_free_dimension_override_by_name(dimension, length)
    return options


def provider_options(
    device: str, tuning: Tuning, sizes: Mapping[str, int] | None = None, engines: Path | None = None
) -> list[tuple[str, dict[str, str]]]:
    """onnxruntime's providers for a device, most wanted first, with their options. `engines`: where TensorRT keeps what
    it has built for this model; nowhere if None. Neither engines nor graphs are made while sizes are free."""
    cuda = {
        "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE, the default, tries all algorithms at every new size
        "arena_extend_strategy": "kSameAsRequested",  # doubling would waste half, as sizes vary
        "use_tf32": _flag(tuning.tf32),  # on unless told otherwise
        "enable_cuda_graph": _flag(device == "cuda" and tuning.graphs and bool(sizes)),
    }
    chain = {"cpu": [], "cuda": [(PROVIDERS["cuda"], cuda)]}
    if device in chain:
        return [*chain[device], (PROVIDERS["cpu"], {})]
    tensorrt = {
        "trt_fp16_enable": _flag(tuning.fp16),
        "trt_cuda_graph_enable": _flag(tuning.graphs and bool(sizes)),
    }
    if engines and sizes:
        tensorrt |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(engines),
            # The name of an engine tells neither weights (issue 6455) nor sizes (issue 32254) apart: another model's,
            # or another size's, would be taken. So a folder a model, and a prefix a size.
            "trt_engine_cache_prefix": "x".join(str(length) for _, length in sorted(sizes.items())),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(engines.parent),  # how fast layers are, for all models
        }
    return [(PROVIDERS["tensorrt"], tensorrt), *chain["cuda"], (PROVIDERS["cpu"], {})]


def engines_of(file: Path | bytes) -> Path | None:
    """The folder for TensorRT's engines of one model file, by its sha256; None where it cannot be written to."""
    data = file if isinstance(file, bytes) else file.read_bytes()
    folder = home() / "engines" / f"{hashlib.sha256(data).hexdigest()[:32]}-{ort.__version__}"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    return None


def left_on_cpu(session: ort.InferenceSession) -> Counter[str]:
    """The heavy nodes that a session has given to the CPU, by kind; none before onnxruntime 1.24, which cannot tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return Counter()
    parts = [p for p in session.get_provider_graph_assignment_info() if p.ep_name == PROVIDERS["cpu"]]
    return Counter(node.op_type for part in parts for node in part.get_nodes() if node.op_type in HEAVY)


def _on_gpu(
    file: Path | bytes,
    name: str,
    device: str,
    options: ort.SessionOptions,
    tuning: Tuning,
    sizes: Mapping[str, int] | None,
) -> ort.InferenceSession | Obstacle:
    engines = engines_of(file) if device == "tensorrt" and sizes else None
    providers = provider_options(device, tuning, sizes, engines)
    ort.set_default_logger_severity(options.log_severity_level)  # providers are loaded before the session can log
    try:
        session = ort.InferenceSession(_source(file), options, providers=providers, enable_fallback=0)
    except FAILURES as problem:
        _on_cpu(file, name, options)  # raises, when it is the file and not the device
        return Obstacle(f"onnxruntime says: {_words(problem)}", "Look at `i2i doctor`")
    finally:
        ort.set_default_logger_severity(WARNING)
    if session.get_providers()[0] != PROVIDERS[device]:
        return Obstacle(
            "onnxruntime could not start it and took the CPU", "Look at `i2i doctor`, which shows its words"
        )
    if heavy := left_on_cpu(session):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(heavy.items()))
        return Obstacle(f"it would leave a part of {name} to the CPU ({kinds})", "Update onnxruntime-gpu")
    return session


def _on_cpu(file: Path | bytes, name: str, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(_source(file), options, providers=[PROVIDERS["cpu"]])
    except UNREADABLE as problem:
        raise UserError(f"{name} cannot be opened as a model: {_words(problem)}") from None


def _source(file: Path | bytes) -> str | bytes:
    return file if isinstance(file, bytes) else str(file)


def _words(problem: Exception) -> str:
    return " ".join(str(problem).split())[:300]


def _flag(on: bool) -> str:
    return "1" if on else "0"
