"""Flicker of a translated video: how much there is, and less of it. numpy, and OpenCV's optical flow when it is needed.

A model translates frame by frame and knows nothing of time; what should stay, shimmers. Legend: I source frame, O its
translation, h height, w width, c channels; frames are uint8 or uint16.

Both parts look where the source's motion says that a pixel was one frame ago. Where it was not seen then (it was
occluded, or the scene was cut), nothing is compared and nothing is blended.
"""

from collections.abc import Iterable

import numpy as np

from i2i.errors import UserError

FLOW_SIDE = 1024  # flow is found on frames of at most this side, for its cost grows with the area
FLOW_LEAST = 16  # and not below this: DIS compares patches of 8 × 8
ALPHA = 50.0  # of the visibility in Lai et al. 2018, section 3.2: M = exp(-α ‖I_t - Î_{t-1}‖²), colours in [0, 1]
MOST_CHANNELS = 4  # that OpenCV's Lanczos kernel takes at once
CUT = 0.25  # two frames of which less than this share was visible before are of different scenes


class Flicker:
    """The warping error of Lai et al. 2018 (Learning Blind Video Temporal Consistency, arXiv 1808.00449, section 4.2):

        E_warp(V_t, V_{t-1}) = 1/ΣM Σ M ‖V_t - V̂_{t-1}‖²,   averaged over pairs of frames,

    V̂ moved by the optical flow of the source, M 1 where the flow of both directions agrees. Colours are in [0, 1],
    ‖·‖² is the mean over channels. Our flow is DIS where the paper's is FlowNet2, so compare figures with figures from
    here: above all with the source's own, which tells what noise and the flow's own error make.
    """

    def __init__(self) -> None:
        self.errors: list[tuple[float, float]] = []  # (source, translation) of each pair
        self.cuts = 0
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, source: np.ndarray, output: np.ndarray) -> None:
        """The next frame, h w c, and its translation, h w c'."""
        now = _unit(source), _unit(output)
        _same_size(*now)
        if self._last is not None and self._last[0].shape == source.shape:
            flow, agrees, visible = motion(self._last[0], now[0])
            if visible.mean() < CUT:
                self.cuts += 1
            else:
                moved = (warp(part, flow) for part in self._last)
                source_error, output_error = (
                    float(((a - b) ** 2).mean(axis=2)[agrees].mean()) for a, b in zip(now, moved, strict=True)
                )
                self.errors.append((source_error, output_error))
        self._last = now

    def result(self) -> dict[str, float]:
        """`flicker` of the translation, `source` of the source, their `ratio`, compared `pairs`, and `cuts` between."""
        source, output = np.mean(self.errors, axis=0).tolist() if self.errors else (0.0, 0.0)
        ratio = output / source if source > 0 else (0.0 if output == 0 else float("inf"))
        return {"flicker": output, "source": source, "ratio": ratio, "pairs": len(self.errors), "cuts": self.cuts}


def flicker(sources: Iterable[np.ndarray], outputs: Iterable[np.ndarray]) -> dict[str, float]:
    """The warping error of a translated video, frame after frame as they come; see `Flicker`."""
    measure = Flicker()
    for source, output in zip(sources, outputs, strict=True):
        measure.add(source, output)
    return measure.result()


class Smoother:
    """Blend each translation with the last result, moved along with the source:

        y_t = (1 - a) O_t + a ŷ_{t-1},   a = strength · M,

    causal, one frame of memory; M is how visible the pixel was before, see `motion`. In a still scene, independent
    flicker of O goes down to (1 - a)² / (1 + a) of its warping error: at strength 0.8 to a 45th. `strength` 0 changes
    nothing; 1 holds what does not change.
    """

    def __init__(self, strength: float) -> None:
        if not 0 <= strength <= 1:
            raise UserError(f"the strength of smoothing goes from 0 (none) to 1, got {strength}.")
        self.strength = strength
        self._last: tuple[np.ndarray, np.ndarray] | None = None  # the source, and the result unrounded

    def __call__(self, source: np.ndarray, output: np.ndarray) -> np.ndarray:
        """The next frame h w c and its translation h w c' → the translation smoothed, of its type."""
        if self.strength == 0:
            return output
        now, result = _unit(source), _unit(output)
        _same_size(now, result)
        if self._last is not None and self._last[0].shape == now.shape and self._last[1].shape == result.shape:
            before, held = self._last
            flow, _, visible = motion(before, now)
            if visible.mean() >= CUT:
                result = result + self.strength * visible[..., None] * (warp(held, flow) - result)
        self._last = now, result
        white = np.iinfo(output.dtype).max
        return np.rint(result * white).astype(output.dtype)


