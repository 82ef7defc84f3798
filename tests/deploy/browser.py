"""A real Chromium for the tests, without a network, and a tiny exported model for it to run."""

import base64
import contextlib
import functools
import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")  # on any machine
PATIENCE = 60_000  # milliseconds, on a machine that is shared


def executable() -> str | None:
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


@contextlib.contextmanager
def chromium(path: str) -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), headless=True)
        yield browser
        browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, under /some/where/, as on a host that serves many pages."""

    headers_too: tuple[tuple[str, str], ...] = ()

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/some/where"))

    def end_headers(self) -> None:
        for name, value in self.headers_too:
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Test output is for test results."""


@contextlib.contextmanager
def served(folder: Path, *headers: tuple[str, str]) -> Iterator[str]:
    """The address of a folder on a host of static files on this machine."""
    handler = type("Handler", (Quiet,), {"headers_too": headers})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/some/where/"
        server.shutdown()
        thread.join()


def pixels(page: "Page", canvas: str) -> np.ndarray:
    """What is on a canvas: height width 3, uint8."""
    told = page.evaluate(
        """(id) => {
          const canvas = document.getElementById(id);
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let text = "";
          for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
          return [canvas.height, canvas.width, btoa(text)];
        }""",
        canvas,
    )
    return np.frombuffer(base64.b64decode(told[2]), np.uint8).reshape(told[0], told[1], 4)[:, :, :3]


def says(page: "Page", selector: str, words: str | re.Pattern[str]) -> None:
    """Waits until an element has these words in it. (Not by `wait_for_function`: the page forbids `eval`.)"""
    page.locator(selector, has_text=words).wait_for(state="attached", timeout=PATIENCE)


def ready(page: "Page") -> None:
    """The model has been loaded and compared with Python, and translates after every change."""
    page.wait_for_selector("body[data-backend]", timeout=PATIENCE)
    page.check("#live")  # a page on a busy machine may not dare


def tiny(path: Path, inputs: int = 3, outputs: int = 3, **told: str) -> Path:
    """An exported translator of two convolutions with instance normalisation, by the contract of i2i.runtime."""
    random = np.random.default_rng(7)
    weights = {
        "first": random.normal(0, 0.3, (8, inputs, 3, 3)),
        "scale": random.uniform(0.5, 1.5, 8),
        "shift": random.normal(0, 0.3, 8),
        "second": random.normal(0, 0.3, (outputs, 8, 3, 3)),
        "half": np.array(127.5),
        "one": np.array(1.0),
        "low": np.array(0.0),
        "high": np.array(255.0),
    }
    node = helper.make_node
    nodes = [
        node("Transpose", ["picture"], ["nchw"], perm=[0, 3, 1, 2]),
        node("Cast", ["nchw"], ["float"], to=TensorProto.FLOAT),
        node("Div", ["float", "half"], ["halves"]),
        node("Sub", ["halves", "one"], ["x"]),
        node("Conv", ["x", "first"], ["h1"], pads=[1, 1, 1, 1]),
        node("InstanceNormalization", ["h1", "scale", "shift"], ["h2"]),
        node("Relu", ["h2"], ["h3"]),
        node("Conv", ["h3", "second"], ["h4"], pads=[1, 1, 1, 1]),
        node("Tanh", ["h4"], ["y"]),
        node("Add", ["y", "one"], ["above"]),
        node("Mul", ["above", "half"], ["scaled"]),
        node("Round", ["scaled"], ["whole"]),
        node("Clip", ["whole", "low", "high"], ["inside"]),
        node("Cast", ["inside"], ["bytes"], to=TensorProto.UINT8),
        node("Transpose", ["bytes"], ["translation"], perm=[0, 2, 3, 1]),
    ]
    sizes = ["batch", "height", "width"]
    graph = helper.make_graph(
        nodes,
        "i2i",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, [*sizes, inputs])],
        [helper.make_tensor_value_info("translation", TensorProto.UINT8, [*sizes, outputs])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    card = {
        "format": "1", "version": "0.0.0", "task": "translate", "model": "pix2pix", "direction": "a2b",
        "inputs": str(inputs), "outputs": str(outputs), "multiple": "1", "minimum": "1", "pixels": "uint8",
        "precision": "fp32", "opset": "20", "step": "1234", "data": "0" * 64, "weights": "0" * 64,
        "recipe": json.dumps({"model": "pix2pix", "data": {"crop": 64}}), "memory": "200", "parity": "{}",
    }  # fmt: skip
    helper.set_model_props(model, {f"i2i.{key}": value for key, value in (card | told).items()})
    path.write_bytes(model.SerializeToString())
    return path
