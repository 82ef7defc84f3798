"""Flicker is measured where things move as known, and smoothed without blur and ghosts."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from i2i.errors import UserError
from i2i.images.temporal import Flicker, Smoother, flicker, motion, warp

Video = list[np.ndarray]


def texture(seed: int, height: int, width: int, grain: float) -> np.ndarray:
    """Zero mean, unit variance, h w 3."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), grain)
    return (soft - soft.mean()) / soft.std()


def pixels(frame: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def shot(
    frames: int, velocity: tuple[float, float], thing: bool = True, noise: float = 12
) -> tuple[Video, Video, Video]:
    """(sources, translations without flicker, the same with): a camera that pans by `velocity` pixels a frame, and a
    thing of 40 × 40 pixels that crosses the scene by 3. A translation has a texture of its own, which moves along."""
    height, width = 128, 160
    far = texture(1, 328, 360, 2.0) * 35 + 128, texture(2, 328, 360, 1.5) * 45 + 120
    near = texture(5, 40, 40, 2.5) * 30 + 200, texture(6, 40, 40, 1.5) * 30 + 60
    made: tuple[Video, Video, Video] = ([], [], [])
    for t in range(frames):
        shift = np.array([[1, 0, -50 - velocity[0] * t], [0, 1, -50 - velocity[1] * t]], np.float32)
        pair = [cv2.warpAffine(part, shift, (width, height), flags=cv2.INTER_CUBIC) for part in far]
        for frame, part in zip(pair, near, strict=True):
            frame[40:80, 10 + 3 * t : 50 + 3 * t] = part
        shimmer = np.random.default_rng(t).normal(0, noise, pair[1].shape)
        for video, frame in zip(made, (*pair, pair[1] + shimmer), strict=True):
            video.append(pixels(frame))
    return made


def smoothed(strength: float, sources: Video, outputs: Video) -> Video:
    smoother = Smoother(strength)
    return [smoother(source, output) for source, output in zip(sources, outputs, strict=True)]


def blended(strength: float, outputs: Video) -> Video:
    """The same recursion without motion: what a plain blend makes."""
    result, held = [], None
    for output in outputs:
        held = output.astype(float) if held is None else (1 - strength) * output + strength * held
        result.append(pixels(held))
    return result


def distance(a: Video, b: Video) -> float:
    """Root mean square, in grey levels, after the first frames."""
    return float(np.mean([(x.astype(float) - y) ** 2 for x, y in zip(a[8:], b[8:], strict=True)]) ** 0.5)


def sharpness(video: Video) -> float:
    return float(np.mean([np.var(cv2.Laplacian(frame.astype(np.float32), cv2.CV_32F)) for frame in video[8:]]))


# --- the metric ------------------------------------------------------------------------------------------------------


def test_flicker_of_noise_on_a_still_source_is_twice_its_variance() -> None:
    rng = np.random.default_rng(0)
    still = [pixels(texture(1, 96, 96, 2) * 40 + 128)] * 12
    noisy = [pixels(128 + rng.normal(0, 10, (96, 96, 3))) for _ in still]
    found = flicker(still, noisy)
    assert found["flicker"] == pytest.approx(2 * (10**2 + 1 / 12) / 255**2, rel=0.02)  # rounding adds 1/12
    assert found["source"] == 0
    assert (found["pairs"], found["cuts"]) == (11, 0)


def test_what_moves_along_with_the_source_does_not_flicker() -> None:
    sources, steady, noisy = shot(8, (2.5, -1.5))
    clean, shimmering = flicker(sources, steady), flicker(sources, noisy)
    still = flicker(sources, [steady[0]] * 8)
    assert clean["flicker"] < 0.0004
    assert shimmering["flicker"] > 10 * clean["flicker"]
    assert still["flicker"] > 100 * clean["flicker"]  # a translation that does not follow its source is the worst
    assert clean["source"] == shimmering["source"]


def test_the_flow_is_the_motion_and_what_was_hidden_is_not_trusted() -> None:
    sources, _, _ = shot(2, (1.5, 0))
    before, now = (frame / np.float32(255) for frame in sources)
    flow, trusted, visible = motion(before, now)
    far = np.zeros((128, 160), bool)
    far[8:-8, 70:-8] = True
    assert np.abs(flow[far] - (1.5, 0)).mean() < 0.1  # the camera pans right: a pixel was further right before
    assert trusted[far].mean() > 0.97
    assert np.abs(flow[50:70, 20:45] - (-3, 0)).mean() < 0.3
    assert visible[far].mean() > 0.9
    assert visible[40:80, 10:13].mean() < 0.2  # the thing has just left it
    assert not trusted[:, -1:].any()  # it has just come into view


def test_a_cut_is_counted_and_not_measured() -> None:
    one, other = (pixels(texture(seed, 96, 96, 2) * 40 + 128) for seed in (1, 2))
    found = flicker([one, one, other, other], [one, one, other, other])
    assert (found["cuts"], found["pairs"], found["flicker"]) == (1, 2, 0)


def test_flicker_streams() -> None:
    """A film fits through it: it holds one frame, and takes iterators."""
    sources, steady, _ = shot(4, (1, 0))
    measure = Flicker()
    for source, output in zip(sources, steady, strict=True):
        measure.add(source, output)
    assert measure.result() == flicker(iter(sources), iter(steady))
    assert Flicker().result()["pairs"] == 0


def test_depth_and_channels_of_the_translation_are_free() -> None:
    sources, steady, _ = shot(4, (1, 0))
    eight = flicker(sources, steady)["flicker"]
    deep = [frame.astype(np.uint16) * 257 for frame in steady]
    assert flicker(sources, deep)["flicker"] == pytest.approx(eight, rel=1e-4)
    assert flicker(sources, [frame[..., :1] for frame in steady])["flicker"] == pytest.approx(eight, rel=0.2)
    with pytest.raises(ValueError, match="of one size"):
        flicker(sources, [frame[:64] for frame in steady])


# --- smoothing -------------------------------------------------------------------------------------------------------


def test_strength_0_is_the_identity() -> None:
    sources, _, noisy = shot(4, (2, 1))
    assert all(np.array_equal(a, b) for a, b in zip(smoothed(0, sources, noisy), noisy, strict=True))


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.8])
def test_flicker_on_a_still_source_falls_by_the_factor_of_the_recursion(strength: float) -> None:
    """y = (1 - a) x + a y₋₁ of independent x: E(y - y₋₁)² = (1 - a)² / (1 + a) · E(x - x₋₁)²."""
    rng = np.random.default_rng(0)
    still = [pixels(texture(1, 64, 64, 2) * 40 + 128)] * 50
    noisy = [pixels(128 + rng.normal(0, 12, (64, 64, 3))) for _ in still]
    before, after = (flicker(still[20:], video[20:])["flicker"] for video in (noisy, smoothed(strength, still, noisy)))
    assert after / before == pytest.approx((1 - strength) ** 2 / (1 + strength), rel=0.06)


