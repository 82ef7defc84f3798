"""DCGAN on digits: through the shipped recipe, judged by a classifier that has only ever seen real pictures.

The slow proofs share one run of the recipe and one judge. On 1 thread of a shared 2-core machine: the judge 7 s, the
recipe 60 s, its first 500 steps alone 15 s, all of them together 3 min.
"""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import recipe
from i2i.data import in_order
from i2i.engine.game import Game
from i2i.errors import UserError
from i2i.metrics import inception_score
from i2i.models import MODELS
from i2i.nets import DCGANDiscriminator
from i2i.session import Session

from .helpers import CPU

EACH = 100  # samples of each class


# ---- fast: the game is the right one


def tiny(classes: int, **changes):
    tree = {
        "model": "dcgan",
        "data": {"layout": "labelled", "root": ".", "channels": 1, "crop": 8},
        "generator": {"kind": "dcgan", "noise": 4, "width": 4},
        "discriminator": {"kind": "dcgan", "width": 4},
        "classes": classes,
        "schedule": [{"phase": "adversarial", "steps": 1}],
        **changes,
    }
    settings = recipe.build(tree, "test")
    model = MODELS[type(settings)](settings)
    return settings, model, Game(model.players(settings))


def batch(n: int = 6) -> tuple[Tensor, Tensor]:
    return torch.rand(n, 1, 8, 8) * 2 - 1, torch.arange(n) % 3


@pytest.mark.parametrize("classes", [0, 3])
def test_both_players_move_and_every_loss_is_finite(classes):
    settings, model, game = tiny(classes)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(3):
        model.adversarial(iter([batch()]), game)
    assert game.log.keys() == {"discriminator/real", "discriminator/fake", "generator/adversarial"}
    assert all(value.isfinite() for value in game.log.values())
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    drawn = model.product()["generator"](*model.latent(settings, 7))
    assert drawn.shape == (7, 1, 8, 8)


class Watched(nn.Module):
    """A network whose calls are written down."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.calls = net, []

    def forward(self, *given: Tensor) -> Tensor:
        self.calls.append(given)
        return self.net(*given)


@pytest.mark.parametrize("classes", [0, 3])
def test_both_networks_get_the_batchs_labels_or_none(classes):
    _, model, game = tiny(classes)
    model.generator, model.judge = Watched(model.generator), Watched(model.judge)
    x, y = batch()
    model.adversarial(iter([(x, y)]), game)
    calls = model.generator.calls + model.judge.calls
    assert len(calls) == 2 + 3
    for given in calls:
        assert len(given) == (2 if classes else 1)
        assert not classes or torch.equal(given[1], y)


def test_real_and_fake_pass_the_discriminator_in_batches_of_their_own_and_noise_is_fresh():
    _, model, game = tiny(0)
    model.generator, model.judge = Watched(model.generator), Watched(model.judge)
    x, y = batch()
    model.adversarial(iter([(x, y)]), game)
    assert [len(given[0]) for given in model.judge.calls] == [6, 6, 6]  # mixed batches would mix their statistics
    assert torch.equal(model.judge.calls[0][0], x)
    first, second = (given[0] for given in model.generator.calls)
    assert not torch.equal(first, second)


def test_samples_of_a_conditional_model_take_the_classes_in_turn():
    settings, model, _ = tiny(3)
    _, y = model.latent(settings, 7)
    assert y.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_labels_need_a_labelled_layout():
    with pytest.raises(UserError, match=r"needs `data\.layout: labelled`"):
        tiny(3, data={"layout": "unlabelled", "root": ".", "crop": 8})


# ---- slow: it draws digits


class Judge(nn.Module):
    """A small classifier: 64 features, then 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def whole(split: str) -> tuple[Tensor, Tensor]:
    parts = list(in_order(recipe.load("dcgan_digits").data, split, 200))
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


@pytest.fixture(scope="module")
def train() -> tuple[Tensor, Tensor]:
    return whole("train")


@pytest.fixture(scope="module")
def test() -> tuple[Tensor, Tensor]:
    return whole("test")


