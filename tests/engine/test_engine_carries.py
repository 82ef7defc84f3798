"""Systems of the field, each as a plain phase on the unchanged engine. A new model must not need a new engine.

Tiny widths and toy data: what is asserted is who moved, and that the objective went where the paper sends it.
"""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import recipe
from i2i.engine.game import Game, Player
from i2i.engine.history import History
from i2i.engine.loop import play
from i2i.engine.schedule import Phase
from i2i.losses import gradient_penalty, l1, rule
from i2i.models import MODELS

from .helpers import adam, forever, log, mlp, same, weights


def blocks(n: int = 8, size: int = 16, channels: int = 3) -> Tensor:
    """Patterns that a strided network can see."""
    return F.interpolate(torch.rand(n, channels, 4, 4) * 2 - 1, size=size)


def noisy(mean: float, n: int = 8, size: int = 16, channels: int = 3) -> Tensor:
    return (mean + 0.2 * torch.randn(n, channels, size, size)).clamp(-1, 1)


# ---- translators, as shipped


def shipped(tree: dict) -> tuple[nn.Module, Game]:
    settings = recipe.build({"schedule": [{"phase": "adversarial", "steps": 1}], **tree}, "test")
    model = MODELS[type(settings)](settings)
    return model, Game(model.players(settings))


def test_pix2pix():
    model, game = shipped({
        "model": "pix2pix",
        "data": {"layout": "paired", "root": ".", "crop": 16},
        "generator": {"kind": "unet", "levels": 3, "width": 8},
        "discriminator": {"kind": "patch", "layers": 1, "width": 8},
        "players": {"generator": {"lr": 2e-3}, "discriminator": {"lr": 2e-3}},
    })  # fmt: skip
    a = blocks()
    pair, losses = (a, -a), []  # the truth is the negative: a copy of the input would be far off
    for _ in range(60):
        model.adversarial(forever(pair), game)
        losses.append(log(game)["generator/l1"])
    assert losses[-1] < 0.4 * losses[0]
    assert game.log.keys() == {"generator/l1", "generator/adversarial", "discriminator/real", "discriminator/fake"}


def test_cyclegan():
    model, game = shipped({
        "model": "cyclegan",
        "data": {"layout": "unpaired", "root": ".", "crop": 16},
        "generator": {"kind": "resnet", "blocks": 1, "width": 8},
        "discriminator": {"kind": "patch", "layers": 1, "width": 8},
        "history": 16,
        "players": {"generators": {"lr": 2e-3}, "discriminators": {"lr": 2e-3}},
    })  # fmt: skip
    batch, losses = (noisy(-0.5), noisy(0.5)), []
    for _ in range(40):
        model.adversarial(forever(batch), game)
        losses.append(log(game)["generators/cycle"])
    assert losses[-1] < 0.6 * losses[0]
    with torch.no_grad():
        assert model.ab(batch[0]).mean() > model.ba(batch[1]).mean()  # bright is b, dark is a
    assert len(model.past_a.past) == len(model.past_b.past) == 16
    assert game.log.keys() == {
        "generators/adversarial", "generators/cycle", "generators/identity", "discriminators/a", "discriminators/b",
    }  # fmt: skip


# ---- WGAN-GP (Gulrajani et al. 2017, algorithm 1)


class WGANGP:
    def __init__(self, n_critic: int) -> None:
        self.generator, self.critic, self.n_critic = mlp(2, 16, 2), mlp(2, 32, 1), n_critic
        self.game = Game({"generator": adam(self.generator, lr=5e-3), "critic": adam(self.critic, lr=5e-3)})
        self.rule = rule("wasserstein")

    def adversarial(self, batches, game) -> None:
        for _ in range(self.n_critic):
            x = next(batches)
            with game.turn("critic") as turn:
                fake = self.generator(torch.randn(len(x), 2))
                turn.minimise(
                    real=self.rule.real(self.critic(x)),
                    fake=self.rule.fake(self.critic(fake)),
                    penalty=10 * gradient_penalty(self.critic, x, fake),
                )
        with game.turn("generator") as turn:
            turn.minimise(adversarial=self.rule.fool(self.critic(self.generator(torch.randn(len(x), 2)))))


def test_wgan_gp_with_five_critic_steps():
    model, centre = WGANGP(n_critic=5), torch.tensor([3.0, -1.0])
    batches = (centre + 0.3 * torch.randn(64, 2) for _ in itertools.count())
    off = []
    for _ in range(150):
        model.adversarial(batches, model.game)
        with torch.no_grad():
            off.append((model.generator(torch.randn(256, 2)).mean(0) - centre).norm().item())
    assert off[0] > 2
    assert off[-1] < 0.5
    assert log(model.game)["critic/penalty"] < 1  # 10 (|∇| - 1)²: the critic's slope stays near 1
    assert next(iter(model.game.players["critic"].optimiser.state.values()))["step"] == 5 * 150


