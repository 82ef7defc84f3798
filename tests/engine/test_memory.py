import torch
from torch import nn

from i2i.engine.memory import Curve, Peak, available, size, told

CPU = torch.device("cpu")
KB = 1024


def floats(n):
    return torch.zeros(n * KB // 4)


def test_a_peak_counts_what_lives_at_one_time_and_not_what_has_gone():
    with Peak(CPU) as peak:
        a = floats(8)
        b = floats(4)
        del a
        c = floats(2)
    assert peak.bytes == 12 * KB  # a and b; c came when a had gone
    assert len(b) + len(c) == 6 * KB // 4


def test_a_view_takes_nothing_and_a_storage_counts_once():
    with Peak(CPU) as peak:
        a = floats(8)
        views = [a.view(2, -1), a[1:], a.detach()]
        views[0].add_(1)
    assert peak.bytes == 8 * KB


def test_what_was_there_before_is_told_apart():
    before = floats(16)
    with Peak(CPU) as peak:
        after = before + 1
    assert (peak.before, peak.bytes) == (16 * KB, 16 * KB)
    assert after.nbytes == 16 * KB


def test_the_backward_pass_is_seen():
    """Of y = exp(exp(x)) both exponentials live on, since their gradients need them; then two gradients meet."""
    x = floats(8).requires_grad_()
    with Peak(CPU) as forward:
        y = x.exp().exp()
    with Peak(CPU) as backward:
        y.backward(y.detach())
    assert forward.bytes == 16 * KB
    assert backward.bytes == 16 * KB  # dy/dx of one layer, and what it is made from
    assert x.grad is not None


def test_a_measured_block_computes_what_it_always_does():
    torch.manual_seed(0)
    net, x = nn.Linear(4, 4), torch.randn(2, 4)
    plain = net(x)
    with Curve(CPU) as curve:
        measured = net(x)
    assert torch.equal(plain, measured)
    assert curve.live == measured.nbytes


def test_sizes_are_told_in_units():
    assert size({"a": [torch.zeros(3), (torch.zeros(2, dtype=torch.uint8), 5)]}) == 14
    assert told(3 * 2**20) == "3 MiB"
    assert told(1.5 * 2**30) == "1.5 GiB"


def system(root, free=None, groups="", **files):
    for name, text in {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {free} kB\n" if free else "",
                       "proc/self/cgroup": groups, **files}.items():  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return available(CPU, root)


def group(limit, usage, cached=0, *, at="", version=2):
    names = ("memory.max", "memory.current", "inactive_file") if version == 2 else (
        "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")  # fmt: skip
    top = f"sys/fs/cgroup{'' if version == 2 else '/memory'}{at}"
    return {f"{top}/{names[0]}": f"{limit}\n", f"{top}/{names[1]}": f"{usage}\n",
            f"{top}/memory.stat": f"active_file 7\n{names[2]} {cached}\n"}  # fmt: skip


def test_without_a_container_the_system_says_what_is_left(tmp_path):
    assert system(tmp_path, 100) == 100 * KB


def test_a_container_has_what_its_limit_leaves(tmp_path):
    """Pages of files count as used, but are given back when memory is asked for."""
    assert system(tmp_path, 10**9, "0::/\n", **group(50_000, 30_000, 5_000)) == 25_000


def test_a_group_inside_a_limited_one_has_no_more_than_that(tmp_path):
    files = group("max", 10, at="/pod/box") | group(9_000, 2_000, at="/pod")
    assert system(tmp_path, 10**9, "0::/pod/box\n", **files) == 7_000


def test_the_older_control_groups_are_read_too(tmp_path):
    text = "9:cpu:/x\n4:memory:/docker/abc\n0::/\n"
    assert system(tmp_path, 10**9, text, **group(8_000, 3_000, 1_000, version=1)) == 6_000


def test_no_limit_is_no_limit(tmp_path):
    assert system(tmp_path, 100, "0::/\n", **group("max", 10)) == 100 * KB


def test_this_machine_has_memory_left():
    assert 2**20 < available(CPU) < 2**50
