"""The generators of pytorch-CycleGAN-and-pix2pix and of CUT, known by the names and shapes of their weights alone.

Both toolkits number the layers of one `nn.Sequential`, in which activations, paddings and dropout count too: the
numbers tell which of those there are. What differs from our networks without changing a picture is left out: biases
in front of a norm that subtracts them, averages that instance norms of PyTorch 0.3 kept, dropout.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from i2i.errors import UserError
from i2i.nets import ResnetSpec, UNetSpec
from i2i.nets.blocks import Norm, TestStatistics

Weights = dict[str, Tensor]
Toolkit = Literal["pytorch-CycleGAN-and-pix2pix", "contrastive-unpaired-translation"]
PLAIN: Toolkit = "pytorch-CycleGAN-and-pix2pix"  # and CUT with --no_antialias and --no_antialias_up, which is the same
BLURRED: Toolkit = "contrastive-unpaired-translation"

WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
EXPECTED = (
    "Expected a generator of pytorch-CycleGAN-and-pix2pix or of CUT (resnet or unet), such as latest_net_G.pth or "
    "latest_net_G_A.pth"
)


@dataclass(frozen=True)
class Known:
    """What a file of weights turned out to be: the network is built from the spec and has the file's weights."""

    generator: ResnetSpec | UNetSpec
    network: nn.Module
    toolkit: Toolkit


@dataclass(frozen=True)
class Layer:
    """A convolution by the prefixes of its weights, theirs and ours, and likewise the norm behind it, if any."""

    theirs: str
    ours: str
    norm: tuple[str, str] | None = None
    skip_first: bool = False  # its input is the skip and what came up, in this order; ours has them the other way


def recognise(weights: Mapping[str, Tensor], statistics: TestStatistics = "picture") -> Known:
    """The generator that some weights belong to. `statistics` is what its batch norms use.

    Raises UserError, whose text goes on a sentence that begins with the file's name, for weights of anything else, and
    for `running` statistics of a network without batch norms.
    """
    own = unwrapped(weights)
    own = {key: tensor for key, tensor in own.items() if not key.endswith(".num_batches_tracked")}
    try:
        if "model.model.0.weight" in own:
            return _unet(own, statistics)
        if own.get("model.1.weight", torch.empty(0)).shape[2:] == (7, 7):
            return _resnet(own, statistics)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"has {place} {first['input']}, which we cannot build: {first['msg']}") from None
    except (RuntimeError, ValueError, TypeError, IndexError) as error:  # the names are right, but not the shapes
        raise UserError(f"has weights that do not fit each other: {' '.join(str(error).split())[:300]}") from None
    if own.get("model.0.weight", torch.empty(0)).shape[2:] == (4, 4):
        raise UserError(f"has the weights of a discriminator, which translates nothing. {EXPECTED}")
    raise UserError(f"has the weights of another network: {_few(own)}. {EXPECTED}")


def unwrapped(weights: Mapping[str, Tensor]) -> Weights:
    """Without the prefixes of what the network was wrapped in when it was saved."""
    own = dict(weights)
    while prefix := next((word for word in WRAPPERS if own and all(key.startswith(word) for key in own)), None):
        own = {key.removeprefix(prefix): tensor for key, tensor in own.items()}
    return own


