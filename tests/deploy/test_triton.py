"""What is written for Triton agrees with Triton's schema, with the model, with Kubernetes, and with itself."""

import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from ruamel.yaml import YAML

from i2i.deploy.triton import triton
from i2i.errors import UserError
from i2i.runtime.model import Exported

from .v2 import parsed, schema, served, text_format

NUMBERS = {"max_batch": 4, "queue": 16, "timeout_ms": 2500, "instances": 2}


@pytest.fixture(scope="module")
def kit(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return triton(exported, tmp_path_factory.mktemp("triton") / "kit", name="sketch2photo", **NUMBERS)


@pytest.fixture(scope="module")
def gpu_kit(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return triton(exported, tmp_path_factory.mktemp("triton") / "kit", name="sketch2photo", gpus=True)


def config(kit: Path) -> Any:
    return parsed(kit / "models" / "sketch2photo" / "config.pbtxt")


def yaml(path: Path) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(path.read_text("utf-8")))


def text(kit: Path, name: str) -> str:
    return (kit / name).read_text("utf-8")


# --- config.pbtxt ----------------------------------------------------------------------------------------------------


def agrees(config: Any, model: onnx.ModelProto) -> bool:
    """Whether names, types and dims are those of the graph, whose first dimension is the batch."""
    for told, values in ((config.input, model.graph.input), (config.output, model.graph.output)):
        if [tensor.name for tensor in told] != [value.name for value in values]:
            return False
        for tensor, value in zip(told, values, strict=True):
            kind = value.type.tensor_type
            batch, *dims = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
            if schema.DataType.Name(tensor.data_type) != f"TYPE_{onnx.TensorProto.DataType.Name(kind.elem_type)}":
                return False
            if batch != -1 or list(tensor.dims) != dims:
                return False
    return True


@pytest.mark.parametrize("which", ["kit", "gpu_kit"])
def test_the_configuration_is_of_the_model(which: str, request: pytest.FixtureRequest) -> None:
    kit = request.getfixturevalue(which)
    model = onnx.load(kit / "models" / "sketch2photo" / "1" / "model.onnx")
    assert agrees(config(kit), model)
    for wrong in ("picture", "translation"):
        changed = text(kit, "models/sketch2photo/config.pbtxt").replace(f'name: "{wrong}"', 'name: "image"')
        assert not agrees(parsed(changed), model)
    assert not agrees(parsed(text(kit, "models/sketch2photo/config.pbtxt").replace("-1, 3", "3, -1")), model)


def test_the_model_is_the_one_that_was_exported(kit: Path, exported: Path) -> None:
    assert (kit / "models" / "sketch2photo" / "1" / "model.onnx").read_bytes() == exported.read_bytes()
    assert sorted(str(path.relative_to(kit)) for path in kit.rglob("*") if path.is_file()) == [
        "Containerfile",
        "README.md",
        "client.py",
        "kserve.yaml",
        "kubernetes.yaml",
        "models/sketch2photo/1/model.onnx",
        "models/sketch2photo/config.pbtxt",
    ]


def test_the_queue_is_bounded_and_turns_away(kit: Path) -> None:
    found = config(kit)
    batching = found.dynamic_batching
    policy = batching.default_queue_policy
    assert (found.name, found.backend, found.max_batch_size) == ("sketch2photo", "onnxruntime", 4)
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (16, 2_500_000)
    assert policy.timeout_action == schema.ModelQueuePolicy.TimeoutAction.REJECT
    assert batching.max_queue_delay_microseconds == 0
    assert list(batching.preferred_batch_size) == [4]
    assert found.version_policy.latest.num_versions == 1


def test_instances_are_where_they_were_wanted(kit: Path, gpu_kit: Path) -> None:
    (group,), (gpu_group,) = config(kit).instance_group, config(gpu_kit).instance_group
    assert (group.count, group.kind) == (2, schema.ModelInstanceGroup.Kind.KIND_CPU)
    assert (gpu_group.count, gpu_group.kind) == (1, schema.ModelInstanceGroup.Kind.KIND_GPU)
    assert config(kit).parameters["intra_op_thread_count"].string_value == "4"
    assert config(gpu_kit).parameters["cudnn_conv_algo_search"].string_value == "1"


def test_tensorrt_is_off_and_valid_when_its_signs_are_removed(gpu_kit: Path) -> None:
    assert not config(gpu_kit).optimization.execution_accelerators.gpu_execution_accelerator
    written = text(gpu_kit, "models/sketch2photo/config.pbtxt")
    (engine,) = parsed(written.replace("#| ", "")).optimization.execution_accelerators.gpu_execution_accelerator
    assert engine.name == "tensorrt"
    assert engine.parameters["precision_mode"] == "FP16"


def test_warm_up_is_a_picture_that_the_model_takes(kit: Path) -> None:
    (warm,) = config(kit).model_warmup
    given = warm.inputs["picture"]
    x = np.zeros((warm.batch_size, *given.dims), np.uint8)
    assert given.data_type == config(kit).input[0].data_type
    assert Exported(kit / "models/sketch2photo/1/model.onnx", device="cpu").run(x).shape == x.shape


@pytest.mark.parametrize("field", ["max_batch_size", "data_type", "max_queue_size", "instance_group", "timeout_action"])
def test_a_field_that_triton_does_not_know_is_noticed(field: str, kit: Path) -> None:
    written = text(kit, "models/sketch2photo/config.pbtxt")
    with pytest.raises(text_format.ParseError):
        parsed(re.sub(rf"\b{field}\b", f"{field}s", written))


# --- the guide -------------------------------------------------------------------------------------------------------


def test_nothing_is_left_to_fill_in(kit: Path, gpu_kit: Path) -> None:
    for path in (*kit.rglob("*"), *gpu_kit.rglob("*")):
        if path.is_file() and path.suffix != ".onnx":
            left = re.findall(r"\$\{?\w+", path.read_text("utf-8"))
            assert left == (["${TRITON"] if path.name == "Containerfile" else []), path


def test_the_client_gives_what_the_model_gives(kit: Path, photograph: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photograph).save(tmp_path / "in.png")
    with served(kit / "models") as server:
        files = [str(tmp_path / "in.png"), str(tmp_path / "out.png")]
        subprocess.run([sys.executable, str(kit / "client.py"), "sketch2photo", *files, server], check=True)
    native = Exported(kit / "models/sketch2photo/1/model.onnx", device="cpu")(photograph)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), native)


