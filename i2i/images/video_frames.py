"""A video's frame and its pixels: colour matrix, range, transfer, turn. What FFmpeg knows of them, PyAV brings.

Legend: h height, w width, c channels.
"""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from i2i.errors import UserError

# FFmpeg reads hundreds of formats, some of which are lists of other files and addresses. The suffix does not decide.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
MAX_PIXELS = 2**26  # of one frame: 8192 × 8192, as for pictures

# FFmpeg's number of a YUV → RGB matrix (AVColorSpace) → swscale's number of the same: BT.709, FCC, BT.601 twice,
# SMPTE 240M, BT.2020. Untagged ones are guessed from the size, as players do.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
NAMES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
UNTAGGED = (2, 3)
BT709, BT601 = 1, 6
WIDE_PRIMARIES, HDR = (9, 11, 12), (16, 18)  # BT.2020 and the two P3; PQ and HLG
SRGB_TRANSFER = 13
LIMITED, FULL = 1, 2  # 16..235 in 8 bits, 0..255

# swscale: BICUBIC, FULL_CHR_H_INT, FULL_CHR_H_INP, ACCURATE_RND. With them it is within 1 LSB of the exact matrix.
PRECISE = 0x4 | 0x2000 | 0x4000 | 0x40000
PRECISE_NAMES = "bicubic+full_chroma_int+full_chroma_inp+accurate_rnd"


def library(path: Path) -> Any:
    """PyAV, imported only when there is a video."""
    try:
        import av
        import av.error
        import av.filter
        import av.video.reformatter
    except ImportError:
        raise UserError(f"{path}: videos need PyAV, which is not installed. Type: pip install 'i2i[video]'") from None
    return av


def open_input(av: Any, path: Path) -> Any:
    """The file as an FFmpeg container, to be closed. Raises FFmpegError if it is not one of ours."""
    options = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file",
        "max_pixels": str(MAX_PIXELS),  # for the first look at its streams
    }
    # `file:` keeps names such as `http:x.mp4` and `concat:a|b.mp4` from being more than names.
    return av.open(f"file:{path}", options=options, metadata_errors="replace")


def guess(width: int, height: int) -> int:
    """The matrix of a video that does not tell, as players guess it: BT.709 of high definition, else BT.601."""
    return BT709 if width >= 1280 or height > 576 else BT601


def matrix_of(frame: Any) -> int:
    """The frame's AVColorSpace, guessed if it has none. Raises UserError for the few that no converter here knows."""
    if frame.colorspace in MATRICES:
        return int(frame.colorspace)
    if frame.colorspace in UNTAGGED or frame.format.is_rgb:
        return guess(frame.width, frame.height)
    raise UserError(f"its colour matrix (number {frame.colorspace} of H.273) is not known; convert it to BT.709 first")


def is_wide(frame: Any) -> bool:
    """Whether its colours go beyond sRGB, so that they have to be brought there, not only unpacked."""
    return frame.color_primaries in WIDE_PRIMARIES or frame.color_trc in HDR


def turn_of(frame: Any) -> tuple[bool, bool, bool]:
    """(transpose, then mirror left-right, then flip up-down) that make the frame upright.

    FFmpeg's display matrix shows the stored pixel (x, y) at (a x + c y, b x + d y); its rows are (a b u), (c d v), ...
    An angle between the right ones is taken for the nearest of them.
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = (int(number) for number in np.frombuffer(bytes(data), np.int32, 5))
            return (True, c < 0, b < 0) if abs(c) > abs(a) else (False, a < 0, d < 0)
    return False, False, False


def to_pixels(reformatter: Any, frame: Any, width: int, height: int, channels: int, bits: int) -> np.ndarray:
    """A decoded frame → upright `height` `width` `channels` (1 or 3) sRGB, uint8 or, with `bits` 16, uint16."""
    transposed, mirrored, flipped = turn_of(frame)
    parts = frame.format.components
    transparent = any(part.is_alpha for part in parts)
    full = frame.color_range == FULL or frame.format.is_rgb or frame.format.name.startswith("yuvj")
    depth = max(part.bits for part in parts)
    deep = bits == 16 and depth > 8 and not transparent and not is_wide(frame)
    rgb = reformatter.reformat(
        frame,
        *((height, width) if transposed else (width, height)),
        format="rgb48le" if deep else "rgba" if transparent else "rgb24",
        src_colorspace=None if frame.format.is_rgb else MATRICES[matrix_of(frame)],
        src_color_range=FULL if full else LIMITED,
        dst_color_range=FULL,
        interpolation=PRECISE,
        dst_color_trc=SRGB_TRANSFER if is_wide(frame) else None,
        dst_color_primaries=BT709 if is_wide(frame) else None,
    )
    pixels: np.ndarray = rgb.to_ndarray()
    if transparent:
        pixels = _on_white(pixels)
    if deep and not frame.format.is_rgb:  # swscale shifts depth in: white is not yet 65535
        white = (2**depth - 1) << (16 - depth) if full else 65283
        pixels = np.minimum(np.rint(pixels * (65535 / white)), 65535).astype(np.uint16)
    elif bits == 16 and not deep:
        pixels = pixels.astype(np.uint16) * 257
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    pixels = pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1]
    return np.ascontiguousarray(pixels if channels == 3 else _grey(pixels))


class Packer:
    """h w 1 or 3 pixels, uint8 or uint16 → frames in the pixel format `layout`; YUV in limited range by `matrix`."""

    def __init__(self, av: Any, width: int, height: int, layout: str, matrix: int, codec: str) -> None:
        self.av = av
        # Where 4:2:0 has its colours: between the columns, or on every second one, as H.264 and MPEG-4 decoders take
        # it unless told. `VideoFrame.reformat` knows the first alone, and so would move colours by half a pixel.
        siting = "center" if "vp9" in codec else "left"
        yuv = f":out_color_matrix={NAMES[matrix]}:out_range=limited:out_chroma_loc={siting}"
        options = f"in_range=full:flags={PRECISE_NAMES}{yuv if layout.startswith('yuv') else ''}"
        self.graph = av.filter.Graph()
        source = self.graph.add_buffer(width=width, height=height, format="rgb24", time_base=Fraction(1))
        steps = [self.graph.add("scale", options), self.graph.add("format", layout), self.graph.add("buffersink")]
        for before, after in itertools.pairwise([source, *steps]):
            before.link_to(after)
        self.graph.configure()

    def __call__(self, pixels: np.ndarray) -> Any:
        if pixels.dtype == np.uint16:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)  # every player takes three colours, few take grey
        self.graph.push(self.av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))
        return self.graph.pull()


def _on_white(pixels: np.ndarray) -> np.ndarray:
    """h w 4 → h w 3, uint8."""
    colour, alpha = pixels[..., :3].astype(np.uint32), pixels[..., 3:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """h w 3 → h w 1, by the weights of ITU-R 601 as Pillow rounds them, for so are grey pictures made for training."""
    weights = np.array([19595, 38470, 7471], np.uint64)
    return ((pixels.astype(np.uint64) @ weights + 0x8000) >> 16).astype(pixels.dtype)[..., None]