@pytest.mark.parametrize("velocity", [(0, 0), (1.37, 0.6), (5.3, 2.2)])
def test_motion_is_compensated(velocity: tuple[float, float]) -> None:
    """Nearer to the truth than the flickering translation, and than a blend that does not know of motion."""
    sources, steady, noisy = shot(20, velocity)
    result = smoothed(0.7, sources, noisy)
    assert distance(result, steady) < 0.66 * distance(noisy, steady)
    assert distance(result, steady) < 0.66 * distance(blended(0.7, noisy), steady)
    assert flicker(sources, result)["flicker"] < 0.15 * flicker(sources, noisy)["flicker"]


@pytest.mark.parametrize("velocity", [(0.5, 0.5), (2.5, -1.5)])
def test_flicker_falls_without_loss_of_sharpness(velocity: tuple[float, float]) -> None:
    """Half a pixel is where resampling blurs most, and the last result is resampled again and again."""
    sources, steady, _ = shot(20, velocity)
    assert sharpness(smoothed(0.8, sources, steady)) == pytest.approx(sharpness(steady), rel=0.06)
    assert sharpness(blended(0.8, steady)) < 0.5 * sharpness(steady)


def test_there_are_no_ghosts() -> None:
    """Behind a thing that moves on there is the background, not what is left of the thing."""
    sources, steady, _ = shot(12, (0, 0))
    result, plain = smoothed(0.8, sources, steady), blended(0.8, steady)
    wake = (slice(40, 80), slice(10, 10 + 3 * 11))  # all that it has crossed and left
    ghost = np.abs(result[-1][wake].astype(float) - steady[-1][wake]).mean()
    assert ghost < 3
    assert np.abs(plain[-1][wake].astype(float) - steady[-1][wake]).mean() > 15


def test_nothing_is_carried_over_a_cut() -> None:
    one, other = (pixels(texture(seed, 96, 96, 2) * 40 + 128) for seed in (1, 2))
    smoother = Smoother(0.9)
    for _ in range(3):
        smoother(one, 255 - one)
    assert np.abs(smoother(other, other).astype(float) - other).mean() < 0.5


def test_what_changes_size_or_is_tiny_is_no_trouble() -> None:
    smoother = Smoother(0.5)
    for height, width in ((40, 64), (64, 40), (1, 1), (1, 1), (3, 200), (3, 200), (16, 16), (17, 16)):
        grey = np.full((height, width, 3), 90, np.uint8)
        assert np.array_equal(smoother(grey, grey), grey)
    deep = np.full((32, 32, 1), 40_000, np.uint16)
    colour = np.full((32, 32, 3), 7, np.uint8)
    smoother(colour, deep)
    assert np.array_equal(smoother(colour, deep), deep)


def test_large_frames_are_followed_on_smaller_ones() -> None:
    large = pixels(texture(1, 64, 1200, 6) * 40 + 128)
    flow, _, _ = motion(large[:, 8:] / np.float32(255), large[:, :-8] / np.float32(255))
    assert np.abs(flow[8:-8, 40:-40] - (-8, 0)).mean() < 0.3


def test_wrong_requests_are_told() -> None:
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match=r"from 0 .* to 1"):
            Smoother(strength)
    with pytest.raises(ValueError, match="expected uint8 or uint16"):
        Smoother(0.5)(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)))


def test_neither_torch_nor_opencv_is_imported_before_it_is_needed() -> None:
    code = "import sys, i2i.images.temporal, i2i.images.video; assert not {'torch', 'cv2', 'av'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_any_number_of_channels_is_moved_alike() -> None:
    frame = np.random.default_rng(0).random((20, 24, 7), dtype=np.float32)
    flow = np.full((20, 24, 2), 1.25, np.float32)
    alone = np.concatenate([warp(frame[..., [k]], flow) for k in range(7)], axis=2)
    assert np.array_equal(warp(frame, flow), alone)
