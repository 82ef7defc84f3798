"""A translator as a web page: the model runs in the browser, by ONNX Runtime Web on WebGPU or WebAssembly.

Either one file that opens by a double-click, with everything inside, or a folder for any host of static files. Both are
made from the sources in `export/web`; the page takes what is embedded in it and fetches the rest.
"""

import base64
import functools
import gzip
import hashlib
import html
import io
import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image

from i2i import __version__, images
from i2i.deploy.triton import INSTEAD, several
from i2i.errors import UserError
from i2i.files import atomically
from i2i.paths import shared
from i2i.runtime import scale
from i2i.runtime.model import Exported

ENGINE = ("resize.js", "engine.js")  # what the worker runs
SCRIPTS = ("assets.js", "client.js", "picture.js", "drawing.js", "stage.js", "page.js")  # one script, in this order
JS, WASM = "ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"
NOTICES = "ThirdPartyNotices.txt"
MOST_EMBEDDED = 2**28  # bytes of a model in a single file; browsers end at some 500 MB of text
THUMBNAIL = 512  # pixels, the longer side of an example
CHECK = (48, 64)  # height, width of the picture on which the browser is compared with Python
# How far apart the two may be, of 255. Integer kernels round differently on each kind of processor.
TOLERANCE = {"fp32": 1, "fp16": 2, "int8": 24}
SHEET = 256  # pixels, side of a blank sheet where the recipe does not tell the size of training
ROOMY = 512  # pixels, side of the largest one, and of every one that the model sees at its training's scale
DIRECTIONS = {"a2b": "A → B", "b2a": "B → A"}


def web(model: Path, out: Path, *, title: str, examples: Sequence[Path] = (), force: bool = False) -> Path:
    """Writes the page of an exported translator (uint8, 1 or 3 channels) and returns the file to open.

    `out` ending in .html: one self-contained file. Else a folder of index.html, model.onnx, ort/ and examples/, with
    relative addresses only. `examples`: pictures to start from, made small. The page tells how far its pixels are from
    those of Python, by a picture that is translated here too. An existing page is replaced only with `force`.
    Raises UserError for a model that a page cannot run, for examples that cannot be read, and for what is in the way.
    """
    alone = out.suffix.lower() == ".html"
    _check_place(out, alone, force)
    exported = Exported(model, device="cpu")
    _check_model(exported, model, alone)
    made = images_of(examples, exported.inputs)
    files = _runtime() | {"model.onnx": model.read_bytes()}
    parts = {"runtime": f"ort/{JS}", "wasm": f"ort/{WASM}.gz", "model": "model.onnx", "notices": f"ort/{NOTICES}"}
    config = {
        **_card(exported),
        "title": title,
        "single": alone,
        "check": _check(exported),
        "assets": {name: _asset(path, files[path]) for name, path in parts.items()},
        "examples": [{"label": label, "src": _data_url(png) if alone else path} for path, (label, png) in made.items()],
    }
    if alone:
        inside = {name: files[path] for name, path in parts.items()}
        return _write(out, _page(config, inside).encode())
    for path, content in (files | {path: png for path, (_, png) in made.items()}).items():
        _write(out / path, content)
    return _write(out / "index.html", _page(config, {}).encode())  # the last one, since it names the others


def _write(path: Path, content: bytes) -> Path:
    atomically(path, lambda temporary: temporary.write_bytes(content))
    return path


def _check_place(out: Path, alone: bool, force: bool) -> None:
    if alone:
        if out.is_dir():
            raise UserError(f"{out} is a folder, and a name in .html means a single file. Choose another name.")
        if out.exists() and not force:
            raise UserError(f"{out} exists already. Choose another name, or allow replacing it with --force.")
        return
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file. Expected a folder, or a name ending in .html for a single file.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        raise UserError(f"{out} exists already. Choose another name, or allow replacing it with --force.")
    index = out / "index.html"
    if not index.is_file() or 'name="generator" content="i2i ' not in index.read_text("utf-8", "replace"):
        raise UserError(f"{out} has other things than a page of i2i in it. Choose an empty or a new folder.")


def _check_model(exported: Exported, model: Path, alone: bool) -> None:
    card = exported.card
    if card.task != "translate":
        raise UserError(f"{model} makes pictures from noise. A web page needs a model that translates pictures.")
    if card.pixels != "uint8":
        raise UserError(f"{model} takes {card.pixels} pixels, and browsers have uint8. Export it with --pixels uint8.")
    if problem := several(card):
        raise UserError(f"{model} {problem}, and a web page has one picture and makes one. {INSTEAD}")
    if not {card.inputs, card.outputs} <= {1, 3}:
        raise UserError(
            f"{model} translates {card.inputs} into {card.outputs} channels. A web page shows pictures of 1 or 3: a "
            f"browser's canvas keeps no exact colours under transparency. {INSTEAD}"
        )
    size = model.stat().st_size
    if alone and size > MOST_EMBEDDED:
        raise UserError(
            f"{model} has {size / 1e6:.0f} MB, and a single page can hold {MOST_EMBEDDED / 1e6:.0f} MB. Name a folder "
            f"instead of a .html file, or export the model smaller: --precision fp16."
        )


