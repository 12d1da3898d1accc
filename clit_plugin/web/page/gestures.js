// What hands and keys do to a View: drag, pinch, click, wheel, double click and the keyboard.

const STILL = 6; // CSS pixels that a click may travel
const TWICE = 250; // ms within which a second click makes a double one

export function listen(view, { picked }) {
  const { canvas } = view;
  const pointers = new Map();
  let travelled = 0;
  let click = 0;

  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { length: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };

  canvas.addEventListener("wheel", (event) => wheel(view, event), { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (!pointers.size) travelled = 0;
    pointers.set(event.pointerId, view.at(event));
    if (pointers.size > 1) travelled = Infinity;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const old = pointers.get(event.pointerId);
    if (!old || !view.picture) return;
    const now = view.at(event);
    const before = pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, now);
    if (pointers.size === 1) {
      travelled += Math.hypot(now.x - old.x, now.y - old.y);
      if (travelled > STILL * view.ratio) view.move(now.x - old.x, now.y - old.y);
    } else if (before) {
      const after = spread();
      view.move(after.x - before.x, after.y - before.y);
      if (before.length > 0) view.setZoom((view.zoom * after.length) / before.length, after);
    }
  });
  const lift = (event) => {
    const known = pointers.delete(event.pointerId);
    if (!known || event.type !== "pointerup" || travelled > STILL * view.ratio || !view.picture) return;
    clearTimeout(click);
    const place = view.placeOf(view.at(event));
    click = setTimeout(() => view.picture && picked(place), TWICE);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("dblclick", (event) => {
    clearTimeout(click);
    view.glide(2, view.at(event));
  });
  document.addEventListener("keydown", (event) => key(view, event, picked));
}

export function wheel(view, event) {
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode === 1 ? 20 : 1);
  const factor = Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0016));
  view.glide(factor, view.at(event)); // with ctrlKey: a touchpad's pinch
}

function key(view, event, picked) {
  if (event.ctrlKey || event.metaKey || event.altKey || !view.picture) return;
  if (event.target.matches("input, select") || event.target.closest("dialog")) return;
  const sliding = event.target.matches("[role=slider]") && /^Arrow(Left|Right)$/.test(event.key);
  if (sliding || (event.key === "Enter" && event.target.matches("button"))) return;
  const step = (event.shiftKey ? 320 : 64) * view.ratio;
  const actions = {
    ArrowLeft: () => view.move(step, 0),
    ArrowRight: () => view.move(-step, 0),
    ArrowUp: () => view.move(0, step),
    ArrowDown: () => view.move(0, -step),
    "+": () => view.glide(1.2),
    "=": () => view.glide(1.2),
    "-": () => view.glide(1 / 1.2),
    0: () => view.fit(),
    1: () => view.setZoom(1),
    Enter: () => picked({ x: view.x, y: view.y }),
  };
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}
