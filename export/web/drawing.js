// Drawing on a canvas with a mouse, a pen or a finger; every stroke can be undone.

const STEPS = 50; // how far back undo goes,
const KEPT = 2 ** 28; // and how many bytes it may keep

function drawing(canvas, tool, changed) {
  const context = () => canvas.getContext("2d", readable);
  const past = [];
  const future = [];
  let last; // of the stroke in progress: its last point

  const snapshot = () => context().getImageData(0, 0, canvas.width, canvas.height);

  function remember() {
    past.push(snapshot());
    future.length = 0;
    while (past.length > STEPS || (past.length > 1 && past.length * past.at(-1).data.length > KEPT)) past.shift();
  }

  function restore(image) {
    sheet(image.width, image.height, canvas);
    context().putImageData(image, 0, 0);
    changed();
  }

  function step(from, to) {
    if (from.length === 0) return;
    to.push(snapshot());
    restore(from.pop());
  }

  // Shows another picture; the one before can be had back.
  function show(picture) {
    if (canvas.dataset.shown) remember();
    canvas.dataset.shown = "yes";
    sheet(picture.width, picture.height, canvas);
    context().drawImage(picture, 0, 0);
    changed();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * canvas.width;
    return [x, ((event.clientY - box.top) / box.height) * canvas.height];
  }

  function line([fromX, fromY], [toX, toY]) {
    const pen = context();
    const { colour, width } = tool();
    Object.assign(pen, { strokeStyle: colour, lineWidth: width, lineCap: "round", lineJoin: "round" });
    pen.beginPath();
    pen.moveTo(fromX, fromY);
    pen.lineTo(toX === fromX && toY === fromY ? toX + 1e-3 : toX, toY); // a canvas draws no line of length 0: no dot
    pen.stroke();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || last) return; // one finger draws
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    remember();
    last = { id: event.pointerId, point: place(event) };
    line(last.point, last.point);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== last?.id) return;
    const points = event.getCoalescedEvents?.() ?? [];
    for (const part of points.length ? points : [event]) {
      const point = place(part);
      line(last.point, point);
      last.point = point;
    }
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => {
      if (event.pointerId !== last?.id) return;
      last = undefined;
      changed();
    });

  return {
    show,
    undo: () => step(past, future),
    redo: () => step(future, past),
    canUndo: () => past.length > 0,
    canRedo: () => future.length > 0,
  };
}
