// The stage: the two pictures, the brush between them, and what is said under them.

const byId = (id) => document.getElementById(id);
const [input, output] = [byId("input"), byId("output")];
const NAMES = { webgpu: "WebGPU on the graphics card", wasm: "WASM on the processor" };

const LINE = 3; // pixels across, of a line in the drawings that models are trained on: in 64 pixels 4, in 128 from 1 to 3

let again = false; // something has changed during a translation, or before the model was there
let pace = Infinity; // milliseconds a pixel that the model works on, from the last translation

const tool = () => ({
  colour: pressed("eraser") ? "white" : config.inputs === 1 ? "black" : byId("colour").value,
  width: Number(byId("width").value),
});
const pad = drawing(input, tool, pictureChanged);

// Milliseconds that the translation of a picture of this size will take, about.
function takes(size) {
  const [height, width] = atScale(size);
  return pace * height * width;
}

// Whether a translation is soon done.
const quick = () => takes(input) < 3000;

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

// Another size of picture, another brush: about as thick on the screen as the last one, and for a model that works at its
// training's scale as thick there as the lines of drawings are.
function brushFor(picture) {
  const brush = byId("width");
  const side = Math.max(picture.width, picture.height);
  if (brush.dataset.side === String(side)) return;
  brush.dataset.side = side;
  brush.max = Math.max(8, Math.round(side / 8));
  const thick = config.scale ? LINE * (picture.height / atScale(picture)[0]) : side / 40;
  brush.value = Math.max(1, Math.round(thick));
}

function pictureChanged() {
  sized("input-size", input);
  byId("undo").disabled = !pad.canUndo();
  byId("redo").disabled = !pad.canRedo();
  brushFor(input);
  const empty = isBlank(input);
  byId("empty").hidden = !empty;
  if (output.hidden) fit(output);
  if (empty) unanswered();
  else if (byId("live").checked && quick()) translate();
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
