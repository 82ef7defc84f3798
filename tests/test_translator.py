"""Any size in, the same size out, whatever the network inside wants."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from i2i.errors import UserError
from i2i.nets import CompactSpec, ResnetSpec, UNetSpec
from i2i.translator import Translator

CPU = torch.device("cpu")
Noise = Callable[..., np.ndarray]
NETWORKS = {
    "unet": UNetSpec(levels=6, width=4),
    "unet, batch norm": UNetSpec(levels=3, width=4, norm="batch"),
    "unet, noise": UNetSpec(levels=3, width=4, norm="batch", dropout=0.5, dropout_at_test=True),
    "resnet": ResnetSpec(blocks=2, width=4),
    "compact": CompactSpec(blocks=2, width=4),
}


def translator(kind: str, inputs: int = 3, outputs: int = 3) -> Translator:
    torch.manual_seed(0)
    spec = NETWORKS[kind].model_copy(update={"gain": 0.1})  # livelier than a fresh start, so that outputs differ
    return Translator(spec.build(inputs, outputs), CPU)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 5), (63, 65), (64, 64), (65, 33), (130, 129)])
def test_a_picture_comes_back_in_its_own_size(kind: str, size: tuple[int, int], noise: Noise) -> None:
    answer = translator(kind)(noise(0, *size))
    assert answer.shape == (*size, 3)
    assert answer.dtype == np.uint8


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 3), (3, 1), (1, 1)])
def test_grey_goes_in_and_comes_out(kind: str, inputs: int, outputs: int, noise: Noise) -> None:
    assert translator(kind, inputs, outputs)(noise(0, 21, 34, inputs)).shape == (21, 34, outputs)


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind != "unet, noise"])
def test_a_batch_of_four_equals_four_singles(kind: str) -> None:
    net = translator(kind)
    x = torch.rand(4, 3, 33, 47, generator=torch.Generator().manual_seed(0)) * 2 - 1
    together = net.forward(x)
    one_by_one = torch.cat([net.forward(picture[None]) for picture in x])
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_picture_gives_the_same_answer(kind: str, noise: Noise) -> None:
    net, picture = translator(kind), noise(0, 40, 40)
    first = net(picture)
    torch.rand(3)  # whatever else happens to the random numbers in between
    net(noise(1, 9, 9))
    assert np.array_equal(first, net(picture))


def test_translating_uses_up_none_of_the_callers_random_numbers(noise: Noise) -> None:
    net, before = translator("unet, noise"), torch.get_rng_state()
    net(noise(0, 8, 8))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_picture_given_is_left_as_it_was(noise: Noise) -> None:
    picture = noise(0, 16, 16)
    picture.flags.writeable = False
    translator("unet")(picture)
    assert np.array_equal(picture, noise(0, 16, 16))


def test_pixels_pass_an_identity_unchanged(noise: Noise) -> None:
    class Copy(nn.Identity):
        inputs = outputs = 3
        multiple = minimum = 8

    assert np.array_equal(Translator(Copy(), CPU)(noise(0, 13, 21)), noise(0, 13, 21))


def test_training_mode_is_left_behind() -> None:
    network = NETWORKS["unet"].build(3, 3).train()
    assert not Translator(network, CPU).network.training


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.int64),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 0, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused_with_expected_and_got(picture: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"expected a picture of height × width × 3 uint8, got shape"):
        translator("unet")(picture)