# ---- SimGAN (Shrivastava et al. 2017, algorithm 1): warm-up phases, K_g and K_d, a half-batch history


class SimGAN:
    K_G, K_D, REALISM = 2, 1, 1.0

    def __init__(self) -> None:
        self.refiner = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1), nn.Tanh())
        self.judge = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3))  # a map of patches
        self.game = Game({"refiner": adam(self.refiner, lr=5e-3), "judge": adam(self.judge, lr=5e-3)})
        self.past, self.rule = History(64), rule("non-saturating")

    def refine_alone(self, batches, game) -> None:
        synthetic, _ = next(batches)
        with game.turn("refiner") as turn:
            turn.minimise(regularisation=l1(self.refiner(synthetic), synthetic))

    def judge_alone(self, batches, game) -> None:
        synthetic, real = next(batches)
        with game.turn("judge") as turn:
            fake = self.past.half(self.refiner(synthetic))
            turn.minimise(real=self.rule.real(self.judge(real)), fake=self.rule.fake(self.judge(fake)))

    def adversarial(self, batches, game) -> None:
        for _ in range(self.K_G):
            synthetic, _ = next(batches)
            with game.turn("refiner") as turn:
                refined = self.refiner(synthetic)
                turn.minimise(
                    realism=self.REALISM * self.rule.fool(self.judge(refined)),
                    regularisation=l1(refined, synthetic),
                )
        for _ in range(self.K_D):
            self.judge_alone(batches, game)


def test_simgan_with_warm_up_phases_and_a_half_batch_history():
    model = SimGAN()
    batches = ((noisy(-0.4, channels=1), noisy(0.4, channels=1)) for _ in itertools.count())
    schedule = [
        Phase(phase=name, steps=n) for name, n in (("refine_alone", 60), ("judge_alone", 20), ("adversarial", 40))
    ]
    entered: dict[str, dict[str, list[Tensor]]] = {}
    means: dict[str, float] = {}

    def watch(tick) -> None:
        now = {"refiner": weights(model.refiner), "judge": weights(model.judge)}
        entered.setdefault(tick.phase, now)
        entered[f"end of {tick.phase}"] = now
        with torch.no_grad():
            means[tick.phase] = model.refiner(noisy(-0.4, channels=1)).mean().item()

    at_start = weights(model.judge)
    play(model, model.game, schedule, batches, epoch_length=1, seed=0, after=[watch])
    assert same(at_start, entered["end of refine_alone"]["judge"])  # each warm-up moves its own player alone
    assert means["refine_alone"] == pytest.approx(-0.4, abs=0.1)  # it learned to leave pictures as they are
    assert same(entered["judge_alone"]["refiner"], entered["end of judge_alone"]["refiner"])
    assert means["adversarial"] > means["judge_alone"] + 0.2  # towards real
    assert len(model.past.past) == 64


# ---- CUT (Park et al. 2020): one side, patches of the output must recall the patches they came from


class CUT:
    TEMPERATURE = 0.07

    def __init__(self) -> None:
        self.encode = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.decode = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh())
        self.head = nn.Linear(8, 16)
        self.judge = nn.Sequential(nn.Conv2d(3, 8, 4, 2), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4))
        self.game = Game({"generator": adam(self.encode, self.decode, self.head), "judge": adam(self.judge)})
        self.rule = rule("least-squares")

    def nce(self, a: Tensor, fake: Tensor) -> Tensor:
        """L_PatchNCE: cross-entropy of finding, among 32 places of the input, the one a place of the output is at."""
        places = torch.randperm(a.shape[2] * a.shape[3])[:32]
        query, key = (F.normalize(self.head(self.encode(x).flatten(2)[:, :, places].mT), dim=2) for x in (fake, a))
        logits = query @ key.detach().mT / self.TEMPERATURE  # n 32 32
        return F.cross_entropy(logits.flatten(0, 1), torch.arange(32).repeat(len(a)))

    def adversarial(self, batches, game) -> None:
        a, b = next(batches)
        with game.turn("judge") as turn:
            fake = self.decode(self.encode(a))
            turn.minimise(real=self.rule.real(self.judge(b)) / 2, fake=self.rule.fake(self.judge(fake)) / 2)
        with game.turn("generator") as turn:
            fake = self.decode(self.encode(a))
            turn.minimise(
                adversarial=self.rule.fool(self.judge(fake)),
                nce=self.nce(a, fake) + self.nce(b, self.decode(self.encode(b))),
            )


