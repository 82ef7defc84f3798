// What the page is made of: embedded in it (base64 of gzip), or lying beside it on a host.

const config = JSON.parse(document.getElementById("config").textContent);
const embedded = (name) => document.getElementById(`asset-${name}`);

// A function of i8x16.splat and i8x16.popcnt: does this WebAssembly know vectors? The runtime is built with them.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

function missing() {
  const needed = {
    WebAssembly: () => typeof WebAssembly === "object",
    "WebAssembly SIMD": () => typeof WebAssembly === "object" && WebAssembly.validate(SIMD),
    DecompressionStream: () => typeof DecompressionStream === "function",
    createImageBitmap: () => typeof createImageBitmap === "function",
    "pointer events": () => typeof PointerEvent === "function",
    dialogs: () => typeof HTMLDialogElement === "function",
  };
  return Object.keys(needed).filter((name) => !needed[name]());
}

async function inflated(blob) {
  const head = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  // A host may have unpacked it on the way (Content-Encoding), so look and do not trust the name.
  if (head[0] !== 0x1f || head[1] !== 0x8b) return blob;
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).blob();
}

async function decoded(element, progress) {
  const text = element.textContent.trim();
  const step = 2 ** 22; // a multiple of 4, so that every piece is whole base64
  const pieces = [];
  for (let at = 0; at < text.length; at += step) {
    pieces.push(Uint8Array.from(atob(text.slice(at, at + step)), (letter) => letter.charCodeAt(0)));
    progress(Math.min(1, (at + step) / text.length));
    await new Promise((resume) => setTimeout(resume)); // the page stays alive
  }
  element.remove(); // megabytes of text that nobody needs any more
  return new Blob(pieces);
}

// The address changes with the content, so what the browser has kept is right, if it is whole and no error page.
function fetched(part, progress) {
  return pull(part, progress, "force-cache").catch(() => pull(part, progress, "reload"));
}

async function pull({ url, bytes, version }, progress, cache) {
  const response = await fetch(`${url}?${version}`, { cache });
  if (!response.ok) throw new Error(`${url}: the server answered ${response.status} ${response.statusText}`.trim());
  const pieces = [];
  let had = 0;
  const reader = response.body.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    pieces.push(piece.value);
    progress(Math.min(1, (had += piece.value.length) / bytes), had);
  }
  // More than announced is a file that was unpacked on the way; less is one that was cut short.
  if (had < bytes) throw new Error(`${url}: got ${had} of ${bytes} bytes; the connection broke, or the upload did`);
  return new Blob(pieces);
}

async function asset(name, progress = () => {}) {
  return inflated(await (embedded(name) ? decoded(embedded(name), progress) : fetched(config.assets[name], progress)));
}

// What the engine starts from, as {name: Blob}; progress(share, bytes so far or undefined, bytes in all)
async function assets(progress) {
  const names = ["runtime", "wasm", "model"];
  const total = names.reduce((sum, each) => sum + config.assets[each].bytes, 0);
  const found = {};
  let before = 0;
  for (const name of names) {
    const { bytes } = config.assets[name];
    found[name] = await asset(name, (share, had) => progress((before + share * bytes) / total, had && before + had, total));
    before += bytes;
  }
  return found;
}

// bytes from base64 of gzip, for the small things in the configuration
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Uint8Array(await (await inflated(new Blob([bytes]))).arrayBuffer());
}
