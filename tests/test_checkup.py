"""`i2i doctor`: what it finds on machines that are made up here, and on this one."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from rich.console import Console

from i2i import checkup
from i2i.checkup import Finding
from i2i.runtime import gpu, probe

DRIVER = {"cuda": [13, 0], "devices": 1, "error": 0}


def one(findings: Any, name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


# Packages


def test_both_onnxruntimes_are_bad_and_the_line_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "packages", lambda: {"onnxruntime": "1.30.0", "onnxruntime-gpu": "1.31.1"})
    found = checkup.onnxruntime()
    assert found.state == "bad"
    assert found.found == "onnxruntime 1.30.0, onnxruntime-gpu 1.31.1 overwrite each other's files"
    assert found.fix.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime")


def test_no_onnxruntime_is_bad_and_one_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "packages", dict)
    assert checkup.onnxruntime().state == "bad"
    monkeypatch.setattr(gpu, "packages", lambda: {"onnxruntime": "1.30.0"})
    assert checkup.onnxruntime() == Finding("onnxruntime", "ok", "onnxruntime 1.30.0")


@pytest.mark.parametrize(
    ("wanted", "version", "state", "words", "fix"),
    [
        ("pillow>=13.0", "12.4.0", "bad", "12.4.0 is not safe", "pip install -U 'pillow>=13.0.0'"),
        ("torch>=2.10", "2.9.1+cu128", "bad", "CVE-2026-24747", "pip install -U 'torch>=2.10'"),
        ("torch>=2.10", "2.14.1+cu130", "ok", "2.14.1", ""),
        ("numpy>=2.0", "1.26.4", "bad", "i2i needs >=2.0", "pip install -U 'numpy>=2.0'"),
        ("numpy>=2.0", None, "bad", "is not installed", "pip install -U 'numpy>=2.0'"),
        ("onnxruntime-gpu>=1.23", None, "ok", "below", ""),
        ("onnxruntime-gpu>=1.23", "1.22.0", "bad", "i2i needs", "pip install -U 'onnxruntime-gpu>=1.23'"),
    ],
)
def test_versions_are_held_against_what_is_needed_and_what_is_safe(
    wanted: str, version: str | None, state: str, words: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "_version", lambda name: version)
    found = checkup.package(Requirement(wanted))
    assert (found.state, found.fix) == (state, fix)
    assert words in found.found


def test_security_holds_where_i2i_declares_less_or_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def declared(name: str) -> list[str]:
        raise checkup.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(checkup.metadata, "requires", declared)
    monkeypatch.setattr(checkup, "_version", lambda name: "1.0")
    found = list(checkup.packages())
    assert one(found, "i2i").state == "warn"
    assert {finding.name for finding in found if finding.state == "bad"} == {"torch", "pillow", "onnx"}


def test_what_only_extras_need_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.metadata, "requires", lambda name: ["numpy>=2.0", "wandb>=0.31; extra == 'wandb'"])
    assert "wandb" not in [finding.name for finding in checkup.packages()]


# Devices


def test_the_probe_is_a_convolution_with_ones() -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "ones"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "v", "u"])],
        [helper.make_tensor("ones", TensorProto.FLOAT, [1, 1, 3, 3], [1.0] * 9)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    assert made.SerializeToString(deterministic=True) == probe.CONVOLUTION


def test_a_device_that_computes_wrongly_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.probe("cpu") == {"works": True}
    monkeypatch.setattr(probe, "run", lambda session, device, feeds: np.zeros((1, 1, 1, 2)))
    assert probe.probe("cpu")["works"] is False


def test_a_probe_that_hangs_is_ended_and_reported() -> None:
    process = probe.start("-c", "import time; time.sleep(600)")
    began = time.monotonic()
    told = probe.answer(process, 0.3)
    assert time.monotonic() - began < 10
    assert told == {"works": False, "broken": True, "reason": "no answer within 0.3 s; it hangs"}
    assert process.poll() is not None


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_probe_that_crashes_is_reported() -> None:
    code = "import os, sys; print('libcuda: bad luck', file=sys.stderr, flush=True); os.abort()"
    told = probe.answer(probe.start("-c", code), 60)
    assert told["broken"]
    assert told["reason"] == "it crashed (Aborted): libcuda: bad luck"


def test_a_probe_that_fails_gives_its_last_words() -> None:
    told = probe.answer(probe.start("-c", "raise OSError('no such thing')"), 60)
    assert told["reason"] == "it failed: OSError: no such thing"


def test_the_words_of_onnxruntime_itself_are_shown() -> None:
    words = "[E:onnxruntime:Default] Failed to load libonnxruntime_providers_cuda.so: libcublasLt.so.13"
    code = f'import sys; print({words!r}, file=sys.stderr); print(\'{{"works": false, "reason": "it did not start"}}\')'
    assert probe.answer(probe.start("-c", code), 60)["reason"] == f"it did not start: {words}"


def test_a_probe_takes_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    assert probe.answer(probe.start("-m", "i2i.runtime.probe", "cpu"), 60) == {"works": True}


@pytest.mark.parametrize(
    ("name", "told", "state"),
    [
        ("cpu", {"works": True}, "ok"),
        ("cpu", {"works": False}, "bad"),
        ("cuda", {"works": False, "driver": None, "missing": []}, "warn"),
        ("cuda", {"works": False, "driver": {**DRIVER, "devices": 0}, "missing": []}, "warn"),
        ("cuda", {"works": False, "driver": DRIVER, "missing": ["libcudnn.so.9"]}, "bad"),
        ("cuda", {"works": False, "broken": True}, "bad"),
        ("tensorrt", {"works": False, "driver": DRIVER, "missing": ["libnvinfer.so.10"]}, "warn"),
        ("tensorrt", {"works": False, "broken": True}, "bad"),
    ],
)
def test_a_missing_gpu_is_worth_knowing_and_one_that_does_not_compute_is_bad(
    name: str, told: dict[str, Any], state: str
) -> None:
    found = checkup.device(name, {"reason": "because", **told})
    assert found.state == state
    assert bool(found.fix) == (state != "ok")
    assert all(library in found.found for library in told.get("missing", ()))


def test_torch_says_what_it_is_built_for_and_where_it_computes() -> None:
    told = {"works": True, "version": "2.14.1", "cuda": "13.0", "gpus": 0, "devices": ["cpu"]}
    assert checkup.torch(told) == Finding("torch computes", "ok", "on cpu; 2.14.1, built for CUDA 13.0")
    assert checkup.torch({**told, "works": False}).state == "bad"
    assert "no module" in checkup.torch({"works": False, "reason": "no module"}).found


def smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What is found where `nvidia-smi` is this shell script; none if ''."""
    folder.mkdir(exist_ok=True)
    if script:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin" if script else str(folder))
    return list(checkup.graphics())


