// The model and its runtime, in a Web Worker, or in the page itself where a worker cannot start.
// A message {id, call, ...arguments} is answered by {id, result} or {id, error}.
// No module: in a page from disk, browsers start only plain scripts as workers. These may still import what they hold.

let ort, weights, session, backend;

async function open(provider) {
  await session?.release();
  session = undefined;
  session = await ort.InferenceSession.create(weights, { executionProviders: [provider], logSeverityLevel: 3 });
  backend = provider;
}

// pixels: height width channels, uint8, in rows → the same layout
async function translate(pixels, height, width) {
  const picture = new ort.Tensor("uint8", pixels, [1, height, width, pixels.length / (height * width)]);
  const began = performance.now();
  const answers = await session.run({ [session.inputNames[0]]: picture });
  const { data, dims } = answers[session.outputNames[0]];
  return { pixels: new Uint8Array(data), height: dims[1], width: dims[2], ms: performance.now() - began };
}

// A picture of [height, width] is brought to the size to work at, and the answer back to its own.
async function translateAt(work, pixels, height, width) {
  const made = await translate(resized(pixels, [height, width], work), ...work);
  return { ...made, pixels: resized(made.pixels, work, [height, width]), height, width };
}

// The page brings one small picture with the translation that Python made of it: the largest difference, 0 to 255.
async function selfCheck({ input, output, height, width }) {
  let made = await translate(input, height, width);
  if (made.ms < 2000) made = await translate(input, height, width); // the first one also compiles shaders
  if (made.pixels.length !== output.length) throw new Error("the model gives a picture of another size");
  const difference = output.reduce((most, value, i) => Math.max(most, Math.abs(value - made.pixels[i])), 0);
  return { difference, ms: made.ms };
}

// A graphics card, that is: WebGPU in software is slower than WebAssembly, and taken only when it is asked for.
async function canUse(provider, wanted) {
  if (provider !== "webgpu") return true;
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && (wanted === "webgpu" || !adapter.info?.isFallbackAdapter);
}

const calls = {
  // runtime, wasm, model: Blobs. wanted: auto, webgpu or wasm. Threads need a page that is isolated from other origins.
  async load({ runtime, wasm, model, wanted, check }) {
    ort = await import(URL.createObjectURL(new Blob([runtime], { type: "text/javascript" })));
    ort.env.wasm.wasmBinary = await wasm.arrayBuffer();
    ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
    ort.env.logLevel = "error";
    weights = new Uint8Array(await model.arrayBuffer());
    const notes = [];
    for (const provider of wanted === "auto" ? ["webgpu", "wasm"] : [wanted]) {
      if (!(await canUse(provider, wanted))) {
        notes.push("here is no graphics card with WebGPU");
        continue;
      }
      try {
        await open(provider);
        const { difference, ms } = await selfCheck(check);
        const off = difference > check.tolerance && provider === "webgpu" && wanted === "auto";
        if (!off) return { backend, difference, ms, notes, threads: ort.env.wasm.numThreads };
        notes.push(`WebGPU gave other pixels than Python, by up to ${difference} of 255`);
      } catch (error) {
        notes.push(`${provider === "wasm" ? "WASM" : "WebGPU"}: ${words(error)}`);
      }
    }
    throw new Error(notes.at(-1));
  },

  async run({ work, pixels, height, width }) {
    if (backend !== "webgpu") return { ...(await translateAt(work, pixels, height, width)), backend };
    try {
      return { ...(await translateAt(work, pixels, height, width)), backend };
    } catch (error) {
      // A graphics card has less memory than the processor, and can be taken away.
      await open("wasm");
      return { ...(await translateAt(work, pixels, height, width)), backend, note: `WebGPU failed: ${words(error)}` };
    }
  },
};

// A crash inside WebAssembly arrives as a bare number, or as no more than "abort".
function words(error) {
  if (typeof error === "number" || /bad_alloc|out of memory|memory access|Aborted/i.test(String(error?.message)))
    return "there was not enough memory";
  return error?.message || String(error);
}

async function answer({ id, call, ...rest }, reply) {
  try {
    const result = await calls[call](rest);
    reply({ id, result }, result.pixels ? [result.pixels.buffer] : []);
  } catch (error) {
    reply({ id, error: words(error) }, []);
  }
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = ({ data }) => answer(data, (message, moved) => self.postMessage(message, moved));
  self.postMessage({ ready: true });
} else {
  self.answerInPage = answer;
}
