"""python translate.py model.onnx picture.jpg translated.png        needs: pip install numpy pillow onnxruntime"""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
tensor = session.get_inputs()[0]  # uint8 [batch, height, width, channels], of any batch, height and width
picture = ImageOps.exif_transpose(Image.open(source)).convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[tensor.shape[3]])
x = np.asarray(picture).reshape(1, picture.height, picture.width, tensor.shape[3])
y = session.run(None, {tensor.name: x})[0][0]
Image.fromarray(y.squeeze(2) if y.shape[2] == 1 else y).save(target)