def curls(kit: Path) -> list[list[str]]:
    """The arguments of the guide's curl commands."""
    blocks = re.findall(r"```\n(curl.*?)```", text(kit, "README.md"), re.DOTALL)
    commands: list[list[str]] = []
    for word in shlex.split("\n".join(blocks)):
        commands += [[]] if word in ("curl", "python") else []
        commands[-1].append(word)
    return [command for command in commands if command[0] == "curl"]


def test_the_guides_requests_are_answered(kit: Path) -> None:
    with served(kit / "models") as server:
        ready, model, infer = curls(kit)
        for arguments in (ready, model):
            (url,) = [argument for argument in arguments if argument.startswith("http")]
            assert urllib.request.urlopen(url.replace("http://127.0.0.1:8000", server)).status == 200
        url, body = infer[1], infer[infer.index("-d") + 1]
        request = urllib.request.Request(url.replace("http://127.0.0.1:8000", server), body.encode())
        answer = json.load(urllib.request.urlopen(request))["outputs"][0]
    given = json.loads(body)["inputs"][0]
    picture = np.array(given["data"], np.uint8).reshape(given["shape"])
    native = Exported(kit / "models/sketch2photo/1/model.onnx", device="cpu").run(picture)
    assert answer["name"] == "translation"
    assert np.array_equal(np.array(answer["data"]).reshape(answer["shape"]), native)


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "image"), ("datatype", "FP32"), ("shape", [9, 2, 2, 3]), ("shape", [1, 2, 2, 4]), ("shape", [2, 2, 3])],
)
def test_the_server_that_the_client_is_tested_with_is_strict(key: str, value: Any, kit: Path) -> None:
    tensor = {"name": "picture", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [0] * 12} | {key: value}
    with served(kit / "models") as server, pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{server}/v2/models/sketch2photo/infer", json.dumps({"inputs": [tensor]}).encode())


