// The page: what the buttons do, from a picture that comes in to a translation that goes out.

let name = "drawing"; // of the picture, for the download
let busy = false;
let parts; // a promise of what the engine is made of; kept, so that starting it again fetches nothing

// Pictures come in

async function take(blob, called) {
  try {
    const bitmap = await decode(blob);
    const [width, height] = fitting(bitmap);
    const large = width * height < bitmap.width * bitmap.height;
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
    `It has ${bitmap.width} × ${bitmap.height} pixels, which is more than this model can translate at once here. ` +
    `Scaled down it would have ${width} × ${height}.`;
  const dialog = byId("large");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => (dialog.onclose = () => resolve(dialog.returnValue === "yes")));
}

function takeFirst(files) {
  if (files?.length) take(files[0], files[0].name);
}

// As large as the pictures of the training, or comfortable to draw on where the model brings it to their scale by itself.
function blank() {
  name = "drawing";
  pad.show(sheet(config.sheet, config.sheet));
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
  if (first) byId("live").checked = takes({ width: config.sheet, height: config.sheet }) < 700;
  if (again || (first && quick() && !isBlank(input))) translate(); // the first example, without being asked
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
    const work = atScale(input);
    const result = await engine.run(work, toModel(input), height, width);
    if (empty || !isBlank(input)) answered(result); // else it was cleared meanwhile
    const worked = work[0] * work[1];
    if (worked >= 2 ** 12) pace = result.ms / worked; // a small one tells of the start alone
    const at = worked === width * height ? "" : `worked at ${work[1]} × ${work[0]}, the scale of the training`;
    const took = `${width} × ${height} in ${duration(performance.now() - began)}`;
    say([took, NAMES[result.backend], at, result.note].filter(Boolean).join(" · "));
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
