from math import log

import pytest
import torch

from i2i.errors import UserError
from i2i.losses import RULES, rule

E = 2.718281828459045

# name, logit, real, fake, fool: by hand
TABLE = [
    ("non-saturating", 0.0, log(2), log(2), log(2)),
    ("non-saturating", 1.0, log(1 + 1 / E), log(1 + E), log(1 + 1 / E)),
    ("minimax", 0.0, log(2), log(2), -log(2)),
    ("minimax", 1.0, log(1 + 1 / E), log(1 + E), -log(1 + E)),
    ("least-squares", 0.0, 1, 0, 1),
    ("least-squares", 0.5, 0.25, 0.25, 0.25),
    ("least-squares", 3.0, 4, 9, 4),
    ("hinge", 0.0, 1, 1, 0),
    ("hinge", 0.5, 0.5, 1.5, -0.5),
    ("hinge", 2.0, 0, 3, -2),
    ("hinge", -2.0, 3, 0, 2),
    ("wasserstein", 0.5, -0.5, 0.5, -0.5),
]
LOG_RULES = ["non-saturating", "minimax"]
SMOOTHABLE = [*LOG_RULES, "least-squares"]


@pytest.mark.parametrize(("name", "logit", "real", "fake", "fool"), TABLE)
def test_the_terms_have_their_hand_computed_values(name, logit, real, fake, fool):
    logits = torch.full((2, 1, 3, 3), logit)
    assert rule(name).real(logits).item() == pytest.approx(real, abs=1e-6)
    assert rule(name).fake(logits).item() == pytest.approx(fake, abs=1e-6)
    assert rule(name).fool(logits).item() == pytest.approx(fool, abs=1e-6)


def test_every_rule_is_in_the_table():
    assert {row[0] for row in TABLE} == set(RULES)


@pytest.mark.parametrize(
    ("name", "logit", "loss"),
    [("non-saturating", 0.0, 1.386294), ("least-squares", 0.0, 1.0), ("least-squares", 0.5, 0.5), ("hinge", 0.0, 2.0)],
)
def test_an_undecided_discriminator_pays_the_known_amount(name, logit, loss):
    l = torch.tensor([logit])  # noqa: E741
    assert (rule(name).real(l) + rule(name).fake(l)).item() == pytest.approx(loss, abs=1e-5)


def slope(term, logit: float) -> float:
    logits = torch.tensor([logit], requires_grad=True)
    term(logits).backward()
    return logits.grad.item()


@pytest.mark.parametrize("name", RULES)
def test_the_discriminator_is_pulled_up_on_real_and_down_on_fake_and_the_generator_pulls_up(name):
    assert slope(rule(name).real, 0.3) < 0 < slope(rule(name).fake, 0.3)
    assert slope(rule(name).fool, 0.3) < 0


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("smooth", [1.0, 0.9])
@pytest.mark.parametrize("logit", [-200.0, 200.0, -1e4, 1e4])
def test_loss_and_gradient_are_finite_at_extreme_logits(name, smooth, logit):
    terms = rule(name, smooth) if name in SMOOTHABLE else rule(name)
    for term in terms:
        logits = torch.tensor([logit], requires_grad=True)
        loss = term(logits)
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()


def test_a_confident_error_costs_its_logit():
    assert rule("non-saturating").real(torch.tensor([-200.0])).item() == pytest.approx(200)
    assert slope(rule("non-saturating").fake, 8.0) == pytest.approx(1, abs=1e-3)


def test_only_the_non_saturating_generator_learns_from_a_discriminator_that_is_sure():
    assert slope(rule("non-saturating").fool, -20.0) == pytest.approx(-1)
    assert abs(slope(rule("minimax").fool, -20.0)) < 1e-8


def test_minimax_is_zero_sum_in_the_fakes():
    logits = torch.randn(5)
    assert rule("minimax").fool(logits) == -rule("minimax").fake(logits)


@pytest.mark.parametrize("name", LOG_RULES)
def test_a_smoothed_target_is_cross_entropy_with_that_target(name):
    logits = torch.linspace(-5, 5, 11)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.full((11,), 0.9))
    torch.testing.assert_close(rule(name, 0.9).real(logits), expected)


@pytest.mark.parametrize("name", SMOOTHABLE)
@pytest.mark.parametrize("smooth", [1.0, 0.9])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_optimal_verdict_is_the_smoothed_share_of_real_data(name, smooth, share):
    """Goodfellow et al. 2014, proposition 1, at a point where p_data / (p_data + p_fake) = share."""
    logits = torch.linspace(-6, 6, 1201)
    terms = rule(name, smooth)
    losses = torch.stack([share * terms.real(l) + (1 - share) * terms.fake(l) for l in logits])  # noqa: E741
    best = logits[losses.argmin()]
    verdict = best if name == "least-squares" else best.sigmoid()
    assert verdict.item() == pytest.approx(smooth * share, abs=3e-3)


def test_smoothing_leaves_the_fakes_and_the_generator_alone():
    assert rule("non-saturating", 0.9)[1:] == rule("non-saturating")[1:]


@pytest.mark.parametrize("name", RULES)
def test_scales_are_summed_and_each_is_averaged_whatever_its_size(name):
    small, large = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 30, 30)
    for term in rule(name):
        torch.testing.assert_close(term([small, large]), term(small) + term(large))
        torch.testing.assert_close(term(small.repeat(1, 1, 5, 5)), term(small))
        assert term([small, large]).shape == ()


@pytest.mark.parametrize("name", RULES)
def test_half_precision_logits_give_a_float32_loss(name):
    logits = torch.randn(64).bfloat16()
    for term in rule(name):
        assert term(logits).dtype == torch.float32
        assert term(logits) == term(logits.float())


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(UserError, match=r"least-square'.*Did you mean least-squares"):
        rule("least-square")


@pytest.mark.parametrize("name", ["hinge", "wasserstein"])
def test_a_rule_without_labels_cannot_be_smoothed(name):
    with pytest.raises(UserError, match="no real label to smooth"):
        rule(name, 0.9)


@pytest.mark.parametrize("smooth", [0.0, -0.1, 1.1])
def test_a_target_outside_0_to_1_is_an_error(smooth):
    with pytest.raises(UserError, match="above 0 and at most 1"):
        rule("non-saturating", smooth)
