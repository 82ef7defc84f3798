"""PatchNCE against what its equation gives by hand."""

from math import exp, log

import pytest
import torch
import torch.nn.functional as F

from i2i.losses import patch_nce


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def test_it_is_the_cross_entropy_by_hand() -> None:
    """q1 is its own key; q2 lies at 60° from its own and at 30° from the other."""
    key = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    query = torch.tensor([[[1.0, 0.0], [0.75**0.5, 0.5]]])
    first = -log(exp(1 / 0.5) / (exp(1 / 0.5) + exp(0 / 0.5)))
    second = -log(exp(0.5 / 0.5) / (exp(0.5 / 0.5) + exp(0.75**0.5 / 0.5)))
    assert patch_nce(query, key, 0.5).item() == pytest.approx((first + second) / 2, abs=1e-6)


def test_it_equals_a_loop_over_pictures_and_places() -> None:
    query, key = unit(2, 5, 4), unit(2, 5, 4)
    terms = []
    for q, k in zip(query, key, strict=True):
        for s in range(5):
            alike = [exp(float(q[s] @ k[other]) / 0.07) for other in range(5)]
            terms.append(-log(alike[s] / sum(alike)))
    assert patch_nce(query, key).item() == pytest.approx(sum(terms) / 10, rel=1e-4)


def test_places_that_look_alike_cost_log_k_and_own_places_next_to_nothing() -> None:
    same = unit(3, 1, 8).expand(3, 16, 8)
    assert patch_nce(same, same).item() == pytest.approx(log(16), abs=1e-5)
    key = torch.eye(8)[None]
    assert patch_nce(key, key).item() < 1e-5
    assert patch_nce(key, key[:, torch.arange(8).roll(1)]).item() == pytest.approx(1 / 0.07, rel=1e-3)


def test_negatives_are_the_other_places_of_the_same_picture_alone() -> None:
    query, key = unit(2, 4, 8), unit(2, 4, 8)
    apart = [patch_nce(query[i : i + 1], key[i : i + 1]) for i in range(2)]
    assert torch.allclose(patch_nce(query, key), torch.stack(apart).mean())


def test_the_gradient_is_softmax_less_one_hot_over_the_temperature_and_keys_have_none() -> None:
    query, key = unit(1, 3, 4).requires_grad_(), unit(1, 3, 4).requires_grad_()
    patch_nce(query, key, 0.2).backward()
    share = (query[0] @ key[0].T / 0.2).softmax(1)
    expected = (share - torch.eye(3)) @ key[0] / 0.2 / 3
    assert torch.allclose(query.grad[0], expected, atol=1e-6)  # type: ignore[index]
    assert key.grad is None


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 4\) and \(1, 4, 4\)"):
        patch_nce(unit(1, 3, 4), unit(1, 4, 4))
