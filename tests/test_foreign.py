"""Weights of the reference toolkits: what a plain forward of the same network gives, the imported model gives too.

The networks below are built here from the published layout: the numbers and names of layers in its `nn.Sequential`s.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from i2i import api, recipe, store, zoo
from i2i.errors import UserError
from i2i.foreign import import_weights
from i2i.foreign.generators import recognise
from i2i.images import write
from i2i.models.imported import Recipe
from i2i.translator import Translator

CPU = torch.device("cpu")


# The reference networks. The toolkits' convolutions have biases exactly where their norm is an instance norm.


def instance(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels)


def old_instance(channels: int) -> nn.Module:
    """Of PyTorch 0.3, and of the toolkit in 2018: averages are kept, and at test the picture's own are used."""
    return nn.InstanceNorm2d(channels, track_running_stats=True)


def none(channels: int) -> nn.Module:
    return nn.Identity()


NORMS = {"instance": instance, "old-instance": old_instance, "batch": nn.BatchNorm2d, "none": none}


class Block(nn.Module):
    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = "instance" in norm
        conv = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), NORMS[norm](channels), nn.ReLU()]
        conv += [nn.Dropout(0.5)] if dropout else []
        conv += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), NORMS[norm](channels)]
        self.conv_block = nn.Sequential(*conv)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class Down(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0])
        filt = row[:, None] * row[None, :]
        self.register_buffer("filt", (filt / filt.sum())[None, None].repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class Up(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0])
        filt = row[:, None] * row[None, :]
        self.register_buffer("filt", (filt / filt.sum() * 4)[None, None].repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        enlarged = F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])
        return enlarged[:, :, 1:, 1:][:, :, :-1, :-1]


