"""The cheap scores that a model gets while it is trained, on pictures that it is not trained with.

Scores of pixels are of all channels; feature networks are shown what people are (`data.looks.shown`).
Shapes: n pictures, c channels, h w size; pictures are in [-1, 1].
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from i2i import metrics
from i2i.data import (
    LabelledData,
    MixtureData,
    PairedData,
    PartlyLabelledData,
    Pictures,
    UnlabelledData,
    UnpairedData,
    fixed,
)
from i2i.data.looks import shown
from i2i.data.spec import Look, depth
from i2i.engine.settings import Settings
from i2i.engine.symptoms import View
from i2i.errors import UserError, suggest
from i2i.models import MODELS

BATCH = 16  # pictures at a time
PAIRED = ("l1", "psnr", "ssim", "correlation", "perceptual_efflite0")
CLASSES = ("l1", "perceptual_efflite0", "pixel_accuracy", "mean_iou")  # where the truth is a segmentation map
SETS = ("fid_efflite0", "kid_efflite0", "diversity")
READ = ("accuracy", *SETS)  # where a classifier learns beside the generator
LARGER_IS_BETTER = ("psnr", "ssim", "correlation", "diversity", "pixel_accuracy", "mean_iou", "accuracy")


def nothing() -> None:
    """What `watch` does unless told otherwise."""


def validate(
    settings: Settings,
    product: Mapping[str, nn.Module],
    device: torch.device,
    *,
    split: str = "val",
    limit: int = 256,
    watch: Callable[[], None] = nothing,
) -> dict[str, float]:
    """Scores of `product` (`a2b`, `b2a` or `generator` → network) on up to `limit` pictures spread over a split.

    Paired data: means of L1, PSNR, SSIM, correlation and perceptual distance to the truth; where that is a segmentation
    map, of L1 and perceptual distance, and pixel accuracy and mean IoU of the set. Unpaired data, for each
    direction and as means over them: FID, KID and diversity beside the other side's pictures, and for a direction whose
    opposite exists `cycle`, the L1 of there and back. Pictures from noise: FID, KID and diversity, and where there is a
    classifier its accuracy. Points, and sets of one picture, have no such scores: {}.
    Networks may be in training; they come back as they were, and no global random numbers are used up. `watch` is
    called before each batch, and may raise to leave. Raises UserError if there is no such split.
    """
    data = settings.data
    if isinstance(data, MixtureData):
        return {}
    pictures = fixed(data, split, limit)
    with at_rest(product.values(), device):
        if isinstance(data, PairedData):
            inputs, truth = pictures
            return _against_truth(product["a2b"], inputs, truth, data.channels.b, device, watch)
        real = pictures[0] if isinstance(data, LabelledData | UnpairedData) else pictures
        assert isinstance(real, Tensor)
        if len(real) < 2:
            return {}
        if isinstance(data, UnpairedData):
            looks = {"a": data.channels.a, "b": data.channels.b}
            return _translators(product, dict(zip("ab", pictures[:2], strict=True)), looks, device, watch)
        fakes, seen = sampled(settings, product["generator"], len(real), device), looks_of(data, 0)
        found = _as_a_set(pooled(fakes, seen, device, watch), pooled(real.split(BATCH), seen, device, watch))
        if "classifier" not in product:
            return found
        read = read_rightly(product["classifier"], real, pictures[1], device)
        return {"accuracy": read.mean().item(), **found}


def read_rightly(classifier: nn.Module, pictures: Tensor, labels: Tensor, device: torch.device) -> Tensor:
    """n values, 1 where a picture is taken for what it is and 0 elsewhere, on the CPU."""
    read = torch.cat([classifier(part.to(device)).argmax(1).cpu() for part in pictures.split(BATCH)])
    return (read == labels.cpu()).float()


def criterion(settings: Settings) -> tuple[str, bool]:
    """The score of `validate` that chooses the best model, and whether larger is better: `select`, or the layout's own.

    That is the perceptual distance for paired data, mean IoU for segmentation maps, accuracy where there are few labels
    to learn from, and KID elsewhere: unlike FID it is right for few pictures. Points have no scores, so no best model
    either. Raises UserError if `select` is none of the scores that there will be.
    """
    known = names(settings)
    first = {PAIRED: "perceptual_efflite0", CLASSES: "mean_iou", READ: "accuracy"}
    own = first.get(known, "kid_efflite0")
    chosen = settings.select or own
    if settings.select and chosen not in known:
        told = suggest(chosen, known) or " Points have none; leave `select` out."
        raise UserError(f"recipe.select: {chosen!r} is no score of this validation.{told}")
    return chosen, chosen.split("/")[-1] in LARGER_IS_BETTER


def names(settings: Settings) -> tuple[str, ...]:
    """The names of what `validate` returns for a recipe."""
    if isinstance(settings.data, MixtureData):
        return ()
    if isinstance(settings.data, PairedData):
        return PAIRED if isinstance(settings.data.channels.b, int) else CLASSES
    if not isinstance(settings.data, UnpairedData):
        return READ if isinstance(settings.data, PartlyLabelledData) else SETS
    with torch.device("meta"):  # only to know its directions: nothing is allocated, no random numbers are drawn
        product = MODELS[type(settings)](settings).product()
    columns = (*SETS, "cycle") if len(product) == 2 else SETS
    return (*columns, *(f"{direction}/{column}" for direction in product for column in columns))


def looks_of(data: Pictures, side: int) -> list[Look]:
    """What the channels of a side of a batch are: its picture, then its conditions."""
    if isinstance(data, PairedData | UnpairedData):
        conditions = data.condition if isinstance(data, PairedData) and side == 0 else ()
        own = data.channels.b if side else data.channels.a
        return [own, *(condition.channels for condition in conditions)]
    assert isinstance(data, UnlabelledData | LabelledData)
    return [data.channels]


def against_truth(
    fake: Tensor, real: Tensor, fake_seen: metrics.Features, real_seen: metrics.Features, look: Look
) -> dict[str, Tensor]:
    """n values for each of PAIRED, or for those of CLASSES that single pictures have; `..._seen` are the features of
    efflite0, `look` is what the truth holds."""
    values = {"l1": metrics.l1(fake, real)}
    if isinstance(look, int):
        values |= {
            "psnr": metrics.psnr(fake, real),
            "ssim": metrics.ssim(fake, real),
            "correlation": metrics.correlation(fake, real),
        }
    return values | {"perceptual_efflite0": metrics.distance(fake_seen.stages, real_seen.stages)}


def views(settings: Settings, product: Mapping[str, nn.Module], pictures: Any, device: torch.device) -> list[View]:
    """What the product makes of some pictures, a batch as the data gives it, for the doctor to look at."""
    with at_rest(product.values(), device):
        if "generator" in product:
            real = pictures if isinstance(pictures, Tensor) else pictures[0]
            made = torch.cat(list(sampled(settings, product["generator"], len(real), device)))
            return [View("generator", None, made, real)]
        a, b = pictures[:2]  # where one side has labels they are third
        assert isinstance(settings.data, PairedData | UnpairedData)
        own = a[:, : depth(settings.data.channels.a)]  # without its conditions
        there = View("a2b", own, product["a2b"](a), b, isinstance(settings.data, PairedData))
        return [there, View("b2a", b, product["b2a"](b), a)] if "b2a" in product else [there]


def sampled(settings: Settings, generator: nn.Module, n: int, device: torch.device) -> Iterator[Tensor]:
    """n pictures of a generator from noise, BATCH at a time; the noise is torch's global one."""
    latent = MODELS[type(settings)].latent(settings, n)  # all at once, so that classes come in equal shares
    for parts in zip(*(part.split(BATCH) for part in latent), strict=True):
        yield generator(*(part.to(device) for part in parts))


