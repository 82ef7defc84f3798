// The page's side of the engine: starts it, asks it, and can throw it away in the middle of its work.

const engine = {
  facts: undefined, // what loading has told: backend, difference, ms, notes
  worker: undefined,
  waiting: new Map(),
  count: 0, // of messages
  starts: 0,

  ask(call, rest = {}, moved = []) {
    return new Promise((resolve, reject) => {
      const id = ++this.count;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, call, ...rest }, moved);
    });
  },

  hear({ id, result, error }) {
    const { resolve, reject } = this.waiting.get(id) ?? {};
    this.waiting.delete(id);
    if (error !== undefined) reject?.(new Error(error));
    else resolve?.(result);
  },

  // parts: {runtime, wasm, model}, Blobs. wanted: auto, webgpu or wasm
  async load(parts, wanted) {
    this.stop();
    const start = ++this.starts;
    const source = document.getElementById("engine").textContent;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const made = await worker(url, this).catch(() => inPage(url, this));
    const { check } = config;
    const pictures = { input: await unpacked(check.input), output: await unpacked(check.output) };
    if (start !== this.starts) {
      made.terminate();
      throw stopped();
    }
    this.worker = made;
    this.facts = await this.ask("load", { ...parts, wanted, check: { ...check, ...pictures } });
    if (!(made instanceof Worker)) this.facts.notes.push("no worker could be started: the page stands still meanwhile");
    return this.facts;
  },

  // work: [height, width] that the model works at
  run(work, pixels, height, width) {
    return this.ask("run", { work, pixels, height, width }, [pixels.buffer]);
  },

  get running() {
    return this.worker !== undefined && this.facts !== undefined;
  },

  stop(why = stopped()) {
    this.starts++;
    this.worker?.terminate();
    this.worker = this.facts = undefined;
    for (const { reject } of this.waiting.values()) reject(why);
    this.waiting.clear();
  },
};

const stopped = () => new DOMException("stopped", "AbortError");

function worker(url, owner) {
  return new Promise((resolve, reject) => {
    const made = new Worker(url);
    made.onmessage = ({ data }) => (data.ready ? resolve(made) : owner.hear(data));
    made.onerror = (event) => {
      reject(new Error(event.message)); // before it was ready: it cannot start
      if (made === owner.worker) owner.stop(new Error(event.message || "the worker broke down"));
    };
  });
}

// The same engine without a thread of its own: the page stands still while it works, but it works.
async function inPage(url, owner) {
  await import(url);
  return { postMessage: (message) => self.answerInPage(message, (reply) => owner.hear(reply)), terminate() {} };
}