@pytest.fixture(scope="module")
def judge(train) -> Judge:
    """Trained on the real training pictures, shifted by up to a pixel."""
    torch.manual_seed(0)
    net, (x, y) = Judge(), train
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(600):
        chosen = torch.randint(len(x), (64,))
        dy, dx = torch.randint(-1, 2, (2,)).tolist()
        loss = F.cross_entropy(net(x[chosen].roll((dy, dx), (2, 3))), y[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval().requires_grad_(False)


def trained(tmp_path, *overrides: str, blind: bool = False) -> Session:
    settings = recipe.load("dcgan_digits", overrides)
    session = Session(settings, tmp_path, CPU)
    if blind:  # the control: a discriminator that is never told the class
        session.model.judge = Blind(settings)
        session.game = Game(session.model.players(settings))
    session.play()
    return session


class Blind(nn.Module):
    def __init__(self, settings) -> None:
        super().__init__()
        self.net = settings.discriminator.build(settings.data.channels, settings.data.crop, classes=0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.net(x)


@torch.no_grad()
def drawn(session: Session) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    y = torch.arange(10).repeat_interleave(EACH)
    z = torch.randn(len(y), session.settings.generator.noise)
    return session.product["generator"].eval()(z, y), y


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> tuple[Tensor, Tensor]:
    """EACH samples of each class from the shipped recipe, and the classes asked for."""
    return drawn(trained(tmp_path_factory.mktemp("digits")))


def per_class(judge: Judge, x: Tensor, y: Tensor) -> Tensor:
    """How many of the EACH samples of each class are read as what was asked for."""
    return ((judge(x).argmax(1) == y) * 1.0).view(10, EACH).sum(1)


def score(judge: Judge, x: Tensor) -> float:
    """The Inception score with a judge of digits. 10 at most, 1 at least."""
    return inception_score(judge(x).softmax(1), splits=1)[0]


def frechet(a: Tensor, b: Tensor) -> float:
    """|μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½) between Gaussians fitted to features (Heusel et al. 2017)."""
    a, b = a.double(), b.double()
    s, t = a.T.cov(), b.T.cov()
    root = torch.linalg.eigvals(s @ t).real.clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + s.trace() + t.trace() - 2 * root).item()


def nearest(x: Tensor, others: Tensor) -> Tensor:
    """Root mean square pixel distance of each x to the most similar of the others."""
    return torch.cdist(x.flatten(1), others.flatten(1)).min(1).values / x[0].numel() ** 0.5


def memorises(samples: Tensor, unseen: Tensor, train: Tensor) -> bool:
    """The alarm: samples lie much closer to the training pictures than unseen real pictures do."""
    return bool(nearest(samples, train).median() < 0.6 * nearest(unseen, train).median())


@pytest.mark.slow
def test_the_judge_reads_real_digits(judge, test):
    accuracy = (judge(test[0]).argmax(1) == test[1]).float().mean().item()
    print(f"judge {accuracy:.3f}, score of real digits {score(judge, test[0]):.2f}")
    assert accuracy >= 0.97


@pytest.mark.slow
def test_500_steps_are_enough_to_draw_the_class_asked_for(judge, tmp_path):
    """Measured: .928, the worst class 74 of 100. Chance is .10."""
    right = per_class(judge, *drawn(trained(tmp_path, "schedule.0.steps=500")))
    print(f"500 steps: agreement {right.sum() / (10 * EACH):.3f}, each class {right.int().tolist()}")
    assert right.sum() / (10 * EACH) >= 0.90
    assert right.min() >= 60


@pytest.mark.slow
def test_the_shipped_recipe_draws_every_class_when_asked(judge, digits):
    """Measured: .995, the worst class 98 of 100; so all ten classes are covered."""
    right = per_class(judge, *digits)
    print(f"agreement {right.sum() / (10 * EACH):.3f}, each class {right.int().tolist()}")
    assert right.sum() / (10 * EACH) >= 0.97
    assert right.min() >= 90


@pytest.mark.slow
def test_a_discriminator_without_labels_teaches_no_classes(judge, tmp_path):
    """The control. Measured: .116."""
    right = per_class(judge, *drawn(trained(tmp_path, "schedule.0.steps=500", blind=True)))
    print(f"blind: agreement {right.sum() / (10 * EACH):.3f}")
    assert right.sum() / (10 * EACH) < 0.30


@pytest.mark.slow
def test_samples_are_sharp_varied_and_as_near_to_real_digits_as_unseen_ones(judge, digits, train, test):
    """Measured: digit score 9.53 (real test pictures 9.43); Fréchet distance to the training pictures in the judge's
    features 6.3 (the 397 test pictures 9.9, of which much is their small number; noise 1141)."""
    x, _ = digits
    noise = torch.rand(1000, 1, 16, 16) * 2 - 1
    real = judge.features(train[0])
    distances = {
        name: frechet(judge.features(y), real) for name, y in (("ours", x), ("test", test[0]), ("noise", noise))
    }
    print(f"score {score(judge, x):.2f} (real {score(judge, test[0]):.2f}); Fréchet {distances}")
    assert score(judge, x) >= 0.95 * score(judge, test[0])
    assert distances["ours"] < 1.5 * distances["test"]
    assert distances["ours"] < 0.02 * distances["noise"]
    assert score(judge, noise) < 3  # or the judge praises anything


@pytest.mark.slow
def test_samples_are_not_copies_of_training_pictures(digits, train, test):
    """Measured: median distance to the nearest training picture .248, of unseen real pictures .211."""
    ours, unseen = (nearest(x, train[0]).median().item() for x in (digits[0], test[0]))
    print(f"nearest: samples {ours:.3f}, unseen {unseen:.3f}")
    assert not memorises(digits[0], test[0], train[0])
    copies = train[0][:400] + 0.05 * torch.randn(400, 1, 16, 16)
    assert memorises(copies, test[0], train[0])  # the alarm rings when it should


def pooled(judge: DCGANDiscriminator, x: Tensor) -> np.ndarray:
    """The features of Radford et al. 2015, section 5.1: every layer's maps, max-pooled to 4 × 4."""
    maps = []
    with torch.no_grad():
        for stage in judge.stages[:-1]:
            x = stage(x)
            maps.append(F.adaptive_max_pool2d(x, 4).flatten(1))
    return torch.cat(maps, 1).numpy()


@pytest.mark.slow
def test_a_linear_classifier_learns_more_from_the_discriminators_features_than_from_pixels(tmp_path, train, test):
    """5 labels a class, mean over 20 draws of the labelled pictures. D is unconditional and has seen no label.

    Measured: pixels .849, D's features .863. In fairness: an untrained D's features give .877 on these digits, so what
    wins here is the convolutional view and not the training; the paper's claim needs pictures less simple than these.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    session = trained(tmp_path, "classes=0")
    judge = session.model.judge.eval()
    views = {
        "pixels": (train[0].flatten(1).numpy(), test[0].flatten(1).numpy()),
        "features": (pooled(judge, train[0]), pooled(judge, test[0])),
        "untrained": tuple(pooled(fresh(session.settings), x) for x, _ in (train, test)),
    }
    rng, found = np.random.default_rng(0), {name: [] for name in views}
    labels = train[1].numpy()
    for _ in range(20):
        chosen = np.concatenate([rng.choice(np.flatnonzero(labels == c), 5, replace=False) for c in range(10)])
        for name, (x, held_out) in views.items():
            scale = StandardScaler().fit(x)  # over unlabelled pictures
            classifier = LogisticRegression(C=0.1, max_iter=500).fit(scale.transform(x[chosen]), labels[chosen])
            found[name].append(classifier.score(scale.transform(held_out), test[1].numpy()))
    means = {name: float(np.mean(accuracies)) for name, accuracies in found.items()}
    print(means)
    assert means["features"] > means["pixels"] + 0.01


def fresh(settings) -> DCGANDiscriminator:
    torch.manual_seed(0)
    return settings.discriminator.build(settings.data.channels, settings.data.crop).eval()
