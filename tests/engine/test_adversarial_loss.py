"""What a recipe switches on by a line: the terms against hand-written ones, and off they cost nothing."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from i2i.engine.adversarial_loss import ADA, AdversarialLoss, AdversarialSettings, Penalty, added, total
from i2i.losses import diffaugment, rule
from i2i.nets import DCGANDiscriminatorSpec, MultiScaleSpec, PatchGANSpec

PAIRED = {"layout": "paired", "root": "unused", "crop": 16}
AUGMENTED = ("translation", "cutout")


class Recipe(AdversarialSettings):
    model: str = "any"
    discriminator: PatchGANSpec = PatchGANSpec(layers=1, width=4)


def loss(**switches: Any) -> AdversarialLoss:
    return AdversarialLoss(
        Recipe.model_validate({"data": PAIRED, "schedule": [{"phase": "p", "steps": 1}], **switches})
    )


def judge(inputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return PatchGANSpec(layers=1, width=4).build(inputs)


def pictures(n: int = 3, c: int = 3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    real, fake = torch.rand(2, n, c, 16, 16, generator=draw) * 2 - 1
    return real, fake


def test_alone_it_is_the_rule_and_draws_no_random_numbers():
    real, fake = pictures()
    d, rules = judge(), rule("hinge")
    before = torch.random.get_rng_state()
    terms = loss(loss="hinge").discriminator(d, real, fake) | loss(loss="hinge").generator(d, fake, real)
    assert torch.equal(torch.random.get_rng_state(), before)
    wanted = {"real": rules.real(d(real)), "fake": rules.fake(d(fake)), "adversarial": rules.fool(d(fake))}
    assert {name: term.item() for name, term in terms.items()} == {name: term.item() for name, term in wanted.items()}


def test_the_discriminators_turn_does_not_reach_the_generator():
    real, fake = pictures()
    fake.requires_grad_()
    switches: dict[str, Any] = {"diffaugment": AUGMENTED, "penalty": {"kind": "gradient"}}
    total(loss(**switches).discriminator(judge(), real, fake)).backward()
    assert fake.grad is None


def test_scale_halves_the_gradient_of_the_rule_but_not_of_the_penalty():
    real, fake = pictures()
    whole = loss(penalty={"weight": 2}).discriminator(judge(), real, fake)
    half = loss(penalty={"weight": 2}).discriminator(judge(), real, fake, scale=1 / 2)
    assert [(half[name] / whole[name]).item() for name in ("real", "fake", "penalty")] == [0.5, 0.5, 1]


def test_a_question_moves_with_its_answer_and_keeps_its_colours():
    real, fake = pictures()
    terms = loss(diffaugment=("colour", "translation"))
    draws = terms.draws(real)
    seen = terms.seen(fake, real, draws)
    assert torch.equal(seen[:, :3], diffaugment(real, ("translation",), draws))
    assert torch.equal(seen[:, 3:], diffaugment(fake, ("colour", "translation"), draws))


@pytest.mark.parametrize("kind", ["r1", "gradient"])
def test_the_penalty_is_that_of_what_the_discriminator_sees(kind):
    """Of a linear D its gradient is D's weights, whatever the picture."""
    real, fake = pictures()

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((3 * 16 * 16,), 0.1))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.weight

    squared = 3 * 16 * 16 * 0.1**2  # ‖∇D‖²
    wanted = {"r1": 5 * squared / 2, "gradient": 5 * (squared**0.5 - 1) ** 2}[kind]
    terms = loss(penalty={"kind": kind, "weight": 5}).discriminator(Linear(), real, fake)
    assert terms["penalty"].item() == pytest.approx(wanted, rel=1e-5)


