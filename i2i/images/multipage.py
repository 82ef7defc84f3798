"""TIFFs of several pages, of 16 bits or floats, and of any number of channels, by tifffile."""

from typing import IO, Any

import numpy as np

from i2i.images.metadata import ascii_tags


class Pages:
    """Pages written as they come. Floats are made from 16 bits, which is what models see of them."""

    def __init__(self, file: IO[bytes], bits: int, info: dict[str, Any], keep: bool, big: bool) -> None:
        """`big`: more than a classic TIFF, whose offsets have 32 bits, may hold."""
        import tifffile

        self.writer = tifffile.TiffWriter(file, bigtiff=big, ome=False, shaped=False)
        self.bits, self.info, self.keep = bits, info, keep
        self.first = True

    def add(self, pixels: np.ndarray, alpha: np.ndarray | None, duration: float) -> None:
        """Written at once: h w c, c colours if 1 or 3, else channels without a meaning."""
        count = pixels.shape[2]
        array = pixels if alpha is None else np.dstack([pixels, alpha])
        if self.bits == 32:
            array = array.astype(np.float32) / np.float32(65535)
        others = array.shape[2] - (3 if count == 3 else 1)
        told: dict[str, Any] = {
            "photometric": "rgb" if count == 3 else "minisblack",
            "planarconfig": "contig" if array.shape[2] > 1 else None,
            "extrasamples": ["unassalpha" if alpha is not None else "unspecified"] * others or None,
            "compression": None if self.info.get("compression") in (1, "raw") else "zlib",
            "predictor": 2 if array.dtype.kind == "u" and self.info.get("compression") not in (1, "raw") else None,
            "iccprofile": self.info.get("icc_profile") if self.first else None,
            "extratags": ascii_tags(self.info) if self.keep and self.first else [],
        }
        if "dpi" in self.info:
            told |= {"resolution": self.info["dpi"], "resolutionunit": 2}
        array = array if array.shape[2] > 1 else array[:, :, 0]
        self.writer.write(array, **told, metadata=None, software=False, contiguous=False, maxworkers=1)
        self.first = False

    def finish(self) -> None:
        """The end of the file."""
        self.writer.close()