def test_the_guide_builds_what_it_runs(kit: Path, gpu_kit: Path) -> None:
    guide = text(kit, "README.md")
    build, run = re.search(r"docker build -t (\S+)", guide), re.search(r"(\S+)\n```\n\nWith podman", guide)
    assert build is not None
    assert run is not None
    assert build[1] == run[1] == yaml(kit / "kubernetes.yaml")[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert "--gpus" not in guide
    assert "--gpus=all" in text(gpu_kit, "README.md")


def test_the_container_is_recent_without_rights_and_closed(kit: Path) -> None:
    written = text(kit, "Containerfile")
    tag = re.search(r"^ARG TRITON=(\d\d)\.(\d\d)-py3$", written, re.MULTILINE)
    assert tag is not None
    assert (int(tag[1]), int(tag[2])) >= (25, 7)
    assert re.search(r"^USER 1000:1000$", written, re.MULTILINE)
    start = re.search(r"^CMD (\[.*\])$", written.replace("\\\n", ""), re.MULTILINE)
    assert start is not None
    command = json.loads(start[1])
    assert {"--model-control-mode=none", "--http-port=8000", "--grpc-port=8001", "--metrics-port=8002"} <= set(command)
    assert re.search(r"^EXPOSE 8000 8001 8002$", written, re.MULTILINE)
    health = json.loads(written.replace("\\\n", "").split("CMD ", 2)[1].split("\n")[0])
    with served(kit / "models") as server:
        here = [part.replace("http://127.0.0.1:8000", server) for part in health]
        assert subprocess.run([sys.executable, *here[1:]], check=False).returncode == 0
        gone = [part.replace("/ready", "/nowhere") for part in here]
        assert subprocess.run([sys.executable, *gone[1:]], check=False, stderr=subprocess.DEVNULL).returncode != 0


# --- Kubernetes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["kit", "gpu_kit"])
def test_the_deployment_hangs_together(which: str, request: pytest.FixtureRequest) -> None:
    kit = request.getfixturevalue(which)
    deployment, service, scaler = yaml(kit / "kubernetes.yaml")
    assert [part["kind"] for part in (deployment, service, scaler)] == [
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
    ]
    assert [part["apiVersion"] for part in (deployment, service, scaler)] == ["apps/v1", "v1", "autoscaling/v2"]
    assert {part["metadata"]["name"] for part in (deployment, service, scaler)} == {"sketch2photo"}
    template = deployment["spec"]["template"]
    assert (
        deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"] == service["spec"]["selector"]
    )
    assert scaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "sketch2photo"}
    assert scaler["spec"]["minReplicas"] == deployment["spec"]["replicas"] <= scaler["spec"]["maxReplicas"]
    assert len(scaler["spec"]["metrics"]) == 1
    pod, (container,) = template["spec"], template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000, "grpc": 8001, "metrics": 8002}
    assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    with served(kit / "models") as server:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert urllib.request.urlopen(server + container[probe]["httpGet"]["path"]).status == 200
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    preparation = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    leaves = re.search(r"--exit-timeout-secs=(\d+)", text(kit, "Containerfile"))
    assert leaves is not None
    assert preparation + int(leaves[1]) < pod["terminationGracePeriodSeconds"]


def test_limits_are_those_of_the_model(kit: Path, gpu_kit: Path) -> None:
    for folder, cpus, gpus in ((kit, "8", None), (gpu_kit, "2", 1)):
        container = yaml(folder / "kubernetes.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
        predictor = yaml(folder / "kserve.yaml")[0]["spec"]["predictor"]["model"]
        for resources in (container["resources"], predictor["resources"]):
            assert resources["limits"]["cpu"] == resources["requests"]["cpu"] == cpus
            assert resources["limits"].get("nvidia.com/gpu") == gpus
            assert re.fullmatch(r"\d+Gi", resources["limits"]["memory"])


def test_kserve_is_told_the_format_and_the_protocol(kit: Path) -> None:
    (service,) = yaml(kit / "kserve.yaml")
    model = service["spec"]["predictor"]["model"]
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert model["modelFormat"] == {"name": "onnx"}
    assert model["protocolVersion"] == "v2"
    assert model["runtimeVersion"] == re.search(r"TRITON=(\S+)", text(kit, "Containerfile"))[1]  # type: ignore[index]
    assert "--model-control-mode=none" in model["args"]


# --- wrong requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Sketch", "2photo", "sketch_2", "-a", "a-", "", "a/b", "..", "a" * 51])
def test_a_name_that_no_service_can_have_is_refused(name: str, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot name a service"):
        triton(exported, tmp_path / "kit", name=name)
    assert not (tmp_path / "kit").exists()


def test_what_is_in_the_way_stays(exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "kit"
    triton(exported, out, name="one")
    with pytest.raises(UserError, match="not empty"):
        triton(exported, out, name="one")
    triton(exported, out, name="one", queue=5, force=True)
    assert parsed(out / "models/one/config.pbtxt").dynamic_batching.default_queue_policy.max_queue_size == 5
    with pytest.raises(UserError, match="holds one already"):
        triton(exported, out, name="two", force=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        triton(exported, tmp_path / "file", name="one")


def test_numbers_below_one_are_refused(exported: Path, tmp_path: Path) -> None:
    for what in NUMBERS:
        with pytest.raises(UserError, match=f"{what} is at least 1"):
            triton(exported, tmp_path / "kit", name="one", **{what: 0})  # type: ignore[arg-type]


def test_other_models_are_refused(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    for entry in model.metadata_props:
        entry.value = "uint16" if entry.key == "i2i.pixels" else entry.value
    onnx.save(model, tmp_path / "deep.onnx")
    with pytest.raises(UserError, match="does not translate uint8"):
        triton(tmp_path / "deep.onnx", tmp_path / "kit", name="deep")
    with pytest.raises(UserError):
        triton(tmp_path / "missing.onnx", tmp_path / "kit", name="missing")
    assert not (tmp_path / "kit").exists()


def test_torch_is_not_needed() -> None:
    subprocess.run(
        [sys.executable, "-c", "import sys, i2i.deploy.triton; assert 'torch' not in sys.modules"], check=True
    )
