"""python client.py picture.jpg translated.png [http://127.0.0.1:8000]        needs: pip install numpy pillow"""

import json
import sys
import urllib.request

import numpy as np
from PIL import Image, ImageOps


def translate(picture: np.ndarray, server: str) -> np.ndarray:
    """uint8 height × width × $inputs → uint8 height × width × $outputs, by the KServe v2 protocol with binary data."""
    header = {
        "inputs": [
            {
                "name": "$input",
                "shape": [1, *picture.shape],
                "datatype": "UINT8",
                "parameters": {"binary_data_size": picture.nbytes},
            }
        ],
        "outputs": [{"name": "$output", "parameters": {"binary_data": True}}],
    }
    told = json.dumps(header).encode()
    request = urllib.request.Request(
        f"{server}/v2/models/$name/infer",
        told + picture.tobytes(),
        {"Inference-Header-Content-Length": str(len(told)), "Content-Type": "application/octet-stream"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        body, length = response.read(), int(response.headers["Inference-Header-Content-Length"])
    shape = json.loads(body[:length])["outputs"][0]["shape"]
    return np.frombuffer(body[length:], np.uint8).reshape(shape)[0]


if __name__ == "__main__":
    source, target, server = (*sys.argv[1:3], sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:8000")
    picture = np.array(ImageOps.exif_transpose(Image.open(source)).convert("$mode"))
    Image.fromarray(np.squeeze(translate(picture.reshape(*picture.shape[:2], $inputs), server))).save(target)