def test_a_penalty_is_exact_in_half_precision():
    real, fake = pictures()
    plain = loss(penalty={}).discriminator(judge(), real, fake)["penalty"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss(penalty={}).discriminator(judge(), real, fake)["penalty"]
    assert torch.equal(half, plain)


def test_feature_matching_compares_the_means_of_the_last_hidden_layer():
    real, fake = pictures()
    d = judge()
    terms = loss(feature_matching=3).generator(d, fake, real)
    means = [d.stages[:-1](x).mean((0, 2, 3)) for x in (fake, real)]  # f each
    assert terms["features"].item() == pytest.approx(3 * (means[0] - means[1]).square().mean().item(), rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(rule("non-saturating").fool(d(fake)).item(), rel=1e-6)
    assert loss(feature_matching=3).generator(d, real.flip(0), real)["features"].item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("spec", [MultiScaleSpec(scales=2, layers=1, width=4), DCGANDiscriminatorSpec(width=4)])
def test_every_switch_at_once_with_several_scales_and_with_classes(spec):
    real, fake = pictures()
    fake.requires_grad_()
    conditional = isinstance(spec, DCGANDiscriminatorSpec)
    d = spec.model_copy(update={"norm": "none"}).build(*((3, 16, 4) if conditional else (3,)))
    labels = (torch.tensor([0, 3, 1]),) if conditional else ()
    terms = loss(diffaugment=AUGMENTED, ada={}, penalty={}, feature_matching=1, smooth=0.9)
    total(terms.discriminator(d, real, fake, labels=labels)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in d.parameters())
    total(terms.generator(d, fake, real, labels=labels)).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


class Sure(nn.Module):
    """A judge that is sure of what it is told."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit))

    def forward(self, x: Tensor) -> Tensor:
        return self.logit.expand(len(x))


@pytest.mark.parametrize(
    ("name", "logit", "chance"),
    [("hinge", 2.0, 0.3), ("hinge", -2.0, 0.0), ("least-squares", 0.6, 0.3), ("least-squares", 0.4, 0.0)],
)
def test_ada_augments_while_the_discriminator_is_sure_of_what_is_real(name, logit, chance):
    """A batch of 3 of 100 pictures moves the chance by .03; three batches pass until the average trust is .6."""
    real, fake = pictures()
    terms = loss(loss=name, diffaugment=AUGMENTED, ada={"pictures": 100})
    for _ in range(13):
        terms.discriminator(Sure(logit), real, fake)
    assert terms.chance.item() == pytest.approx(chance, abs=1e-6)


def test_ada_augments_with_its_chance():
    terms = loss(diffaugment=("cutout",), ada={})
    x = torch.ones(400, 1, 16, 16)
    assert torch.equal(terms.seen(x), x)
    terms.chance.fill_(0.25)
    hidden = (terms.seen(x) != x).flatten(1).any(1).float().mean().item()
    assert hidden == pytest.approx(0.25, abs=0.07)
    terms.chance.fill_(1)
    draws = terms.draws(x)
    assert torch.equal(terms.seen(x, draws=draws), diffaugment(x, ("cutout",), draws[:, :7]))


def test_adas_chance_is_saved_with_the_model():
    terms = loss(diffaugment=("cutout",), ada={})
    assert set(terms.state_dict()) == {"chance", "trust"}
    assert not loss(diffaugment=("cutout",)).state_dict()


def test_terms_of_several_judges_are_added_by_name():
    one, two = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, {"a": torch.tensor(10.0), "b": torch.tensor(20.0)}
    assert {name: term.item() for name, term in added(one, two).items()} == {"a": 11, "b": 22}
    assert total(two).item() == 30


@pytest.mark.parametrize(
    ("switches", "told"),
    [
        ({"ada": {}}, "add `diffaugment"),
        ({"penalty": {}, "discriminator": {"norm": "batch"}}, "discriminator.norm to instance"),
        ({"penalty": {"weight": 0}}, "greater than 0"),
        ({"smooth": 0}, "greater than 0"),
    ],
)
def test_switches_that_would_do_nothing_or_harm_are_refused(switches, told):
    with pytest.raises(ValidationError, match=told):
        loss(**switches)


def test_defaults_are_those_of_the_papers():
    assert Penalty().weight == 10
    assert Penalty().kind == "r1"
    assert ADA().target == 0.6
    assert ADA().pictures == 500_000
