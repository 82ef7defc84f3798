"""Several processes that play one game, for the tests of what must hold between them."""

import gc
import multiprocessing
import os
import pickle
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

import torch
import torch.distributed as dist

from i2i.engine.ranks import join, leave

# A fork would inherit the autograd threads of the tests before; a spawned process imports torch anew each time. So one
# clean process imports everything once, and those of the tests are forks of it.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["i2i.api", "torch.distributed", "matplotlib.backends.backend_svg", "pytest"])


@dataclass(frozen=True)
class Raised:
    """An exception in another process."""

    kind: str
    text: str


def together(
    world: int,
    job: Callable[..., Any],
    *args: Any,
    timeout: int | None = 60,
    wait_for: Sequence[int] | None = None,
    store: dist.TCPStore | None = None,
) -> list[Any]:
    """By rank, what `job(ranks, *args)` returned in each of `world` processes, or what it raised.

    `timeout`: seconds that they wait for each other; None: `job(*args)` joins them itself. `wait_for`: the ranks whose
    answers are enough; the others, whose answers are None, are then killed. `store`: where they meet, as torchrun's own
    that outlives them; else rank 0 opens one.
    """
    told = {"WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port if store else _free_port()}
    told |= {"TORCHELASTIC_USE_AGENT_STORE": store is not None, "GLOO_SOCKET_IFNAME": "lo"}
    processes, pipes = [], []
    for rank in range(world):
        mine, theirs = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(
            target=_one, args=(told | {"RANK": rank, "LOCAL_RANK": rank}, timeout, job, args, theirs), daemon=True
        )
        process.start()
        theirs.close()  # so that a process that dies ends the pipe
        processes.append(process)
        pipes.append(mine)
    answers: list[Any] = [None] * world
    open_, deadline = dict(zip(pipes, range(world), strict=True)), time.monotonic() + 120
    needed = set(range(world) if wait_for is None else wait_for)
    try:
        while needed & set(open_.values()):
            ready = connection.wait(list(open_), deadline - time.monotonic())
            if not ready:
                raise AssertionError(f"ranks {sorted(open_.values())} neither answered nor ended")
            for pipe in ready:
                rank = open_.pop(pipe)
                try:
                    answers[rank] = pickle.loads(pipe.recv_bytes())
                except EOFError:
                    processes[rank].join()
                    answers[rank] = Raised("died", f"exit code {processes[rank].exitcode}")
    finally:
        for process in processes:
            if wait_for is None:
                process.join(10)
            process.kill()
            process.join()
    return answers


def _one(told: dict[str, Any], timeout: int | None, job: Callable[..., Any], args: Any, answer: Any) -> None:
    gc.freeze()  # a collection would touch, and so copy, all that is shared with the other forks
    torch.set_num_threads(1)
    os.environ.update({name: str(value) for name, value in told.items()})
    try:
        result = job(*args) if timeout is None else job(join(torch.device("cpu"), timeout), *args)
    except BaseException as error:
        result = Raised(type(error).__name__, str(error))
    answer.send_bytes(pickle.dumps(result))  # torch's own way of sending would need this process to live on
    leave()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
