// Pictures: a file → a canvas on white paper → rows of bytes for the model, and back.

const readable = { willReadFrequently: true, colorSpace: "srgb" }; // stays in memory, where reading gives what was written

function sheet(width, height, canvas = document.createElement("canvas")) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", readable);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  return canvas;
}

// Upright by its EXIF tag and in sRGB, both as the browser does for every picture that it shows.
async function decode(blob) {
  try {
    return await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    throw new Error(`${blob.name ?? "This"} is not a picture that this browser can read. Try PNG, JPEG or WebP.`);
  }
}

function onWhite(bitmap, width = bitmap.width, height = bitmap.height) {
  const canvas = sheet(width, height);
  const context = canvas.getContext("2d", readable);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas;
}

function isBlank(canvas) {
  return canvas.getContext("2d", readable).getImageData(0, 0, canvas.width, canvas.height).data.every((value) => value === 255);
}

// RGBA → h w c. Grey is the luma of ITU-R 601 in Pillow's integers, as `images.read` has it.
function toModel(canvas) {
  const { data } = canvas.getContext("2d", readable).getImageData(0, 0, canvas.width, canvas.height);
  const count = canvas.width * canvas.height;
  const pixels = new Uint8Array(count * config.inputs);
  for (let i = 0, from = 0; i < count; i++, from += 4) {
    if (config.inputs === 1) {
      pixels[i] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 0x8000) >> 16;
    } else {
      for (let c = 0; c < 3; c++) pixels[3 * i + c] = data[from + c];
    }
  }
  return pixels;
}

function fromModel({ pixels, height, width }, canvas) {
  const image = new ImageData(width, height);
  const grey = config.outputs === 1;
  for (let i = 0; i < height * width; i++)
    for (let c = 0; c < 4; c++) image.data[4 * i + c] = c === 3 ? 255 : pixels[grey ? i : 3 * i + c];
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d", readable).putImageData(image, 0, 0);
}

// Browsers that resist fingerprinting change the pixels which a page reads: then no translation could be right.
function faithful() {
  const canvas = sheet(16, 16);
  const context = canvas.getContext("2d", readable);
  const image = new ImageData(16, 16);
  image.data.forEach((_, i) => (image.data[i] = i % 4 === 3 ? 255 : (i * 89) % 256));
  context.putImageData(image, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.every((value, i) => value === image.data[i]);
}

const SHOWN = 2 ** 25; // pixels of a canvas: browsers end there or not much later

// How many pixels fit in memory at once, at the activations that one pixel needs.
function limit() {
  const budget = (navigator.deviceMemory ?? 4) >= 4 ? 1.5e9 : 6e8; // WebAssembly ends at 4 GB, a phone's tab before
  return Math.min(SHOWN, Math.floor(budget / config.memory));
}

// [height, width] to work at: for what is much larger than the training's pictures their scale, as `i2i translate` has it.
function atScale({ width, height }) {
  const { side, above } = config.scale ?? {};
  const shorter = Math.min(width, height);
  if (!side || shorter <= above) return [height, width];
  return [height, width].map((each) => Math.max(side, evenly(each * (side / shorter))));
}

// Halves to the even number, as Python rounds.
function evenly(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

// Width and height in which a picture is shown: its own, unless it is more than a canvas or the model can take.
function fitting(bitmap) {
  const [height, width] = atScale(bitmap);
  const works = width * height <= limit();
  return works ? within(bitmap.width, bitmap.height, SHOWN) : within(width, height, limit());
}

function within(width, height, most) {
  const scale = Math.min(1, Math.sqrt(most / (width * height)));
  return [Math.max(1, Math.floor(width * scale)), Math.max(1, Math.floor(height * scale))];
}