def pooled(
    batches: Iterable[Tensor],
    looks: Sequence[Look],
    device: torch.device,
    watch: Callable[[], None],
    features: str = "efflite0",
) -> Tensor:
    """The feature vectors of batches of pictures, n d on the CPU; `looks` are those of their channels."""
    see = metrics.network(features, device)
    found = []
    for pictures in batches:
        watch()
        found.append(see(shown(pictures.to(device), looks)).pooled.cpu())
    return torch.cat(found)


def _against_truth(
    translate: nn.Module, inputs: Tensor, truth: Tensor, look: Look, device: torch.device, watch: Callable[[], None]
) -> dict[str, float]:
    see = metrics.network("efflite0", device)
    values: dict[str, list[Tensor]] = {}
    counted = []
    for x, y in zip(inputs.to(device).split(BATCH), truth.to(device).split(BATCH), strict=True):
        watch()
        fake = translate(x)
        for name, value in against_truth(fake, y, see(shown(fake, [look])), see(shown(y, [look])), look).items():
            values.setdefault(name, []).append(value)
        if not isinstance(look, int):
            counted.append(metrics.counts(fake, y))
    means = {name: torch.cat(parts).mean().item() for name, parts in values.items()}
    if not counted:
        return means
    whole = torch.cat(counted)
    return means | {"pixel_accuracy": metrics.pixel_accuracy(whole), "mean_iou": metrics.mean_iou(whole)}


def _translators(
    product: Mapping[str, nn.Module],
    sides: Mapping[str, Tensor],
    looks: Mapping[str, Look],
    device: torch.device,
    watch: Callable[[], None],
) -> dict[str, float]:
    real = {side: pooled(pictures.split(BATCH), [looks[side]], device, watch) for side, pictures in sides.items()}
    ways = {}
    for way, there in product.items():
        source, target = way.split("2")
        back = product.get(f"{target}2{source}")
        ways[way] = _one_way(there, back, sides[source], real[target], looks[target], device, watch)
    means = {column: fmean(found[column] for found in ways.values()) for column in next(iter(ways.values()))}
    return means | {f"{way}/{column}": value for way, found in ways.items() for column, value in found.items()}


def _one_way(
    there: nn.Module,
    back: nn.Module | None,
    inputs: Tensor,
    real: Tensor,
    look: Look,
    device: torch.device,
    watch: Callable[[], None],
) -> dict[str, float]:
    see = metrics.network("efflite0", device)
    seen, cycle = [], []
    for x in inputs.split(BATCH):
        watch()
        x = x.to(device)
        fake = there(x)
        seen.append(see(shown(fake, [look])).pooled.cpu())
        if back is not None:
            cycle.append(metrics.l1(back(fake), x))
    found = _as_a_set(torch.cat(seen), real)
    return found | {"cycle": torch.cat(cycle).mean().item()} if cycle else found


def _as_a_set(fake: Tensor, real: Tensor) -> dict[str, float]:
    values = (metrics.fid(fake, real), metrics.kid(fake, real), metrics.relative_diversity(fake, real))
    return dict(zip(SETS, values, strict=True))


@contextmanager
def at_rest(networks: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """In eval mode, without gradients, with random numbers of their own; afterwards all is as it was."""
    parts = [part for network in networks for part in network.modules()]
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        with torch.no_grad(), torch.random.fork_rng([torch.cuda.current_device()] if device.type == "cuda" else []):
            torch.manual_seed(0)
            yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