def motion(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of frames h w c in [0, 1]: (the flow h w 2 from `now` back to `before`, x y in pixels; h w whether it can be
    trusted; h w in [0, 1] how visible each pixel was before).

    Dense inverse search (Kroeger et al. 2016) in both directions. Trusted is what the two agree on, not at the edge of
    a motion (both conditions of Ruder et al. 2016, arXiv 1604.08610, section 4.2) and from within the frame. Visible
    is what can be trusted and has kept its colour (see ALPHA).
    """
    height, width = now.shape[:2]
    back = np.zeros((height, width, 2), np.float32)
    agrees = np.ones((height, width), bool)
    if min(height, width) >= FLOW_LEAST:
        back, forth = _flow(now, before), _flow(before, now)
        there = _at(back)
        returned = _remap(forth, there)  # the flow that leads from where the pixel was to where it is
        apart = ((back + returned) ** 2).sum(axis=2)
        agrees = apart <= 0.01 * ((back**2).sum(axis=2) + (returned**2).sum(axis=2)) + 0.5
        edge = sum((np.gradient(back[..., part], axis=along) ** 2 for part in (0, 1) for along in (0, 1)), np.zeros(()))
        agrees &= edge <= 0.01 * (back**2).sum(axis=2) + 0.002
        agrees &= ((there >= 0) & (there <= (width - 1, height - 1))).all(axis=2)
    difference = ((now - warp(before, back)) ** 2).sum(axis=2)
    return back, agrees, (agrees * np.exp(-ALPHA * difference)).astype(np.float32)


def warp(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """h w c in [0, 1], each pixel taken from where `flow` (h w 2, x y) points, by Lanczos' kernel: what is moved on
    and on keeps 96 % of its sharpness by it, where linear interpolation leaves 63 % and cubic adds 14 %."""
    return np.clip(_remap(frame, _at(flow), fine=True), 0, 1)


def _at(flow: np.ndarray) -> np.ndarray:
    """h w 2: the places x y that a flow points to."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return flow + np.stack([x, y], axis=-1)


def _remap(values: np.ndarray, places: np.ndarray, fine: bool = False) -> np.ndarray:
    import cv2

    kernel = cv2.INTER_LANCZOS4 if fine else cv2.INTER_LINEAR
    unused = np.empty(0, np.float32)  # `places` has both coordinates
    parts = []
    for first in range(0, values.shape[2], MOST_CHANNELS):
        part = np.ascontiguousarray(values[:, :, first : first + MOST_CHANNELS])
        moved = cv2.remap(part, places, unused, kernel, borderMode=cv2.BORDER_REPLICATE)
        parts.append(np.asarray(moved, np.float32).reshape(*places.shape[:2], -1))  # OpenCV drops a single channel
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _flow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """h w 2: where each pixel of `a` is in `b`, relative to its place."""
    import cv2

    height, width = a.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    size = max(FLOW_LEAST, round(width * scale)), max(FLOW_LEAST, round(height * scale))
    grey_a, grey_b = (np.rint(255 * frame.mean(axis=2)).astype(np.uint8) for frame in (a, b))
    if scale < 1:
        grey_a, grey_b = (np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA)) for grey in (grey_a, grey_b))
    start = np.zeros((*grey_a.shape, 2), np.float32)
    flow = np.asarray(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey_a, grey_b, start))
    if scale < 1:
        flow = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR))
        flow = flow * np.array([width / size[0], height / size[1]], np.float32)
    return np.asarray(flow, np.float32)


def _unit(frame: np.ndarray) -> np.ndarray:
    """uint8 or uint16 h w c → float32 in [0, 1]."""
    if frame.dtype not in (np.uint8, np.uint16) or frame.ndim != 3:
        raise ValueError(f"expected uint8 or uint16 pixels h w c, got {frame.dtype} {frame.shape}")
    return frame.astype(np.float32) / np.float32(np.iinfo(frame.dtype).max)


def _same_size(source: np.ndarray, output: np.ndarray) -> None:
    if source.shape[:2] != output.shape[:2]:
        raise ValueError(f"a frame and its translation are of one size, got {source.shape[:2]} and {output.shape[:2]}")