class ReferenceResnet(nn.Module):
    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        ngf: int = 4,
        blocks: int = 2,
        norm: str = "instance",
        dropout: bool = False,
        blur_down: bool = False,
        blur_up: bool = False,
    ) -> None:
        super().__init__()
        bias = "instance" in norm
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, ngf, 7, bias=bias), NORMS[norm](ngf)]
        layers += [nn.ReLU()]
        for c in (ngf, 2 * ngf):
            conv = nn.Conv2d(c, 2 * c, 3, stride=1 if blur_down else 2, padding=1, bias=bias)
            layers += [conv, NORMS[norm](2 * c), nn.ReLU()] + ([Down(2 * c)] if blur_down else [])
        layers += [Block(4 * ngf, norm, dropout) for _ in range(blocks)]
        for c in (4 * ngf, 2 * ngf):
            if blur_up:
                layers += [Up(c), nn.Conv2d(c, c // 2, 3, padding=1, bias=bias)]
            else:
                layers += [nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            layers += [NORMS[norm](c // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Skip(nn.Module):
    """A block of the U-Net around the next one; all but the outermost put their input in front of their output."""

    def __init__(self, outer: int, inner: int, within: nn.Module | None, norm: str, dropout: bool = False) -> None:
        super().__init__()
        bias = "instance" in norm
        down = [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)]
        below = inner if within is None else 2 * inner
        up = [nn.ReLU(inplace=True), nn.ConvTranspose2d(below, outer, 4, stride=2, padding=1, bias=bias)]
        up += [NORMS[norm](outer)]
        middle = [] if within is None else [NORMS[norm](inner), within]
        self.model = nn.Sequential(*down, *middle, *up, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


class Outermost(nn.Module):
    def __init__(self, inputs: int, outputs: int, inner: int, within: nn.Module, norm: str) -> None:
        super().__init__()
        down = nn.Conv2d(inputs, inner, 4, stride=2, padding=1, bias="instance" in norm)
        up = nn.ConvTranspose2d(2 * inner, outputs, 4, stride=2, padding=1)
        self.model = nn.Sequential(down, within, nn.ReLU(inplace=True), up, nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ReferenceUNet(nn.Module):
    def __init__(
        self, inputs: int = 3, outputs: int = 3, downs: int = 7, ngf: int = 4, norm: str = "batch", dropout: bool = True
    ) -> None:
        super().__init__()
        block = Skip(8 * ngf, 8 * ngf, None, norm)
        for _ in range(downs - 5):
            block = Skip(8 * ngf, 8 * ngf, block, norm, dropout)
        for outer in (4, 2, 1):
            block = Skip(outer * ngf, 2 * outer * ngf, block, norm)
        self.model = Outermost(inputs, outputs, ngf, block, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def trained(network: nn.Module) -> nn.Module:
    """As training leaves it: no weight, bias or average is where it began."""
    torch.manual_seed(0)
    for key, tensor in network.state_dict().items():
        if tensor.ndim == 4 and not key.endswith("filt"):
            tensor.normal_(0, 1.5 / tensor[0].numel() ** 0.5)
        elif key.endswith("running_var"):
            tensor.uniform_(0.2, 2)
        elif key.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.5)
        elif key.endswith("weight"):
            tensor.normal_(1, 0.3)
        elif key.endswith("num_batches_tracked"):
            tensor.fill_(1000)
    return network


def answer(network: nn.Module, x: Tensor, statistics: str) -> Tensor:
    """The reference at test, without dropout: in `train()` as its test.py, or in `eval()` as with --eval."""
    network.train(statistics == "picture")
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    with torch.no_grad():
        return network(x)


def picture(channels: int, height: int, width: int | None = None) -> Tensor:
    return torch.rand(1, channels, height, width or height, generator=torch.Generator().manual_seed(1)) * 2 - 1


def imported(path: Path, weights: dict[str, Tensor], **options: Any) -> zoo.Model:
    """The weights, saved as the toolkits do it, imported, and read back from the model file."""
    torch.save(weights, path / "latest_net_G.pth")
    return zoo.load(import_weights(path / "latest_net_G.pth", "foreign", force=True, **options), CPU)


def check(path: Path, reference: nn.Module, x: Tensor, statistics: str = "picture", exact: float = 1e-9) -> None:
    """The reference's answer and the imported model's are one: to 1e-5, and computed in float64 to `exact`.

    What is not rounding, such as another epsilon in a norm, can be smaller than the rounding of float32.
    """
    network = imported(path, reference.cpu().state_dict(), statistics=statistics).product["a2b"]
    wanted = answer(reference, x, statistics)
    assert wanted.std() > 0.1, "a flat answer would equal anything"
    assert wanted.abs().mean() < 0.9, "so would a saturated one"
    with torch.no_grad():
        assert (network(x) - wanted).abs().max() <= 1e-5
        assert (network.double()(x.double()) - answer(reference.double(), x.double(), statistics)).abs().max() <= exact
    reference.float()


RESNETS: list[dict[str, Any]] = [
    {},
    {"dropout": True},
    {"norm": "batch", "dropout": True},
    {"norm": "batch", "blocks": 6, "inputs": 1, "outputs": 2, "ngf": 3},
    {"norm": "none", "dropout": True},
    {"norm": "old-instance", "blocks": 9},
    {"norm": "old-instance", "dropout": True},
    {"blur_down": True, "blur_up": True, "blocks": 9},
    {"blur_down": True, "blur_up": True, "dropout": True, "norm": "batch"},
    {"blur_down": True},
    {"blur_up": True},
    {"blur_down": True, "blur_up": True, "norm": "none"},
]


@pytest.mark.parametrize("told", RESNETS, ids=str)
def test_an_imported_resnet_answers_as_the_reference_does(told: dict[str, Any], tmp_path: Path) -> None:
    check(tmp_path, trained(ReferenceResnet(**told)), picture(told.get("inputs", 3), 24, 36))


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("norm", ["batch", "instance", "old-instance", "none"])
@pytest.mark.parametrize("downs", [7, 8])
def test_an_imported_unet_answers_as_the_reference_does(downs: int, norm: str, dropout: bool, tmp_path: Path) -> None:
    check(tmp_path, trained(ReferenceUNet(1, 2, downs, ngf=3, norm=norm, dropout=dropout)), picture(1, 2**downs))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "told"),
    [
        (ReferenceResnet, {"blocks": 9}),
        (ReferenceResnet, {"blocks": 9, "blur_down": True, "blur_up": True}),
        (ReferenceUNet, {"downs": 8}),
    ],
    ids=["resnet_9blocks", "CUT", "unet_256"],
)
def test_networks_of_the_published_size_answer_as_the_reference_does(
    build: Callable[..., nn.Module], told: dict[str, Any], tmp_path: Path
) -> None:
    check(tmp_path, trained(build(ngf=64, **told)), picture(3, 256))


@pytest.mark.slow
def test_an_imported_network_is_exported_with_its_blurs_as_plain_operators(tmp_path: Path, fresh_home: Path) -> None:
    onnx, export = pytest.importorskip("onnx"), pytest.importorskip("i2i.export")
    torch.manual_seed(0)
    torch.save(ReferenceResnet(ngf=8, blur_down=True, blur_up=True).state_dict(), tmp_path / "g.pth")
    import_weights(tmp_path / "g.pth", "blurred")
    assert export.export("blurred", tmp_path / "g.onnx").steps <= 1
    nodes = onnx.load(tmp_path / "g.onnx").graph.node
    assert {node.domain for node in nodes} <= {"", "ai.onnx"}
    assert [node.op_type for node in nodes].count("Resize") == 2
    depthwise = [n for n in nodes if any(a.name == "group" and a.i in (16, 32) for a in n.attribute)]
    assert [node.op_type for node in depthwise] == ["Conv", "Conv"]


@pytest.mark.parametrize("reference", [ReferenceResnet(norm="batch"), ReferenceUNet(norm="batch")], ids=["resnet", "u"])
def test_running_statistics_are_those_of_the_file(reference: nn.Module, tmp_path: Path) -> None:
    x = picture(3, 128)
    check(tmp_path, trained(reference), x, "running")
    assert (answer(reference, x, "running") - answer(reference, x, "picture")).abs().max() > 0.1


def test_a_bias_in_front_of_a_batch_norm_moves_its_average(tmp_path: Path) -> None:
    """No toolkit has one, but its users do; the average was taken over what the convolution gave, bias included."""
    reference = trained(ReferenceResnet(norm="batch"))
    reference.model[1].bias = nn.Parameter(torch.randn(4))
    check(tmp_path, reference, picture(3, 24), "picture")
    check(tmp_path, reference, picture(3, 24), "running", exact=1e-5)  # the difference of the two is rounded


def test_an_instance_norm_that_kept_averages_is_one_also_without_biases_in_front_of_it(tmp_path: Path) -> None:
    reference = trained(ReferenceResnet(norm="old-instance"))
    *inner, _ = [layer for layer in reference.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in inner:
        layer.bias = None
    check(tmp_path, reference, picture(3, 24))


@pytest.mark.parametrize(
    ("reference", "spec"),
    [
        (ReferenceResnet(blocks=6, ngf=5), {"kind": "resnet", "blocks": 6, "width": 5, "norm": "instance"}),
        (ReferenceResnet(blur_up=True), {"downsample": "strided", "upsample": "bilinear-conv"}),
        (ReferenceUNet(), {"kind": "unet", "levels": 7, "width": 4, "norm": "batch", "bias": False, "dropout": 0}),
        (ReferenceUNet(norm="instance"), {"norm": "instance", "bias": True}),
    ],
)
def test_the_architecture_is_told_from_the_weights(reference: nn.Module, spec: dict[str, Any], tmp_path: Path) -> None:
    model = imported(tmp_path, reference.state_dict())
    told = model.recipe.generator.model_dump()
    assert {key: told[key] for key in spec} == spec


def test_what_wrapped_the_network_does_not_matter(tmp_path: Path) -> None:
    weights = ReferenceResnet(norm="batch").state_dict()
    plain = imported(tmp_path, weights).product["a2b"].state_dict()
    for prefix in ("module.", "_orig_mod.", "module._orig_mod."):
        wrapped = {prefix + key: tensor for key, tensor in weights.items()}
        same = imported(tmp_path, wrapped).product["a2b"].state_dict()
        assert all(torch.equal(plain[key], same[key]) for key in plain)
    assert "_metadata" in nn.DataParallel(ReferenceResnet()).state_dict().__dict__  # which torch.save keeps
    imported(tmp_path, nn.DataParallel(ReferenceResnet()).state_dict())


def test_every_format_gives_the_same_model(tmp_path: Path, fresh_home: Path) -> None:
    weights = trained(ReferenceUNet()).state_dict()
    torch.save(weights, tmp_path / "new.pth")
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save(weights, tmp_path / "misnamed.safetensors")
    torch.save(weights, tmp_path / "also.safetensors", _use_new_zipfile_serialization=False)
    save_file(weights, tmp_path / "safe.safetensors")
    kept = [import_weights(path, path.stem) for path in sorted(tmp_path.glob("*.*"))]
    models = [zoo.load(path, CPU).product["a2b"].state_dict() for path in kept]
    assert len(models) == 5
    assert all(torch.equal(models[0][key], other[key]) for other in models for key in models[0])


def test_half_precision_becomes_whole(tmp_path: Path) -> None:
    reference = trained(ReferenceResnet()).half()
    network = imported(tmp_path, reference.state_dict()).product["a2b"]
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    assert torch.equal(network.encode[0].weight, reference.model[1].weight.float())


def test_an_import_is_a_model_like_any_other(tmp_path: Path, fresh_home: Path, noise: Callable[..., Any]) -> None:
    torch.save(ReferenceResnet(blur_down=True, blur_up=True).state_dict(), tmp_path / "latest_net_G.pth")
    kept = import_weights(tmp_path / "latest_net_G.pth", "zebra")
    assert kept == fresh_home / "models" / "zebra" / store.FILE == store.find("zebra")
    (entry,) = store.entries()
    assert (entry.name, entry.model, entry.directions, entry.step, entry.problem) == (
        "zebra",
        "imported",
        ("a2b",),
        0,
        "",
    )
    model = zoo.load("zebra", CPU)
    assert isinstance(model.recipe, Recipe)
    assert (model.recipe.toolkit, model.recipe.source) == ("contrastive-unpaired-translation", "latest_net_G")
    assert len(model.recipe.sha256) == 64
    translated = Translator(model.product["a2b"], CPU)(noise(0, 13, 22))
    assert translated.shape == (13, 22, 3)
    assert translated.dtype == np.uint8


def test_what_an_import_cannot_do_is_told_with_what_to_do_instead(tmp_path: Path, fresh_home: Path, noise: Any) -> None:
    torch.save(ReferenceUNet(downs=5).state_dict(), tmp_path / "latest_net_G.pth")
    settings = zoo.load(import_weights(tmp_path / "latest_net_G.pth", "facades"), CPU).recipe
    (tmp_path / "again.yaml").write_text(recipe.dump(settings))
    for source in (tmp_path / "again.yaml", settings):
        with pytest.raises(UserError, match=r"can only translate.*i2i translate --model"):
            api.train(source, run=tmp_path / "run")
    with pytest.raises(UserError, match=r"imported from latest_net_G and knows no data.*--data FOLDER"):
        api.evaluate("facades")
    for key, folder in enumerate(("trainA", "trainB", "testA", "testB")):
        for n in range(3):
            write(tmp_path / "sides" / folder / f"{n}.png", noise(10 * key + n, 32, 32))
    scores = api.evaluate("facades", data=tmp_path / "sides")
    assert scores.sizes == (3, 3)
    assert {"model", "mean picture", "training pictures"} <= scores.rows.keys()


def test_two_imports_of_one_file_are_the_same_bytes(tmp_path: Path, fresh_home: Path) -> None:
    torch.save(ReferenceResnet().state_dict(), tmp_path / "g.pth")
    assert import_weights(tmp_path / "g.pth", "a").read_bytes() == import_weights(tmp_path / "g.pth", "b").read_bytes()


def test_a_name_that_is_taken_is_kept_unless_forced(tmp_path: Path, fresh_home: Path) -> None:
    torch.save(ReferenceResnet(ngf=2).state_dict(), tmp_path / "small.pth")
    torch.save(ReferenceResnet(ngf=3).state_dict(), tmp_path / "large.pth")
    kept = import_weights(tmp_path / "small.pth", "a").read_bytes()
    with pytest.raises(UserError, match=r"model 'a' already.*--force"):
        import_weights(tmp_path / "large.pth", "a")
    assert store.find("a").read_bytes() == kept
    import_weights(tmp_path / "large.pth", "a", force=True)
    assert zoo.load("a", CPU).recipe.generator.width == 3


def test_a_wrong_name_or_option_is_said_before_the_file_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be a model's name"):
        import_weights(tmp_path / "none.pth", "../a")
    with pytest.raises(UserError, match=r"no statistics 'train'\. Known: picture, running"):
        import_weights(tmp_path / "none.pth", "a", statistics="train")


def test_importing_draws_no_random_numbers_and_says_nothing(tmp_path: Path) -> None:
    weights = ReferenceUNet().state_dict()
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        imported(tmp_path, weights)
    assert torch.equal(torch.get_rng_state(), before)


def refused(weights: dict[str, Tensor], statistics: Any = "picture") -> str:
    with pytest.raises(UserError) as problem:
        recognise(weights, statistics)
    return str(problem.value)


@pytest.mark.parametrize("norm", ["instance", "old-instance", "none"])
def test_running_statistics_need_a_batch_norm(norm: str) -> None:
    assert "Use --statistics picture" in refused(ReferenceResnet(norm=norm).state_dict(), "running")


def test_a_discriminator_is_told_from_a_generator() -> None:
    layers = [nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 4)]
    judge = {f"model.{key}": tensor for key, tensor in nn.Sequential(*layers).state_dict().items()}
    assert "discriminator, which translates nothing. Expected a generator" in refused(judge)


@pytest.mark.parametrize(
    "weights", [{}, {"conv1.weight": torch.zeros(64, 3, 7, 7)}, {"model.1.weight": torch.zeros(3)}]
)
def test_another_network_is_refused_with_its_first_weights(weights: dict[str, Tensor]) -> None:
    told = refused(weights)
    assert "another network: " + (", ".join(weights) if weights else "none at all") in told
    assert "latest_net_G.pth" in told


@pytest.mark.parametrize("reference", [ReferenceResnet(norm="batch", blur_down=True, blur_up=True), ReferenceUNet()])
def test_every_weight_must_be_there_and_none_beside_it(reference: nn.Module) -> None:
    weights = reference.state_dict()
    needed = [key for key in weights if not key.endswith(("num_batches_tracked", "running_mean", "running_var"))]
    for key in needed:
        refused({other: tensor for other, tensor in weights.items() if other != key})
    assert "beside those of" in refused(weights | {"model.99.weight": torch.zeros(1)})
    for average in (key for key in weights if key.endswith("running_mean")):
        refused({other: tensor for other, tensor in weights.items() if other != average}, "running")


@pytest.mark.parametrize("reference", [ReferenceResnet(norm="batch", blur_down=True, blur_up=True), ReferenceUNet()])
def test_every_weight_must_have_its_shape(reference: nn.Module) -> None:
    weights = reference.state_dict()
    for key, tensor in weights.items():
        if key.endswith("num_batches_tracked"):
            continue
        for wrong in (torch.zeros(()), torch.zeros(0), torch.zeros(*tensor.shape, 2), torch.cat([tensor, tensor])):
            refused(weights | {key: wrong}, "running")


def test_a_filter_that_is_not_cuts_is_refused() -> None:
    weights = ReferenceResnet(blur_up=True, blocks=1).state_dict()
    own = weights["model.11.filt"]
    for wrong in (torch.full_like(own, 1 / 4), own[:1], own.flip(0)[..., :3, :3]):
        assert "another filter" in refused(weights | {"model.11.filt": wrong})


def test_more_blocks_and_levels_than_a_network_can_have_are_refused() -> None:
    assert "64" in refused(ReferenceResnet(ngf=1, blocks=65).state_dict())
    assert "12" in refused(ReferenceUNet(ngf=1, downs=13).state_dict())


def test_the_recipe_of_an_import_reads_back_from_its_own_words(tmp_path: Path) -> None:
    settings = imported(tmp_path, ReferenceResnet().state_dict()).recipe
    assert recipe.build(settings.model_dump(mode="json"), "test") == settings
