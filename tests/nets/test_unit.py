"""UNIT's coders: what is shared is one and the same, and what is not is not."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from i2i.errors import UserError
from i2i.nets import UNITSpec
from i2i.nets.unit import Coders, Through

from .helpers import liven, pictures


def built(**changes: int) -> Coders:
    coders = UNITSpec(**{"blocks": 2, "shared": 1, "width": 4, **changes}).build(3, 2)
    liven(nn.ModuleList(coders))
    return coders


def test_shared_layers_are_the_same_object_and_moving_them_changes_both_directions() -> None:
    encode_a, encode_b, decode_a, decode_b = built()
    assert encode_a.shared is encode_b.shared
    assert decode_a.shared is decode_b.shared
    assert encode_a.shared is not decode_a.shared
    a, b = pictures(1, 3, 16), pictures(1, 2, 16)
    for part in (encode_a.shared, decode_a.shared):
        before = Through(encode_a, decode_b)(a), Through(encode_b, decode_a)(b)
        with torch.no_grad():
            next(part.parameters()).add_(torch.randn_like(next(part.parameters())))
        after = Through(encode_a, decode_b)(a), Through(encode_b, decode_a)(b)
        assert not any(torch.equal(x, y) for x, y in zip(before, after, strict=True))


def test_without_shared_layers_the_sides_have_nothing_in_common() -> None:
    encode_a, encode_b, decode_a, decode_b = built(shared=0)
    owners = [{id(p) for p in part.parameters()} for part in (encode_a, encode_b, decode_a, decode_b)]
    assert len(set().union(*owners)) == sum(len(owner) for owner in owners)


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_sharing_changes_no_depth_and_a_direction_is_a_generator(shared: int) -> None:
    coders = built(shared=shared)
    counts = {sum(p.numel() for p in part.parameters()) for part in coders}
    assert counts == {sum(p.numel() for p in part.parameters()) for part in built()}
    way = Through(coders.encode_a, coders.decode_b)
    assert (way.inputs, way.outputs, way.multiple, way.minimum) == (3, 2, 4, 8)
    code = coders.encode_a(pictures(2, 3, 16))
    assert code.shape == (2, 16, 4, 4)
    assert torch.equal(way(pictures(2, 3, 16)), coders.decode_b(code))
    assert way(pictures(1, 3, way.minimum)).shape == (1, 2, 8, 8)
    with pytest.raises(ValueError, match=r"UNIT expected n × 3 × h × w with h and w multiples of 4, at least 8"):
        way(pictures(1, 3, 4))


def test_more_shared_blocks_than_blocks_are_refused() -> None:
    with pytest.raises(ValidationError, match="shared: 3 of 2 blocks"):
        UNITSpec(blocks=2, shared=3)


def test_sides_that_start_alike_are_equal_and_yet_two() -> None:
    encode_a, encode_b, decode_a, decode_b = UNITSpec(blocks=2, shared=1, width=4, alike=True).build(3, 3)
    for one, other in ((encode_a.own, encode_b.own), (decode_a.own, decode_b.own)):
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(p, q)
            assert p.data_ptr() != q.data_ptr()


def test_sides_of_unlike_channels_cannot_start_alike() -> None:
    with pytest.raises(UserError, match="equal channels; got 3 and 1"):
        UNITSpec(alike=True).build(3, 1)