@pytest.mark.skipif(os.name == "nt", reason="a shell script plays nvidia-smi")
@pytest.mark.parametrize(
    ("script", "states", "words"),
    [
        ("", ["ok"], "nvidia-smi is not installed"),
        (
            "echo 'NVIDIA H100 80GB HBM3, 580.65, 81000, 81559'",
            ["ok"],
            "H100 80GB HBM3, driver 580.65, 81000 of 81559 MiB",
        ),
        ("echo 'A, 580.65, 900, 81559'; echo 'B, 580.65, 81000, 81559'", ["warn", "ok"], "900 of 81559 MiB free"),
        ("echo 'Failed to initialize NVML: mismatch' >&2; exit 18", ["bad"], "Failed to initialize NVML"),
        ("exec sleep 60", ["bad"], "hangs"),
    ],
)
def test_nvidia_smi_is_believed_in_all_its_moods(
    script: str, states: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "PATIENCE", 2.0 if "sleep" in script else 60.0)
    found = smi(tmp_path / "bin", script, monkeypatch)
    assert [finding.state for finding in found] == states
    assert words in found[0].found
    assert all(bool(finding.fix) == (finding.state != "ok") for finding in found)


# Disks and memory

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "state"), [(0, "bad"), (2 * 10**9, "warn"), (10**11, "ok")])
def test_a_full_disk_is_found_before_it_costs_a_run(
    free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("I2I_HOME", str(tmp_path / "not" / "yet" / "there"))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**12, 10**12 - free, free))
    found = one(checkup.disks(), "models and data")
    assert found.state == state
    assert str(tmp_path) in found.found
    assert bool(found.fix) == (state != "ok")
    assert not (tmp_path / "not").exists()


def test_a_folder_that_is_not_ours_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("I2I_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    found = one(checkup.disks(), "models and data")
    assert (found.state, found.fix) == ("bad", "export I2I_HOME=/a/folder/with/room")
    assert "cannot be written to: Permission denied" in found.found


def test_little_memory_is_worth_knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_memory", lambda: (10**9, 16 * 10**9))
    assert one(checkup.machine(), "memory").state == "warn"
    monkeypatch.setattr(checkup, "_memory", lambda: None)
    assert [finding.name for finding in checkup.machine()] == ["cores"]


# What people and programs read

FINDINGS = [
    Finding("python", "ok", "3.11"),
    Finding("device cuda", "bad", "does not work: " + "words " * 40, "pip install 'onnxruntime-gpu[cuda,cudnn]'"),
]


def test_a_pipe_gets_a_line_a_finding_with_all_in_it() -> None:
    lines = checkup.table(FINDINGS, Console(file=StringIO(), width=80)).splitlines()
    assert lines[0] == "ok    python       3.11"
    assert lines[1].startswith("bad   device cuda  does not work: words")
    assert lines[1].endswith("  → pip install 'onnxruntime-gpu[cuda,cudnn]'")
    assert lines[2:] == ["1 bad, 0 to know about."]


def test_a_terminal_gets_columns_that_fit() -> None:
    told = checkup.table(FINDINGS, Console(file=StringIO(), width=80, force_terminal=True, color_system=None))
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(" " * 18) for line in lines[2:-1])  # the third column hangs together
    assert "→ pip install 'onnxruntime-gpu[cuda,cudnn]'" in told


def test_programs_get_json() -> None:
    assert [Finding(**told) for told in json.loads(checkup.json(FINDINGS))] == FINDINGS


def test_this_machine_is_looked_at_without_torch_and_without_a_traceback() -> None:
    code = "import sys; from i2i.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", code, "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    findings = [Finding(**told) for told in json.loads(done.stdout)]
    assert done.returncode == any(finding.state == "bad" for finding in findings)
    assert one(findings, "device cpu").state == "ok"
    assert one(findings, "torch computes").state == "ok"
    assert [finding for finding in findings if finding.state != "ok" and not finding.fix] == []
    if one(findings, "GPU").found.startswith("none"):
        assert one(findings, "device cuda").state == "warn"
