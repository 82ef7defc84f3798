// node translate.mjs model.onnx picture.png translated.png        needs: npm install onnxruntime-node pngjs
import { readFile, writeFile } from "node:fs/promises";
import ort from "onnxruntime-node";
import { PNG } from "pngjs";

const [model, source, target] = process.argv.slice(2);
const { width, height, data } = PNG.sync.read(await readFile(source)); // rows of red, green, blue, alpha; 8 bits
const session = await ort.InferenceSession.create(model);
const channels = session.inputMetadata[0].shape[3];
if (channels !== 1 && channels !== 3) throw new Error(`the model takes ${channels} channels, this client gives 1 or 3`);

// uint8 [batch, height, width, channels], laid on white; grey by the weights of ITU-R 601
const pixels = new Uint8Array(width * height * channels);
for (let i = 0; i < width * height; i++) {
  const [r, g, b, alpha] = data.subarray(4 * i, 4 * i + 4);
  const colour = [r, g, b].map((c) => Math.round((c * alpha) / 255 + 255 - alpha));
  if (channels === 1) pixels[i] = (colour[0] * 19595 + colour[1] * 38470 + colour[2] * 7471 + 32768) >> 16;
  else pixels.set(colour, 3 * i);
}
const given = { [session.inputNames[0]]: new ort.Tensor("uint8", pixels, [1, height, width, channels]) };
const result = (await session.run(given))[session.outputNames[0]];

const written = new PNG({ width, height });
for (let i = 0, c = result.dims[3]; i < width * height; i++) {
  for (let k = 0; k < 3; k++) written.data[4 * i + k] = result.data[c * i + Math.min(k, c - 1)];
  written.data[4 * i + 3] = 255;
}
await writeFile(target, PNG.sync.write(written, { colorType: 2 }));
