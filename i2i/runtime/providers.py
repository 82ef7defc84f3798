"""Which hardware a model runs on: what was asked for or an error, never a silent substitute."""

from pathlib import Path

import onnxruntime as ort

from i2i.errors import UserError, suggest

DEVICES = ("auto", "cpu", "cuda", "tensorrt")
FATAL = 3  # onnxruntime's log level: its warnings are for those who write providers


def open_session(
    file: Path | bytes, name: str, device: str = "auto", *, threads: int | None = None
) -> tuple[ort.InferenceSession, str]:
    """A session on the device, and the name of the device it really got."""
    if device not in DEVICES:
        raise UserError(f"There is no device {device!r}.{suggest(device, DEVICES)}")
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    if threads:
        options.intra_op_num_threads = threads
    try:
        source = file if isinstance(file, bytes) else str(file)
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"]), "cpu"
    except (
        ort.capi.onnxruntime_pybind11_state.Fail,
        ort.capi.onnxruntime_pybind11_state.InvalidProtobuf,
        ort.capi.onnxruntime_pybind11_state.InvalidGraph,
        ort.capi.onnxruntime_pybind11_state.NoSuchFile,
    ) as problem:
        raise UserError(f"{name} cannot be opened as a model: {' '.join(str(problem).split())[:300]}") from None
