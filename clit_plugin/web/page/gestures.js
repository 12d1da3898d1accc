// Input for a View: drag, pinch, wheel, click, double click and keyboard.

const CLICK_SLOP = 6; // CSS pixels that the pointer may move during a click
const DOUBLE_CLICK = 250; // ms to wait for a second click before a single one counts

// `onPick` is called with the point of the picture that was clicked.
export function listen(view, { onPick }) {
  const { canvas } = view;
  const pointers = new Map();
  let travelled = 0;
  let clickTimer = 0;

  const pinch = () => {
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
    const before = pointers.size === 2 ? pinch() : null;
    pointers.set(event.pointerId, now);
    if (pointers.size === 1) {
      travelled += Math.hypot(now.x - old.x, now.y - old.y);
      if (travelled > CLICK_SLOP * view.ratio) view.move(now.x - old.x, now.y - old.y);
    } else if (before) {
      const after = pinch();
      view.move(after.x - before.x, after.y - before.y);
      if (before.length > 0) view.setZoom((view.zoom * after.length) / before.length, after);
    }
  });
  const release = (event) => {
    const known = pointers.delete(event.pointerId);
    if (!known || event.type !== "pointerup" || travelled > CLICK_SLOP * view.ratio || !view.picture) return;
    clearTimeout(clickTimer);
    const point = view.toPicture(view.at(event));
    clickTimer = setTimeout(() => view.picture && onPick(point), DOUBLE_CLICK);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("dblclick", (event) => {
    clearTimeout(clickTimer);
    view.glide(2, view.at(event));
  });
  document.addEventListener("keydown", (event) => key(view, event, onPick));
}

export function wheel(view, event) {
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode === 1 ? 20 : 1);
  const factor = Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0016)); // ctrlKey: a touchpad's pinch
  view.glide(factor, view.at(event));
}

function key(view, event, onPick) {
  if (event.ctrlKey || event.metaKey || event.altKey || !view.picture) return;
  if (event.target.matches("input:not([type=range]), select") || event.target.closest("dialog")) return;
  const sliding = event.target.matches("[role=slider], [type=range]") && event.key.startsWith("Arrow");
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
    Enter: () => onPick({ x: view.x, y: view.y }),
  };
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}
