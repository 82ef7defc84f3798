"""Running exported models: numpy, Pillow and onnxruntime. torch is never imported here, a test proves it."""

from i2i.runtime.model import Exported

__all__ = ["Exported"]
