"""How a published model is used: the commands, Python, and onnxruntime alone."""

from i2i.publishing import words
from i2i.publishing.record import Record

ONNX = """
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.{way}.uint8.onnx")
{read}
translation = session.run(None, {{"picture": picture[None]}})[0][0]  # the same height and width, any size
{write}
"""
READ = {
    1: 'picture = np.asarray(Image.open("input.png").convert("L"))[:, :, None]  # height, width, 1; uint8',
    3: 'picture = np.asarray(Image.open("input.png").convert("RGB"))  # height, width, 3; uint8',
}
WRITE = {
    1: 'Image.fromarray(translation[:, :, 0]).save("output.png")',
    3: 'Image.fromarray(translation).save("output.png")',
}
PYTHON = """
import i2i

translate = i2i.load("{name}")
translation = translate(picture)  # height, width, channels; uint8
"""
NOISE = """
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.generator.uint8.onnx")
noise = np.random.default_rng(0).standard_normal((1, {inputs}), np.float32)
pictures = session.run(None, {{"noise": noise{label}}})[0]  # number, height, width, channels; uint8
{write}
"""


def usage(record: Record) -> str:
    name, ways = record["name"], record["directions"]
    where = (
        f"`{name}` is the name that `i2i models list` shows, or the path of this folder; from the hub it is "
        f"`hf:OWNER/{name}`."
    )
    if record["task"] == "sample":
        command, python = (
            f"i2i sample --model {name} -o samples.png",
            f'import i2i\n\ni2i.sample("{name}", "samples.png")',
        )
    else:
        others = [f"i2i translate pictures/ --model {name} -o translated/ --direction {way}" for way in ways[1:]]
        command = "\n".join([f"i2i translate pictures/ --model {name} -o translated/", *others])
        python = PYTHON.format(name=name)
    return "\n\n".join(
        (
            "## How to use it",
            words.fenced("", f"pip install i2i\n{command}"),
            where,
            words.fenced("python", python),
            "Without i2i, by onnxruntime alone: scaling, padding and rounding are in the file.",
            words.fenced("python", onnx(record)),
        )
    )


def onnx(record: Record) -> str:
    """A program of a few lines that reads `input.png` and writes `output.png`, or draws the latter from noise."""
    inputs, outputs = record["inputs"], record["outputs"]
    if record["task"] == "sample":
        label = ', "label": np.array([0])' if record["classes"] else ""
        write = WRITE.get(outputs, 'np.save("output.npy", pictures[0])').replace("translation", "pictures[0]")
        return NOISE.format(inputs=inputs, label=label, write=write).strip()
    read = READ.get(inputs, f'picture = np.load("input.npy")  # height, width, {inputs}; uint8')
    write = WRITE.get(outputs, 'np.save("output.npy", translation)')
    return ONNX.format(way=record["directions"][0], read=read, write=write).strip()