def _resnet(weights: Weights, statistics: TestStatistics) -> Known:
    """7×7, two layers down, the blocks, two layers up, 7×7. CUT has a `filt` behind each layer down, and before one up.

    A layer is three numbers long: convolution, norm, ReLU; a padding or a blur is one more.
    """
    blur_down = "model.7.filt" in weights
    begin = 12 if blur_down else 10
    numbers = sorted({int(found[1]) for key in weights if (found := re.match(r"model\.(\d{1,4})\.conv_block\.", key))})
    end = begin + len(numbers)
    if numbers != list(range(begin, end)):
        raise UserError(f"has the weights of another network: its blocks are the layers {numbers}. {EXPECTED}")
    blur_up = f"model.{end}.filt" in weights

    def layer(theirs: int, ours: str, norm: str) -> Layer:
        return Layer(f"model.{theirs}", ours, (f"model.{theirs + 1}", norm))

    layers = [layer(1, "encode.0", "encode.1"), layer(4, "encode.3", "encode.4")]
    layers.append(layer(8, "encode.7", "encode.8") if blur_down else layer(7, "encode.6", "encode.7"))
    dropout = f"model.{begin}.conv_block.5.weight" not in weights  # 1 conv, 2 norm, 3 ReLU, 4 padding, 5 conv, 6 norm
    for number in numbers:
        theirs, branch, second = f"model.{number}.conv_block", f"trunk.{number - begin}.branch", 6 if dropout else 5
        layers.append(Layer(f"{theirs}.1", f"{branch}.0", (f"{theirs}.2", f"{branch}.1")))
        layers.append(Layer(f"{theirs}.{second}", f"{branch}.4", (f"{theirs}.{second + 1}", f"{branch}.5")))
    if blur_up:
        layers += [layer(end + 1, "decode.0.1", "decode.1"), layer(end + 5, "decode.3.1", "decode.4")]
    else:
        layers += [layer(end, "decode.0", "decode.1"), layer(end + 3, "decode.3", "decode.4")]
    last = Layer(f"model.{end + (9 if blur_up else 7)}", "decode.6")

    width, inputs, *_ = weights["model.1.weight"].shape
    settings = {
        "blocks": len(numbers),
        "width": width,
        "downsample": "blur" if blur_down else "strided",
        "upsample": "bilinear-conv" if blur_up else "transposed",
        **_norm(weights, layers[0], statistics),
    }
    ours = _moved(weights, [*layers, last], settings["norm"], statistics)
    if blur_down:
        ours |= {f"encode.{here}.filt": _take(weights, f"model.{there}.filt") for here, there in ((6, 7), (10, 11))}
    if blur_up:
        for number, channels in ((end, 4 * width), (end + 4, 2 * width)):
            _check_bilinear(_take(weights, f"model.{number}.filt"), channels)
    spec = ResnetSpec(**settings)
    network = _filled(spec, inputs, len(ours["decode.6.weight"]), ours, weights)
    return Known(spec, network, BLURRED if blur_down or blur_up else PLAIN)


def _unet(weights: Weights, statistics: TestStatistics) -> Known:
    """A block holds convolution, norm, the block within, ReLU, transposed convolution, norm; the outermost no norms."""
    block, blocks = "model.model.1.model", []
    while f"{block}.5.weight" in weights:
        blocks.append(block)
        block += ".3.model"
    levels = len(blocks) + 2  # the outermost before them, the innermost behind
    layers = [Layer("model.model.0", "downs.0")]
    for level, theirs in enumerate(blocks, start=1):
        down, up = f"downs.{level}", f"ups.{levels - 1 - level}"
        layers.append(Layer(f"{theirs}.1", f"{down}.1", (f"{theirs}.2", f"{down}.2")))
        layers.append(Layer(f"{theirs}.5", f"{up}.1", (f"{theirs}.6", f"{up}.2"), skip_first=True))
    layers.append(Layer(f"{block}.1", f"downs.{levels - 1}.1"))
    innermost = Layer(f"{block}.3", "ups.0.1", (f"{block}.4", "ups.0.2"))
    last = Layer("model.model.3", "out.1", skip_first=True)

    width, inputs, *_ = weights["model.model.0.weight"].shape
    settings = {"levels": levels, "width": width, **_norm(weights, innermost, statistics)}
    settings["bias"] = "model.model.0.bias" in weights and settings["norm"] != "none"
    ours = _moved(weights, [*layers, innermost, last], settings["norm"], statistics)
    spec = UNetSpec(**settings)
    return Known(spec, _filled(spec, inputs, ours["out.1.weight"].shape[1], ours, weights), PLAIN)


