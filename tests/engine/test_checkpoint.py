import os
import signal

import pytest
import torch

from i2i.engine import checkpoint
from i2i.engine.checkpoint import atomically
from i2i.errors import UserError

CPU = torch.device("cpu")


def test_a_state_survives_the_round_trip(tmp_path):
    state = {
        "step": 3, "recipe": "{}", "ema": None,
        "model": {"w": torch.randn(2, 3), "past": [torch.randn(1), torch.randn(1)]},
    }  # fmt: skip
    checkpoint.save(tmp_path / "state.pt", state)
    loaded = checkpoint.load(tmp_path / "state.pt", CPU)
    assert (loaded["step"], loaded["recipe"], loaded["ema"]) == (3, "{}", None)
    assert torch.equal(loaded["model"]["w"], state["model"]["w"])
    assert all(torch.equal(a, b) for a, b in zip(loaded["model"]["past"], state["model"]["past"], strict=True))


def test_an_optimisers_state_survives_the_restricted_load(tmp_path):
    net = torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(net.parameters(), betas=(0.5, 0.999), foreach=True)
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    checkpoint.save(tmp_path / "state.pt", {"optimiser": optimiser.state_dict()})
    loaded = checkpoint.load(tmp_path / "state.pt", CPU)["optimiser"]
    assert loaded["param_groups"] == optimiser.state_dict()["param_groups"]
    for i, moments in optimiser.state_dict()["state"].items():
        assert all(torch.equal(value, loaded["state"][i][key]) for key, value in moments.items())


def test_a_file_is_new_or_old_but_never_half(tmp_path):
    path = tmp_path / "deep" / "file"
    atomically(path, lambda temporary: temporary.write_text("old"))  # makes the folder
    seen = []

    def fail(temporary):
        temporary.write_text("ne")
        seen.append(path.read_text())
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        atomically(path, fail)
    assert seen == ["old"]
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file"]  # nothing left lying about
    atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"


def test_a_process_killed_while_it_writes_leaves_the_old_file_and_the_next_write_works(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def die(temporary):
        temporary.write_text("ne")
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        atomically(path, die)
        os._exit(0)  # never reached
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert path.read_text() == "old"
    atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]  # the dead process's remains were taken over


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"not a state at all",
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],  # one bit
    ],
)
def test_a_damaged_file_is_an_error_that_names_it_and_says_what_to_do(tmp_path, damage):
    path = tmp_path / "state.pt"
    checkpoint.save(path, {"w": torch.randn(10_000)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"state\.pt is damaged or is no saved state.*--run"):
        checkpoint.load(path, CPU)


def test_a_state_that_would_run_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"model": Payload()}, tmp_path / "state.pt")
    with pytest.raises(UserError, match="damaged or is no saved state"):
        checkpoint.load(tmp_path / "state.pt", CPU)
    assert not (tmp_path / "harm").exists()
