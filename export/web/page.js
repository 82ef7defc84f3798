// The page: what the buttons do, and what is said when.

const byId = (id) => document.getElementById(id);
const [input, output] = [byId("input"), byId("output")];
const NAMES = { webgpu: "WebGPU on the graphics card", wasm: "WASM on the processor" };

let name = "drawing"; // of the picture, for the download
let busy = false;
let again = false; // something has changed during a translation, or before the model was there
let parts; // a promise of what the engine is made of; kept, so that starting it again fetches nothing
let pace = Infinity; // milliseconds a pixel, from the last translation

const tool = () => ({
  colour: pressed("eraser") ? "white" : config.inputs === 1 ? "black" : byId("colour").value,
  width: Number(byId("width").value),
});
const pad = drawing(input, tool, pictureChanged);

function pressed(id) {
  return byId(id).getAttribute("aria-pressed") === "true";
}

function press(button) {
  for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
}

function say(text, bad = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("bad", bad);
}

// What stops the page, or a part of it, in a box at its top.
function problem(title, text, retry = undefined) {
  byId("problem").hidden = false;
  byId("problem").querySelector("h2").textContent = title;
  byId("problem").querySelector("p").textContent = text;
  byId("again").hidden = !retry;
  byId("again").onclick = retry;
}

const duration = (ms) => (ms < 995 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`);
const mega = (bytes) => (bytes / 1e6).toFixed(1);

// The pictures on the stage

// The frame gets the picture's shape; an empty one that of the other picture.
function fit(canvas) {
  const { width, height } = canvas.hidden ? input : canvas;
  canvas.parentElement.style.setProperty("--ratio", width / height);
  canvas.classList.toggle("coarse", canvas.parentElement.clientWidth >= 10 * width); // squares, no longer a blur
}

function sized(id, canvas) {
  byId(id).textContent = `${canvas.width} × ${canvas.height}`;
  fit(canvas);
}

// Another size of picture, another brush: about as thick on the screen as the last one.
function brushFor(side) {
  const brush = byId("width");
  if (brush.dataset.side === String(side)) return;
  brush.dataset.side = side;
  brush.max = Math.max(8, Math.round(side / 8));
  brush.value = Math.max(1, Math.round(side / 40));
}

function pictureChanged() {
  sized("input-size", input);
  byId("undo").disabled = !pad.canUndo();
  byId("redo").disabled = !pad.canRedo();
  brushFor(Math.max(input.width, input.height));
  const empty = isBlank(input);
  byId("empty").hidden = !empty;
  if (output.hidden) fit(output);
  if (empty) unanswered();
  else if (byId("live").checked && pace * input.width * input.height < 3000) translate();
}

function answered(result) {
  fromModel(result, output);
  output.hidden = false;
  byId("waiting").hidden = true;
  sized("output-size", output);
  byId("download").disabled = false;
  byId("view").hidden = false;
  compare();
}

// A blank sheet has no translation worth showing: it divides by its own contrast, of which there is none.
function unanswered() {
  again = false;
  say("");
  output.hidden = true;
  byId("waiting").hidden = false;
  byId("download").disabled = true;
  byId("view").hidden = true;
  look(byId("view").firstElementChild);
}

// Both pictures once more, on top of each other.
function compare() {
  if (byId("stage").dataset.view !== "slider") return;
  for (const [id, source] of [["compare-input", input], ["compare-output", output]]) {
    const copy = onWhite(source, output.width, output.height);
    const canvas = sheet(output.width, output.height, byId(id));
    canvas.getContext("2d", readable).drawImage(copy, 0, 0);
    fit(canvas);
  }
}

function look(button) {
  press(button);
  byId("stage").dataset.view = button.dataset.view;
  for (const canvas of [input, output]) fit(canvas);
  compare();
}

// Pictures come in

async function take(blob, called) {
  try {
    const bitmap = await decode(blob);
    const [width, height] = within(bitmap.width, bitmap.height, limit());
    const large = width !== bitmap.width;
    if (large && !(await agreed(bitmap, width, height))) return say("Nothing was changed.");
    name = called.replace(/\.[^.]*$/, "") || "picture";
    say(large ? `Scaled down to ${width} × ${height}.` : "");
    pad.show(onWhite(bitmap, width, height));
  } catch (error) {
    say(error.message, true);
  }
}

// Asks whether a picture that is too large may be made smaller.
function agreed(bitmap, width, height) {
  byId("large-text").textContent =
    `It has ${bitmap.width} × ${bitmap.height} pixels, and this model can translate about ` +
    `${(limit() / 1e6).toFixed(1)} million at once here. Scaled down it would have ${width} × ${height}.`;
  const dialog = byId("large");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => (dialog.onclose = () => resolve(dialog.returnValue === "yes")));
}

function takeFirst(files) {
  if (files?.length) take(files[0], files[0].name);
}

function blank() {
  name = "drawing";
  pad.show(sheet(config.crop, config.crop));
}

// The model

async function boot() {
  byId("translate").disabled = true;
  byId("problem").hidden = true;
  const progress = byId("progress");
  progress.hidden = false;
  try {
    parts ??= assets((share, had, total) => {
      progress.value = share;
      byId("waiting-text").textContent = had ? `Loading: ${mega(had)} of ${mega(total)} MB` : "Unpacking the model";
    });
    const all = await parts;
    progress.removeAttribute("value");
    byId("waiting-text").textContent = "Starting the model";
    const facts = await engine.load(all, byId("backend").value);
    pace = facts.ms / (config.check.width * config.check.height);
    ready(facts);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!config.single) parts = undefined; // fetched again next time; what was embedded is there only once
    byId("waiting-text").textContent = "The translation would appear here.";
    problem("The model could not be started", `${error.message}.`.replace(/\.\.$/, "."), config.single ? undefined : boot);
  }
  progress.hidden = true;
}

function ready(facts) {
  byId("waiting-text").textContent = "The translation appears here.";
  byId("translate").disabled = false;
  const same = facts.difference <= 1 ? "the same pixels, to 1 of 255" : `up to ${facts.difference} of 255 apart`;
  const threads = facts.backend === "wasm" ? `, ${facts.threads} thread${facts.threads > 1 ? "s" : ""}` : "";
  const told = {
    ...config.facts,
    "Runs on": NAMES[facts.backend] + threads,
    "Against Python": same,
    ...(facts.notes.length ? { Note: facts.notes.join("; ") } : {}),
  };
  byId("facts").replaceChildren(
    ...Object.entries(told).flatMap(([key, value]) => {
      const pair = [document.createElement("dt"), document.createElement("dd")];
      [pair[0].textContent, pair[1].textContent] = [key, value];
      return pair;
    }),
  );
  const first = !document.body.dataset.backend; // later starts follow a failure, which must not come again by itself
  document.body.dataset.backend = facts.backend;
  if (facts.difference > config.check.tolerance)
    problem(
      "The pixels differ from Python's",
      `On a test picture, this browser's translation is up to ${facts.difference} of 255 away from Python's. ` +
        "What you see may be wrong; try another choice of what it runs on, or another browser.",
    );
  if (first) byId("live").checked = pace * config.crop ** 2 < 700;
  const quick = pace * input.width * input.height < 3000;
  if (again || (first && quick && !isBlank(input))) translate(); // the first example, without being asked
}

async function translate() {
  again = busy || !engine.running; // then it is done afterwards
  if (again) return;
  busy = true;
  const [width, height, empty] = [input.width, input.height, isBlank(input)];
  const began = performance.now();
  const clock = setInterval(() => {
    say(`Translating ${width} × ${height}: ${Math.round((performance.now() - began) / 1000)} s`);
    byId("cancel").hidden = false;
  }, 1000);
  document.body.classList.add("busy");
  try {
    const result = await engine.run(toModel(input), height, width);
    if (empty || !isBlank(input)) answered(result); // else it was cleared meanwhile
    if (width * height >= 2 ** 12) pace = result.ms / (width * height); // a small one tells of the start alone
    say([`${width} × ${height} in ${duration(result.ms)}`, NAMES[result.backend], result.note].filter(Boolean).join(" · "));
  } catch (error) {
    if (error.name === "AbortError") say("Cancelled.");
    else failed(error, width, height);
  }
  clearInterval(clock);
  byId("cancel").hidden = true;
  document.body.classList.remove("busy");
  busy = false;
  if (again && engine.running) translate();
}

function failed(error, width, height) {
  say(`${width} × ${height} could not be translated: ${error.message}. A smaller picture may work.`, true);
  restart(); // after a crash inside WebAssembly nothing of it can be used any more
}

function restart() {
  again = false;
  engine.stop();
  return boot();
}

function download() {
  output.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name}_translated.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png");
}

// Wiring

function wire() {
  const on = (id, event, act) => byId(id).addEventListener(event, act);
  on("open", "click", () => byId("file").click());
  on("file", "change", ({ target }) => {
    takeFirst(target.files);
    target.value = ""; // the same file may be chosen again
  });
  for (const id of ["brush", "eraser"]) on(id, "click", () => press(byId(id)));
  on("undo", "click", pad.undo);
  on("redo", "click", pad.redo);
  on("clear", "click", blank);
  on("translate", "click", translate);
  on("cancel", "click", restart);
  on("download", "click", download);
  on("backend", "change", restart);
  on("live", "change", () => byId("live").checked && translate());
  on("split", "input", ({ target }) => target.parentElement.style.setProperty("--split", `${target.value}%`));
  for (const button of byId("view").children) button.addEventListener("click", () => look(button));
  on("licences", "toggle", async () => (byId("notices").textContent ||= await (await asset("notices")).text()));
  addEventListener("resize", () => [input, output].forEach(fit));
  addEventListener("paste", ({ clipboardData }) => takeFirst(clipboardData?.files));
  addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || !["z", "y"].includes(key)) return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) pad.redo();
    else pad.undo();
  });
  const over = (event, shown) => {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault();
    byId("drop").hidden = !shown;
  };
  addEventListener("dragover", (event) => over(event, true));
  addEventListener("dragleave", (event) => event.relatedTarget ?? over(event, false));
  addEventListener("drop", (event) => {
    over(event, false);
    takeFirst(event.dataTransfer?.files);
  });
}

function offer(examples) {
  byId("examples").hidden = examples.length === 0;
  for (const { label, src } of examples) {
    const button = Object.assign(document.createElement("button"), { type: "button", title: label });
    const picture = Object.assign(new Image(), { src, alt: `example ${label}`, loading: "lazy" });
    button.append(picture);
    button.addEventListener("click", async () => {
      await take(await (await fetch(src)).blob(), label);
      byId("after").scrollIntoView({ block: "nearest" });
    });
    byId("examples").lastElementChild.append(button);
  }
}

async function start() {
  const lacks = missing();
  if (lacks.length)
    return problem(
      "This browser cannot run the translator",
      `It lacks ${lacks.join(" and ")}. Any Chrome, Edge, Firefox or Safari since 2023 has all that is needed.`,
    );
  if (location.protocol === "file:" && !config.single)
    return problem(
      "This folder has to be served",
      "Opened from disk, a page may not read the model beside it. Put the folder on any web host, or type " +
        "“python -m http.server” in it and open http://localhost:8000. An export whose name ends in .html is a single file " +
        "that opens from disk.",
    );
  if (!faithful())
    return problem(
      "This browser changes pixels",
      "It protects you by altering the pictures that a page reads back, so every translation would be wrong. " +
        "Allow this page to use canvas data, then load it again.",
    );
  byId("problem").hidden = true;
  byId("app").hidden = false;
  byId("colour").hidden = config.inputs === 1;
  byId("backend").querySelector("[value=webgpu]").disabled = !navigator.gpu;
  wire();
  offer(config.examples);
  const [first] = config.examples;
  if (first) await take(await (await fetch(first.src)).blob(), first.label);
  else blank();
  await boot();
}

start();
