"""A translator on NVIDIA Triton: its model repository, a container file, and what Kubernetes and KServe want to know.

The texts are templates in `export/triton`. They hold the reasons; here are the numbers.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from i2i.errors import UserError
from i2i.files import atomically
from i2i.paths import shared
from i2i.runtime.model import Card, Exported

NAME = re.compile(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?")  # what Kubernetes takes for a service; Triton takes more
THREADS = 4  # of an instance on a CPU
BODY = 2**26  # bytes of a request that Triton takes unless told otherwise
USUAL = 512 * 512  # pixels of the pictures that the memory limit is for, in a full batch
GIB = 2**30
TEXTS = ("Containerfile", "README.md", "kubernetes.yaml", "kserve.yaml")
INSTEAD = "Use it from Python or the command line: i2i.load(name)(picture, ...) and i2i translate take it as it is."
SCALING = {  # by the part that is busy
    False: (
        "- {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}",
        "Pods are added while the CPUs are busy for more than 70 % of the time.",
    ),
    True: (
        "- {type: Pods, pods: {metric: {name: nv_inference_pending_request_count}, "
        'target: {type: AverageValue, averageValue: "4"}}}',
        "Pods are added while more than 4 requests wait on each: a GPU's load does not show in the CPU's. The number\n"
        "is one of Triton's metrics, and the cluster needs the Prometheus adapter to see it.",
    ),
}
OPENED = 8  # bytes in memory for one of the file: the kernels have a layout of their own, and halves are widened


def triton(
    model: Path,
    out: Path,
    *,
    name: str,
    max_batch: int = 8,
    queue: int = 64,
    timeout_ms: int = 10_000,
    instances: int = 1,
    gpus: bool = False,
    force: bool = False,
) -> Path:
    """Writes the folder `out` for an exported translator (uint8): models/`name`/1/model.onnx and its config.pbtxt,
    Containerfile, client.py, kubernetes.yaml, kserve.yaml, and a README.md that explains them. Returns `out`.

    `name`: of the model in addresses and of what is made in Kubernetes. `queue`: requests that may wait, `timeout_ms`
    how long. `instances`: copies of the model, on the CPU or, with `gpus`, on each GPU. Raises UserError for a model
    that cannot be served, for numbers out of range, and for an `out` that holds other things, unless `force`.
    """
    _check(name, max_batch=max_batch, queue=queue, timeout_ms=timeout_ms, instances=instances)
    exported = Exported(model, device="cpu")
    card = exported.card
    if card.task != "translate" or card.pixels != "uint8":
        raise UserError(f"{model} does not translate uint8 pixels ({card.task}, {card.pixels}); Triton is given those.")
    if problem := several(card):
        raise UserError(f"{model} {problem}, and a server's clients send one picture and get one. {INSTEAD}")
    _check_place(out, name, force)
    size = model.stat().st_size
    batch_memory = card.memory * USUAL * max_batch
    words: dict[str, object] = {
        "name": name,
        "title": f"{card.model} {card.direction}",
        "input": exported.session.get_inputs()[0].name,
        "output": exported.session.get_outputs()[0].name,
        "type": "TYPE_UINT8",
        "inputs": card.inputs,
        "outputs": card.outputs,
        "max_batch": max_batch,
        "queue": queue,
        "timeout_ms": timeout_ms,
        "timeout_us": timeout_ms * 1000,
        "instances": instances,
        "kind": "KIND_GPU" if gpus else "KIND_CPU",
        "threads": THREADS,
        "cpus": 2 if gpus else THREADS * instances,
        "memory": math.ceil((GIB + instances * (OPENED * size + (0 if gpus else batch_memory))) / GIB),
        "per_megapixel": f"{max(card.memory / 1e3, 0.1):.1f} GB",
        "largest": f"{math.isqrt(BODY // card.inputs)} × {math.isqrt(BODY // card.inputs)}",
        "gpu_limit": ", nvidia.com/gpu: 1" if gpus else "",
        "gpu_flag": "--gpus=all " if gpus else "",
        "podman_gpu": ", and `--device nvidia.com/gpu=all` takes the place of `--gpus`" if gpus else "",
        "example": ", ".join(str(37 * k % 256) for k in range(4 * card.inputs)),
        "metric": SCALING[gpus][0],
        "scaling": SCALING[gpus][1],
    }
    words["processor"] = _filled("gpu.pbtxt" if gpus else "cpu.pbtxt", words).rstrip()
    _write(out / "models" / name / "1" / "model.onnx", model.read_bytes())
    _write(out / "models" / name / "config.pbtxt", _filled("config.pbtxt", words).encode())
    _write(out / "client.py", _template("client.py").encode())
    for text in TEXTS:
        _write(out / text, _filled(text, words).encode())
    return out


def several(card: Card) -> str:
    """What a model has besides one picture in and one out: conditions, or the classes of segmentation maps. '' if
    nothing."""
    if len(card.planes) > 1:
        return f"takes a picture together with its {' and '.join(plane.name for plane in card.planes[1:])}"
    if card.planes[0].classes:
        return f"takes the {card.inputs} classes of a segmentation map"
    return f"makes the {card.outputs} classes of a segmentation map" if card.result.classes else ""


def _check(name: str, **numbers: int) -> None:
    if not NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].rstrip("-")
        hint = f" What about {near}?" if NAME.fullmatch(near) else ""
        raise UserError(f"{name!r} cannot name a service: expected a letter, then a-z, 0-9 and -, 50 at most.{hint}")
    for what, number in numbers.items():
        if number < 1:
            raise UserError(f"{what} is at least 1, got {number}.")


def _check_place(out: Path, name: str, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, and a folder is to be written. Choose another name.")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise UserError(f"{out} is not empty. Choose another name, or allow writing into it with --force.")
    others = sorted(path.name for path in (out / "models").glob("*") if path.name != name)
    if others:  # Triton would serve them too
        raise UserError(f"{out / 'models'} holds {', '.join(others)} already. Choose another folder.")


def _filled(template: str, words: Mapping[str, object]) -> str:
    return Template(_template(template)).substitute(words)


def _template(name: str) -> str:
    return (shared("export") / "triton" / name).read_text("utf-8")


def _write(path: Path, content: bytes) -> None:
    atomically(path, lambda temporary: temporary.write_bytes(content))
