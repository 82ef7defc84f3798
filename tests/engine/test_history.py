import io

import pytest
import torch

from i2i.engine.history import History


def numbered(start: int, count: int) -> torch.Tensor:
    """Pictures that are told apart by their value: start, start + 1, ..."""
    return torch.arange(start, start + count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def ids(pictures: torch.Tensor) -> list[int]:
    return pictures[:, 0, 0, 0].int().tolist()


def held(history: History) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in history.past]


def test_until_it_is_full_a_history_returns_what_it_was_given():
    history = History(6)
    for start in (0, 3):
        assert ids(history.mix(numbered(start, 3))) == [start, start + 1, start + 2]
    assert held(history) == [0, 1, 2, 3, 4, 5]


def test_a_full_history_returns_an_old_fake_half_of_the_time_and_keeps_the_new_one_in_its_place():
    history = History(50)
    history.mix(numbered(0, 50))
    old = 0
    for n in range(50, 2050):
        before = held(history)
        (out,) = ids(history.mix(numbered(n, 1)))
        if out != n:
            old += 1
            assert out in before
            assert held(history) == [n if kept == out else kept for kept in before]  # swapped, slot for slot
        else:
            assert held(history) == before
    assert old / 2000 == pytest.approx(0.5, abs=0.05)  # 4.5 standard deviations


def test_a_history_returns_fakes_from_every_slot():
    history = History(5)
    history.mix(numbered(0, 5))
    out = {picture for n in range(5, 205) for picture in ids(history.mix(numbered(n, 1)))}
    assert out >= {0, 1, 2, 3, 4}


@pytest.mark.parametrize("rule", ["mix", "half"])
def test_a_history_of_nothing_returns_the_fakes_themselves(rule):
    history = History(0)
    for start in range(5):
        assert ids(getattr(history, rule)(numbered(start, 2))) == [start, start + 1]
    assert not history.past


@pytest.mark.parametrize("rule", ["mix", "half"])
@pytest.mark.parametrize("capacity", [0, 3])
def test_what_a_history_returns_or_holds_has_no_graph(rule, capacity):
    history, source = History(capacity), torch.ones(1, requires_grad=True)
    for start in range(4):
        assert not getattr(history, rule)(source * numbered(start, 2)).requires_grad
    assert not any(picture.requires_grad for picture in history.past)


def test_what_a_history_holds_does_not_change_with_the_tensor_it_came_from():
    history, fakes = History(2), numbered(0, 2).clone()
    history.mix(fakes)
    fakes.add_(100)
    assert held(history) == [0, 1]


def test_half_of_a_batch_comes_from_the_past():
    history = History(100)
    assert ids(history.half(numbered(0, 8))) == list(range(8))  # there is no past yet
    kept = held(history)
    assert len(kept) == 4  # half of the batch went in
    assert set(kept) <= set(range(8))
    out = ids(history.half(numbered(8, 8)))
    assert out[:4] == [8, 9, 10, 11]
    assert sorted(out[4:]) == sorted(kept)  # four of the four, each once


def test_a_full_past_takes_new_fakes_in_random_slots_and_never_grows():
    history = History(4)
    for start in range(0, 80, 8):
        history.half(numbered(start, 8))
    assert len(history.past) == 4
    assert max(held(history)) >= 72
    assert len(set(held(history))) == 4


def test_the_content_survives_a_save_and_a_restricted_load():
    history = History(10)
    history.mix(torch.randn(7, 3, 4, 4))
    file = io.BytesIO()
    torch.save(history.state_dict(), file)
    file.seek(0)
    restored = History(10)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert len(restored.past) == 7
    assert all(torch.equal(a, b) for a, b in zip(history.past, restored.past, strict=True))
    fakes = torch.randn(9, 3, 4, 4)  # and both go on alike, through the edge where they become full
    torch.manual_seed(5)
    expected = history.mix(fakes)
    torch.manual_seed(5)
    assert torch.equal(restored.mix(fakes), expected)


def test_the_draws_come_from_torchs_seed_alone():
    def play():
        torch.manual_seed(3)
        history = History(3)
        return [ids(history.mix(numbered(start, 4))) for start in range(0, 40, 4)]

    assert play() == play()