def images_of(examples: Sequence[Path], channels: int) -> dict[str, tuple[str, bytes]]:
    """Path in the folder → (label, PNG) of each example, at most THUMBNAIL pixels on its longer side, no metadata."""
    made = {}
    for count, path in enumerate(examples, 1):
        pixels = images.read(path, channels)
        picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True)
        made[f"examples/{count}.png"] = (path.stem, buffer.getvalue())
    return made


def _card(exported: Exported) -> dict[str, Any]:
    """What the page has to know of the model, and what it tells about it."""
    card, told = exported.card, exported.session.get_modelmeta().custom_metadata_map
    recipe = json.loads(told.get("i2i.recipe") or "{}")
    facts = {
        "Model": card.model,
        "Direction": DIRECTIONS.get(card.direction, card.direction),
        "Trained for": f"{int(told['i2i.step']):,} steps" if told.get("i2i.step", "").isdecimal() else "",
        "Precision": card.precision,
        "Pictures": "of any size" + (f", padded to multiples of {card.multiple}" if card.multiple > 1 else ""),
        "Made with": f"i2i {told.get('i2i.version', __version__)}",
        "Weights": f"sha256 {card.weights[:16]}…",
    }
    side = scale.working_side(card, "trained")
    crop = int((recipe.get("data") or {}).get("crop", SHEET))  # an imported model has none
    return {
        "inputs": card.inputs,
        "outputs": card.outputs,
        "scale": {"side": side, "above": scale.LARGER * side} if side else None,
        "memory": card.memory,
        "sheet": ROOMY if side and scale.is_larger((ROOMY, ROOMY), side) else min(ROOMY, max(32, crop)),
        "facts": {key: value for key, value in facts.items() if value},
    }


def _check(exported: Exported) -> dict[str, Any]:
    """A picture and its translation by Python: the browser makes it too, and says how far it is off."""
    shape = (*CHECK, exported.inputs)
    # Soft noise, for the model is to see edges and flat parts, and instance normalisation must not divide by nothing.
    rough = np.random.default_rng(0).integers(0, 256, (6, 8, exported.inputs)).repeat(8, 0).repeat(8, 1)
    fine = np.random.default_rng(1).integers(-24, 25, shape)
    picture = (rough + fine).clip(0, 255).astype(np.uint8)
    return {
        "height": CHECK[0],
        "width": CHECK[1],
        "input": _base64(_gzip(picture.tobytes())),
        "output": _base64(_gzip(exported(picture).tobytes())),
        "tolerance": TOLERANCE.get(exported.card.precision, 1),
    }


@functools.lru_cache(maxsize=1)
def _runtime() -> dict[str, bytes]:
    """Path in the folder → content of what the page needs besides the model. Packing takes seconds: done once."""
    ort = shared("export") / "web" / "ort"
    return {
        f"ort/{JS}": (ort / JS).read_bytes(),
        f"ort/{WASM}.gz": _gzip(lzma.decompress((ort / f"{WASM}.xz").read_bytes())),
        "ort/LICENSE": (ort / "LICENSE").read_bytes(),
        f"ort/{NOTICES}": lzma.decompress((ort / f"{NOTICES}.xz").read_bytes()),
    }


def _asset(path: str, content: bytes) -> dict[str, Any]:
    return {"url": path, "bytes": len(content), "version": hashlib.sha256(content).hexdigest()[:12]}


def _page(config: Mapping[str, Any], inside: Mapping[str, bytes]) -> str:
    """index.html, filled in. `inside`: what is embedded, by name."""
    source = shared("export") / "web"
    texts = {name: (source / name).read_text("utf-8") for name in ("index.html", "page.css", *ENGINE, *SCRIPTS)}
    embedded = (
        f'<script type="application/octet-stream" id="asset-{name}">{_base64(_gzip(content))}</script>\n'
        for name, content in inside.items()
    )
    return Template(texts["index.html"]).substitute(
        title=html.escape(str(config["title"])),
        version=html.escape(__version__),
        style=texts["page.css"],
        licence=html.escape((source / "ort" / "LICENSE").read_text("utf-8")),
        # '<' would let a title such as '</script>' end the element early
        config=json.dumps(config, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        engine="\n".join(texts[name] for name in ENGINE),
        assets="".join(embedded),
        script="\n".join(texts[name] for name in SCRIPTS),
    )


def _gzip(content: bytes) -> bytes:
    """The same bytes every time (no date); what is packed already stays as it is."""
    return content if content[:2] == b"\x1f\x8b" else gzip.compress(content, 9, mtime=0)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{_base64(png)}"