def _norm(weights: Weights, layer: Layer, statistics: TestStatistics) -> dict[str, Any]:
    """The kind of norm behind a layer, and its statistics at test.

    An instance norm has no weights, but the toolkits give a bias to the convolution in front of it and to no other.
    """
    assert layer.norm is not None
    averages = f"{layer.norm[0]}.running_mean" in weights
    if f"{layer.norm[0]}.weight" in weights:
        kind: Norm = "batch" if averages else "instance-affine"
    else:
        kind = "instance" if averages or f"{layer.theirs}.bias" in weights else "none"
    if statistics == "running" and kind != "batch":
        raise UserError(f"has no running statistics: its norm is {kind}. Use --statistics picture")
    return {"norm": kind, "test_statistics": statistics}


def _moved(weights: Weights, layers: Sequence[Layer], norm: Norm, statistics: TestStatistics) -> Weights:
    """Our weights. Theirs are taken out of the dict one by one: what is left in the end is not of this network."""
    ours: Weights = {}
    for layer in layers:
        weight = _take(weights, f"{layer.theirs}.weight")
        if layer.skip_first:
            weight = torch.cat(weight.tensor_split(2)[::-1])
        ours[f"{layer.ours}.weight"] = weight
        bias = weights.pop(f"{layer.theirs}.bias", None)
        if bias is not None and (layer.norm is None or norm == "none"):
            ours[f"{layer.ours}.bias"] = bias
        if layer.norm is None or norm == "none":
            continue
        their_norm, our_norm = layer.norm
        averages = {name: weights.pop(f"{their_norm}.{name}", None) for name in ("running_mean", "running_var")}
        if norm in ("batch", "instance-affine"):
            ours |= {f"{our_norm}.{name}": _take(weights, f"{their_norm}.{name}") for name in ("weight", "bias")}
        if norm == "batch" and statistics == "running":
            mean, variance = averages["running_mean"], averages["running_var"]
            if mean is None or variance is None:
                raise UserError(f"is incomplete: it has no running statistics for {their_norm}")
            ours[f"{our_norm}.running_mean"] = mean if bias is None else mean - bias
            ours[f"{our_norm}.running_var"] = variance
            ours[f"{our_norm}.num_batches_tracked"] = torch.tensor(0)
    return ours


def _filled(spec: ResnetSpec | UNetSpec, inputs: int, outputs: int, ours: Weights, left: Weights) -> nn.Module:
    """The spec's network with our weights, of which none may be missing, while none of theirs may be left."""
    if left:
        raise UserError(f"has weights beside those of a {spec.kind}: {_few(left)}. {EXPECTED}")
    with torch.device("meta"):  # shapes only: no weights are drawn
        network = spec.build(inputs, outputs)
    if spec.norm == "none":  # there we have biases throughout, and the toolkits at the output alone
        zeros = {key: torch.zeros(like.shape) for key, like in network.state_dict().items() if key.endswith(".bias")}
        ours = zeros | ours
    network.load_state_dict(ours, assign=True)
    return network.eval().requires_grad_(False)


def _check_bilinear(filt: Tensor, channels: int) -> None:
    """Whether CUT's filter is the one that our bilinear enlargement is."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    expected = torch.outer(row, row).expand(channels, 1, 4, 4)
    if filt.shape != expected.shape or not torch.allclose(filt, expected):
        raise UserError(f"blurs with another filter than CUT's 1 3 3 1, of {tuple(filt.shape)}; that is not supported")


def _take(weights: Weights, key: str) -> Tensor:
    if key not in weights:
        raise UserError(f"is incomplete, or has the weights of another network: there is no {key}. {EXPECTED}")
    return weights.pop(key)


def _few(weights: Weights) -> str:
    told = [f"{key[:80]} {' × '.join(map(str, tensor.shape))}" for key, tensor in weights.items()]
    return ", ".join(told[:4]) + (f", ... ({len(told)} in all)" if len(told) > 4 else "") if told else "none at all"
