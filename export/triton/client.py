"""python client.py MODEL picture.jpg translated.png [http://127.0.0.1:8000]        needs: pip install numpy pillow"""

import json
import sys
import urllib.request

import numpy as np
from PIL import Image, ImageOps


def translate(picture: Image.Image, model: str) -> np.ndarray:
    """The translation, uint8 height × width × channels, by the model at this address; KServe's v2 protocol, binary."""
    with urllib.request.urlopen(model, timeout=60) as response:
        told = json.load(response)
    tensor, result = told["inputs"][0], told["outputs"][0]
    x = np.array(picture.convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[tensor["shape"][3]]))
    x = x.reshape(1, picture.height, picture.width, tensor["shape"][3])
    described = {"name": tensor["name"], "shape": x.shape, "datatype": "UINT8"}
    described["parameters"] = {"binary_data_size": x.nbytes}
    wanted = {"name": result["name"], "parameters": {"binary_data": True}}
    header = json.dumps({"inputs": [described], "outputs": [wanted]}).encode()
    request = urllib.request.Request(f"{model}/infer", header + x.tobytes())
    request.add_header("Inference-Header-Content-Length", str(len(header)))
    request.add_header("Content-Type", "application/octet-stream")
    with urllib.request.urlopen(request, timeout=60) as response:
        body, length = response.read(), int(response.headers["Inference-Header-Content-Length"])
    shape = json.loads(body[:length])["outputs"][0]["shape"]
    return np.frombuffer(body[length:], np.uint8).reshape(shape)[0]


if __name__ == "__main__":
    name, source, target = sys.argv[1:4]
    server = sys.argv[4] if len(sys.argv) > 4 else "http://127.0.0.1:8000"
    picture = ImageOps.exif_transpose(Image.open(source))
    pixels = translate(picture, f"{server}/v2/models/{name}")
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(target)
