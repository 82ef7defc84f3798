"""A small Triton of our own: KServe's v2 protocol on 127.0.0.1, for a model repository, strict where Triton is strict.

It reads config.pbtxt by Triton's own schema, and refuses what does not agree with it.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("tritonclient", reason="the schema of Triton's configuration is in tritonclient")
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as schema

DTYPES = {"UINT8": np.uint8}


def parsed(config: Path | str) -> Any:
    """config.pbtxt as Triton reads it; raises text_format.ParseError for a field that it does not have."""
    text = config.read_text("utf-8") if isinstance(config, Path) else config
    return text_format.Parse(text, schema.ModelConfig())


class Refused(Exception):
    """HTTP 400 and its reason."""


def expect(condition: object, reason: str) -> None:
    if not condition:
        raise Refused(reason)


class Model:
    def __init__(self, folder: Path) -> None:
        self.config = parsed(folder / "config.pbtxt")
        (version,) = [path for path in folder.iterdir() if path.is_dir()]
        path = version / self.config.default_model_filename
        self.session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        expect(self.config.name == folder.name, "the model's name is not its folder's")

    def described(self) -> dict[str, Any]:
        """The answer to GET /v2/models/NAME."""
        tensors = {
            key: [
                {
                    "name": tensor.name,
                    "datatype": schema.DataType.Name(tensor.data_type).removeprefix("TYPE_"),
                    "shape": [-1, *tensor.dims],
                }
                for tensor in told
            ]
            for key, told in (("inputs", self.config.input), ("outputs", self.config.output))
        }
        return {"name": self.config.name, "versions": ["1"], "platform": "onnxruntime_onnx", **tensors}

    def read(self, request: dict[str, Any], binary: bytes) -> np.ndarray:
        """The one input tensor of a request."""
        (described,) = request["inputs"]
        (config,) = self.config.input
        shape, datatype = described["shape"], described["datatype"]
        expect(described["name"] == config.name, f"unexpected input {described['name']}")
        expect(f"TYPE_{datatype}" == schema.DataType.Name(config.data_type), f"unexpected datatype {datatype}")
        expect(1 <= shape[0] <= self.config.max_batch_size, f"batch {shape[0]} exceeds {self.config.max_batch_size}")
        fits = all(wanted in (-1, got) for wanted, got in zip(config.dims, shape[1:], strict=True))
        expect(fits, f"unexpected shape {shape}")
        if "data" in described:
            return np.array(described["data"], DTYPES[datatype]).reshape(shape)
        size = described["parameters"]["binary_data_size"]
        expect(size == len(binary) == np.prod(shape) * DTYPES[datatype]().itemsize, f"unexpected size {len(binary)}")
        return np.frombuffer(binary, DTYPES[datatype]).reshape(shape)

    def infer(self, body: bytes, header_length: int | None) -> tuple[bytes, int | None]:
        """(the body of the answer, the length of its JSON if binary data follows it)."""
        length = len(body) if header_length is None else header_length
        request = json.loads(body[:length])
        (y,) = self.session.run(None, {self.config.input[0].name: self.read(request, body[length:])})
        told: dict[str, Any] = {"name": self.config.output[0].name, "datatype": "UINT8", "shape": list(y.shape)}
        wanted = request.get("outputs", [{"name": told["name"]}])
        expect([output["name"] for output in wanted] == [told["name"]], "unexpected output")
        answer = {"model_name": self.config.name, "model_version": "1", "outputs": [told]}
        if not wanted[0].get("parameters", {}).get("binary_data"):
            told["data"] = y.ravel().tolist()
            return json.dumps(answer).encode(), None
        told["parameters"] = {"binary_data_size": y.nbytes}
        header = json.dumps(answer).encode()
        return header + y.tobytes(), len(header)


@contextmanager
def served(repository: Path) -> Iterator[str]:
    """The address of a server of this repository."""
    models = {folder.name: Model(folder) for folder in repository.iterdir()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known: dict[str, object] = {"/v2/health/ready": {}, "/v2/health/live": {}}
            known |= {f"/v2/models/{name}/ready": {} for name in models}
            known |= {f"/v2/models/{name}": model.described() for name, model in models.items()}
            self.answer(200 if self.path in known else 404, json.dumps(known.get(self.path)).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            length = self.headers.get("Inference-Header-Content-Length")
            name = self.path.removeprefix("/v2/models/").removesuffix("/infer")
            if self.path != f"/v2/models/{name}/infer" or name not in models:
                self.answer(404, b"{}")
                return
            try:
                self.answer(200, *models[name].infer(body, None if length is None else int(length)))
            except (Refused, KeyError, ValueError) as problem:
                self.answer(400, json.dumps({"error": str(problem)}).encode())

        def answer(self, status: int, body: bytes, header_length: int | None = None) -> None:
            self.send_response(status)
            if header_length is not None:
                self.send_header("Inference-Header-Content-Length", str(header_length))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