def test_cut_with_a_projection_head_in_the_generators_player():
    model = CUT()
    batch, losses, head = (noisy(-0.5, 4), noisy(0.5, 4)), [], weights(model.head)
    for _ in range(80):
        model.adversarial(forever(batch), model.game)
        losses.append(log(model.game)["generator/nce"])
    assert losses[0] > 2 * 2.5  # two terms; chance is log 32 = 3.47 each
    assert losses[-1] < 0.7 * losses[0]
    assert not any(torch.equal(b, a) for b, a in zip(head, weights(model.head), strict=True))


# ---- iGAN's projection (Zhu et al. 2016, equation 5): the latent is the only player


def test_a_latent_search_moves_the_latent_alone():
    generator = mlp(4, 32, 64)
    target = generator(torch.randn(8, 4)).detach()
    z = torch.zeros(8, 4, requires_grad=True)
    game = Game({"latent": Player(torch.optim.Adam([z], lr=0.05))})
    before, off = weights(generator), []
    for _ in range(300):
        with game.turn("latent") as turn:
            turn.minimise(pixel=F.mse_loss(generator(z), target))
        off.append(log(game)["latent/pixel"])
    assert off[-1] < 0.01 * off[0]
    assert same(before, weights(generator))  # owned by no player, so nothing could move it
    assert all(p.grad is None for p in generator.parameters())


# ---- GAIL (Ho & Ermon 2016) with the score-function gradient: no gradient flows through the world


class GAIL:
    """Walk on a line for a fixed number of steps; the expert always steps towards 0. Nothing ends early, so a constant
    reward teaches nothing (a task that rewards survival would learn from any positive number)."""

    STEPS, STARTS = 10, 2.0

    def __init__(self, reward) -> None:
        self.policy, self.judge, self.reward = mlp(1, 16, 1), mlp(2, 32, 1), reward
        self.game = Game({"policy": adam(self.policy), "judge": adam(self.judge)})
        self.rule = rule("non-saturating")

    def rollout(self, act, n: int = 64) -> tuple[Tensor, Tensor]:
        """Places and actions of n walks from random starts, each n × STEPS."""
        place, places, actions = self.STARTS * torch.randn(n), [], []
        for _ in range(self.STEPS):
            action = act(place)
            places.append(place)
            actions.append(action)
            place = place + 0.5 * action + 0.1 * torch.randn(n)
        return torch.stack(places, 1), torch.stack(actions, 1)

    def probability(self, place: Tensor) -> Tensor:
        return self.policy(place[..., None])[..., 0].sigmoid()  # of a step to the right

    def act(self, place: Tensor) -> Tensor:
        return 2 * torch.bernoulli(self.probability(place)) - 1

    def adversarial(self, batches, game) -> None:
        with torch.no_grad():
            place, action = self.rollout(self.act)
        expert, own = (torch.stack(pair, dim=-1).flatten(0, 1) for pair in (next(batches), (place, action)))
        with game.turn("judge") as turn:
            turn.minimise(expert=self.rule.real(self.judge(expert)), policy=self.rule.fake(self.judge(own)))
        with game.turn("policy") as turn:
            reward = self.reward(self.judge(own).detach()).view(place.shape)
            to_go = reward.flip(1).cumsum(1).flip(1)
            advantage = (to_go - to_go.mean(0)) / (to_go.std() + 1e-6)
            right = self.probability(place)
            turn.minimise(score=-(advantage * torch.where(action > 0, right, 1 - right).log()).mean())

    @torch.no_grad()
    def score(self, act) -> float:
        """Minus the mean distance from 0 after the first few steps: what the expert is good at and never told."""
        return -self.rollout(act, n=2000)[0][:, 3:].abs().mean().item()


def expert(place: Tensor) -> Tensor:
    return -torch.sign(place)


def random(place: Tensor) -> Tensor:
    return torch.sign(torch.randn_like(place))


@pytest.mark.parametrize(
    ("reward", "low", "high"),
    [
        (F.softplus, 0.8, 1.1),  # -log(1 - D): the paper's
        (torch.ones_like, -99, 0.2),
        (lambda logit: -F.softplus(logit), -99, -0.5),
    ],
)
def test_a_policy_learns_through_rollouts_from_its_judge_and_from_nothing_else(reward, low, high):
    model = GAIL(reward)
    experience = (model.rollout(expert) for _ in itertools.count())
    for _ in range(150):
        model.adversarial(experience, model.game)
    worst, best = model.score(random), model.score(expert)
    assert low <= (model.score(model.act) - worst) / (best - worst) <= high
