"""A GAN is a game: players are networks with one optimiser each; a step is a sequence of turns.

Goodfellow et al. 2014 (Algorithm 1) alternate one discriminator and one generator step. Every system of the field is
some other sequence, so the sequence is plain code in a model's phase and only the turn is ours: inside
`with game.turn("generators") as turn:` nobody but the named player can move, and `turn.minimise(...)` is the only
place in i2i where weights change.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from i2i.engine.ranks import Ranks

Precision = Literal["fp32", "bf16", "fp16"]
ALONE = Ranks()


def precision_of(name: Precision | Literal["auto"], device: torch.device) -> Precision:
    """`auto` is bf16 where the device has instructions for it; elsewhere emulation would be slower than fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


class NonFinite(RuntimeError):
    """A loss or a gradient is NaN or infinite. Raised before the step: no weight has changed."""


class Player:
    """One side of the game: the leaf tensors its optimiser moves (networks, a latent code, a policy)."""

    def __init__(self, optimiser: Optimizer, clip: float | None = None) -> None:
        """`clip`: the largest global gradient norm allowed in a step; None leaves gradients as they are."""
        self.optimiser = optimiser
        self.clip = clip
        self.rates = [group["lr"] for group in optimiser.param_groups]  # what a schedule scales

    def parameters(self) -> Iterator[Tensor]:
        for group in self.optimiser.param_groups:
            yield from group["params"]

    def set_rate(self, factor: float) -> None:
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor


class Game:
    """The players by name, the numeric precision they play in, and the losses of the step (`log`)."""

    def __init__(
        self,
        players: Mapping[str, Player],
        precision: Precision = "fp32",
        device: str | torch.device = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        self.players = dict(players)
        self.precision = precision
        self.device = torch.device(device)
        self.ranks = ranks
        self.log: dict[str, Tensor] = {}
        self.brake = 1.0  # on all rates, whatever the schedule says: halved after a step that was not finite
        # A wish to stop travels with the gradients, so that all ranks agree on it in the same turn.
        self.stop = False  # this rank was asked to
        self.stopping = False  # some rank was
        # Parts of a batch, see `engine.accumulate`.
        self.part, self.parts = 0, 1
        self.mover = ""  # whose gradients are being added up
        self.sums = torch.empty(0)  # the losses of the turn so far
        self.hand_over: Callable[[], object] = lambda: None
        # One scaler a player: an overflow in one player's gradients must not shrink the scale of the others.
        self.scalers = {
            name: torch.amp.GradScaler(self.device.type, enabled=precision == "fp16") for name in self.players
        }
        self._waiting: ExitStack | None = None

    def autocast(self) -> AbstractContextManager[None]:
        """The context to run a phase in: forward passes take the game's precision, weights stay float32."""
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        return torch.autocast(self.device.type, dtype=half, enabled=half is not None)

    def set_rate(self, factor: float) -> None:
        for player in self.players.values():
            player.set_rate(factor * self.brake)

    @contextmanager
    def turn(self, name: str) -> Iterator["Turn"]:
        """Only `name` can move; all others are frozen until the block ends, then unfrozen.

        A tensor shared by two players belongs to whoever moves. What was frozen on purpose before stays frozen.
        """
        movers = {id(p) for p in self.players[name].parameters()}
        others = {id(p): p for player in self.players.values() for p in player.parameters() if id(p) not in movers}
        frozen = [p for p in others.values() if p.requires_grad]
        for p in frozen:
            p.requires_grad_(False)
        try:
            yield Turn(self, name, frozen)
        finally:
            for p in frozen:
                p.requires_grad_(True)

    @contextmanager
    def simultaneously(self) -> Iterator[None]:
        """Turns inside take all their gradients at one point of the game; the steps follow when the block ends.

        The gradient field of differentiable games (Mescheder et al. 2017) and Goodfellow's own code move like this.
        """
        with ExitStack() as waiting:
            self._waiting = waiting
            try:
                yield
            except BaseException:
                waiting.pop_all()  # a failed block moves nobody
                raise
            finally:
                self._waiting = None


class Turn:
    """One player's move, made by `minimise`. Given by `Game.turn`."""

    def __init__(self, game: Game, name: str, frozen: list[Tensor]) -> None:
        self.game = game
        self.name = name
        self.frozen = frozen

    def minimise(self, **losses: Tensor) -> None:
        """One optimiser step down the sum of these scalars, whose names become the log (`generators/cycle`).

        Weights are multiplied in by the caller, so what is printed is what was differentiated.
        Raises ValueError for a loss that is not a scalar, and NonFinite, before any weight moves.
        """
        for key, loss in losses.items():
            if loss.numel() != 1:
                raise ValueError(f"{self.name}.minimise: loss {key!r} must be a scalar, got shape {tuple(loss.shape)}")
        game, player, scaler = self.game, self.game.players[self.name], self.game.scalers[self.name]
        movers = [p for p in player.parameters() if p.requires_grad]
        parts = [loss.detach().float().reshape(()) / game.parts for loss in losses.values()]
        if game.part == 0:
            player.optimiser.zero_grad(set_to_none=True)
            game.mover, game.sums = self.name, torch.stack(parts)
        elif game.mover == self.name:
            game.sums = game.sums + torch.stack(parts)
        else:
            raise RuntimeError(
                f"one part of the batch moves {game.mover}, another {self.name}: they cannot be added up"
            )
        with torch.autocast(game.device.type, enabled=False):
            total = torch.stack([loss.float().reshape(()) for loss in losses.values()]).sum() / game.parts
            # Only the movers' gradients are computed: a forgotten detach costs nothing and leaks nowhere.
            scaler.scale(total).backward(inputs=movers)
        if game.part == game.parts - 1:
            self._move(player, movers, list(losses))
        if game.parts > 1:
            self._hand_over()

    def _hand_over(self) -> None:
        """To the next part of the batch, which may be somewhere else in the phase: nothing is frozen for it."""
        for p in self.frozen:
            p.requires_grad_(True)
        self.game.hand_over()
        for p in self.frozen:
            p.requires_grad_(False)

    def _move(self, player: Player, movers: list[Tensor], names: list[str]) -> None:
        """The step itself, once every part of the batch has left its gradients on `movers`."""
        game, scaler = self.game, self.game.scalers[self.name]
        touched = [(p, p.grad) for p in movers if p.grad is not None]
        wish = game.sums.new_tensor([float(game.stop)])
        gradients, values = game.ranks.average([gradient for _, gradient in touched], torch.cat([game.sums, wish]))
        for (p, _), gradient in zip(touched, gradients, strict=True):
            p.grad = gradient
        *means, wished = values.unbind()
        game.stopping = game.stop if game.ranks.world == 1 else bool(wished > 0)
        game.log.update({f"{self.name}/{name}": mean for name, mean in zip(names, means, strict=True)})

        scaler.unscale_(player.optimiser)
        norm = get_total_norm([p.grad for p, _ in touched if p.grad is not None])
        # A scaler expects gradients to overflow now and then: it skips that step by itself and lowers its scale.
        # NaN and infinity survive the average over the ranks, so all of them come to the same decision.
        total = torch.stack(means).sum()
        if not torch.isfinite(total if scaler.is_enabled() else total + norm):
            player.optimiser.zero_grad(set_to_none=True)
            bad = [name for name, mean in zip(names, means, strict=True) if not torch.isfinite(mean)]
            raise NonFinite(f"{self.name}: gradient norm {norm.item()}, non-finite losses: {', '.join(bad) or 'none'}")
        if player.clip is not None:
            clip_grads_with_norm_(movers, player.clip, norm)
        held = [p.grad for p in movers]  # since a simultaneous turn may own the same tensors

        def step() -> None:
            for p, gradient in zip(movers, held, strict=True):
                p.grad = gradient
            scaler.step(player.optimiser)
            scaler.update()
            player.optimiser.zero_grad(set_to_none=True)
            # Autocast keeps half-precision copies of weights until the phase ends: the next turn would see old ones.
            torch.clear_autocast_cache()

        if game._waiting is None:
            step()
        else:
            game._waiting.callback(step)
