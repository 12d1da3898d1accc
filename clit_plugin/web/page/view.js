// What the canvas shows: a place of the picture at a factor, two layers side by side, and how hands and keys move it.

import { TILE, Tiles } from "./tiles.js";

const SETTLED = 130; // ms without another factor, after which it is decoded

export class View {
  // `moved` is called when factor, place or tiles changed; `picked` with a click's place in the picture.
  constructor({ canvas, moved, picked, failed }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.moved = moved;
    this.picked = picked;
    this.tiles = new Tiles({ changed: () => this.redraw(), failed });
    this.picture = null;
    this.split = 0.5;
    this.left = -1; // bicubic; else the number of a network
    this.mark = null;
    this.levels = [];
    this.ratio = 1;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  // `picture`: {image, source, width, height, address, mostScale}
  show(picture) {
    this.picture = picture;
    this.tiles.start(picture.address, picture.source);
    this.levels = [];
    this.mark = null;
    this.fit();
  }

  get least() {
    return Math.min(1, 0.9 * this.fitting);
  }

  get fitting() {
    return Math.min(this.canvas.width / this.picture.width, this.canvas.height / this.picture.height);
  }

  fit() {
    this.x = this.picture.width / 2;
    this.y = this.picture.height / 2;
    this.setZoom(this.fitting);
  }

  // Canvas pixels a picture pixel; `at` stays where it is, in canvas pixels.
  setZoom(zoom, at = { x: this.canvas.width / 2, y: this.canvas.height / 2 }) {
    if (!this.picture || !Number.isFinite(zoom)) return;
    zoom = Math.min(Math.max(zoom, this.least), this.picture.mostScale);
    const place = this.placeOf(at);
    this.zoom = zoom;
    this.x = place.x - (at.x - this.canvas.width / 2) / zoom;
    this.y = place.y - (at.y - this.canvas.height / 2) / zoom;
    this.clamp();
    this.settle();
  }

  move(dx, dy) {
    if (!this.picture) return;
    this.x -= dx / this.zoom;
    this.y -= dy / this.zoom;
    this.clamp();
    this.redraw();
  }

  clamp() {
    const limit = (value, n) => Math.min(Math.max(value, 0), n);
    this.x = limit(this.x, this.picture.width);
    this.y = limit(this.y, this.picture.height);
  }

  placeOf(at) {
    const zoom = this.zoom || 1;
    return {
      x: this.x + (at.x - this.canvas.width / 2) / zoom,
      y: this.y + (at.y - this.canvas.height / 2) / zoom,
    };
  }

  settle() {
    clearTimeout(this.timer);
    this.tiles.broken = false;
    this.settled = false;
    this.tiles.want([]);
    this.timer = setTimeout(() => {
      this.settled = true;
      const size = this.size;
      const [latest] = this.levels;
      if (!latest || latest.width !== size.width || latest.height !== size.height) {
        this.levels = [size, ...this.levels].slice(0, 3);
      }
      this.redraw();
    }, SETTLED);
    this.redraw();
  }

  // Of the whole enlarged picture; a network only enlarges.
  get size() {
    const width = Math.round(this.picture.width * this.zoom);
    const height = Math.round(this.picture.height * this.zoom);
    return { width: Math.max(1, width), height: Math.max(1, height) };
  }

  get enlarges() {
    return this.size.width >= this.picture.width && this.size.height >= this.picture.height;
  }

  // Where the picture's first pixel lies on the canvas, on whole pixels.
  get origin() {
    const { width, height } = this.size;
    return {
      x: Math.round(this.canvas.width / 2 - (this.x * width) / this.picture.width),
      y: Math.round(this.canvas.height / 2 - (this.y * height) / this.picture.height),
    };
  }

  // The part of the enlarged picture that is seen.
  get seen() {
    const { x, y } = this.origin;
    const { width, height } = this.size;
    const left = Math.max(0, -x);
    const top = Math.max(0, -y);
    return {
      x: left,
      y: top,
      w: Math.max(1, Math.min(width, this.canvas.width - x) - left),
      h: Math.max(1, Math.min(height, this.canvas.height - y) - top),
    };
  }

  resize() {
    this.ratio = window.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width * this.ratio));
    const height = Math.max(1, Math.round(box.height * this.ratio));
    if (width === this.canvas.width && height === this.canvas.height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.redraw();
  }

  redraw() {
    this.canvas.dataset.state = "working";
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      if (this.picture) this.draw();
    });
  }

  draw() {
    const { context, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const middle = Math.round(this.split * canvas.width);
    this.layer(this.left, 0, middle);
    this.layer(0, middle, canvas.width);
    if (this.mark) this.drawMark();
    if (this.settled) this.ask(middle);
    const size = this.size;
    canvas.dataset.size = `${size.width}x${size.height}`;
    canvas.dataset.origin = `${this.origin.x},${this.origin.y}`;
    canvas.dataset.state = this.settled && !this.tiles.missing ? "done" : "working";
    this.moved();
  }

  // From below: the picture as the browser enlarges it, bicubic tiles, the network's at earlier sizes, those of this.
  layer(lens, from, to) {
    const { context } = this;
    const size = this.size;
    const { x, y } = this.origin;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, this.canvas.height);
    context.clip();
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture.image, x, y, size.width, size.height);
    if (this.enlarges && this.settled) this.drawTiles(-1, size, from, to, true);
    if (lens >= 0 && this.enlarges) {
      for (const level of [...this.levels].reverse()) {
        const ratio = level.width / size.width;
        if (ratio > 0.4 && ratio < 2.5) this.drawTiles(lens, level, from, to, false);
      }
    }
    context.restore();
  }

  drawTiles(lens, level, from, to, make) {
    const size = this.size;
    const exact = level.width === size.width && level.height === size.height;
    const { x, y } = this.origin;
    const sx = size.width / level.width;
    const sy = size.height / level.height;
    for (const place of this.placesOf(level, from, to)) {
      if (!make && !this.tiles.kept.has(Tiles.key(lens, level, place.x, place.y))) continue;
      const tile = this.tiles.get(lens, level, place.x, place.y);
      if (exact) this.replace(tile, x + place.x, y + place.y);
      else this.context.drawImage(tile, x + place.x * sx, y + place.y * sy, tile.width * sx, tile.height * sy);
    }
  }

  // Transparent pixels of what lies below must not shine through.
  replace(tile, x, y) {
    this.context.clearRect(x, y, tile.width, tile.height);
    this.context.drawImage(tile, x, y);
  }

  // Corners of the tiles of a level that are seen between two columns of the canvas, the nearest to its centre first.
  placesOf(level, from, to) {
    const { x, y } = this.origin;
    const sx = level.width / this.size.width;
    const sy = level.height / this.size.height;
    const range = (low, high, n) => [Math.max(0, Math.floor(low / TILE)), Math.min(Math.ceil(n / TILE), Math.ceil(high / TILE))];
    const [left, right] = range((from - x) * sx, (to - x) * sx, level.width);
    const [top, bottom] = range(-y * sy, (this.canvas.height - y) * sy, level.height);
    const centre = { x: (this.canvas.width / 2 - x) * sx, y: (this.canvas.height / 2 - y) * sy };
    const places = [];
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) places.push({ x: column * TILE, y: row * TILE });
    }
    const distance = (place) => Math.hypot(place.x + TILE / 2 - centre.x, place.y + TILE / 2 - centre.y);
    return places.sort((a, b) => distance(a) - distance(b));
  }

  ask(middle) {
    if (!this.enlarges) return this.tiles.want([]);
    const size = this.size;
    const wanted = [];
    for (const [lens, from, to] of [[0, middle, this.canvas.width], [this.left, 0, middle]]) {
      if (lens < 0 || to <= from) continue;
      wanted.push(...this.placesOf(size, from, to).map((place) => ({ lens, size, ...place })));
    }
    this.tiles.want(wanted);
  }

  drawMark() {
    const { x, y } = this.origin;
    const sx = this.size.width / this.picture.width;
    const sy = this.size.height / this.picture.height;
    const { context, mark, ratio } = this;
    context.save();
    context.lineWidth = 1.5 * ratio;
    context.strokeStyle = "#ff3030";
    for (const box of mark.boxes) context.strokeRect(x + box.x * sx, y + box.y * sy, box.w * sx, box.h * sy);
    context.strokeStyle = "#00e5ff";
    const at = { x: x + mark.x * sx, y: y + mark.y * sy };
    context.beginPath();
    context.moveTo(at.x - 6 * ratio, at.y);
    context.lineTo(at.x + 6 * ratio, at.y);
    context.moveTo(at.x, at.y - 6 * ratio);
    context.lineTo(at.x, at.y + 6 * ratio);
    context.stroke();
    context.restore();
  }

  listen() {
    const { canvas } = this;
    const pointers = new Map();
    let travelled = 0;
    const at = (event) => this.at(event);
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return { length: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    };
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (!pointers.size) travelled = 0;
      pointers.set(event.pointerId, at(event));
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const old = pointers.get(event.pointerId);
      if (!old || !this.picture) return;
      const now = at(event);
      if (pointers.size === 1) {
        travelled += Math.hypot(now.x - old.x, now.y - old.y);
        pointers.set(event.pointerId, now);
        if (travelled > 4 * this.ratio) this.move(now.x - old.x, now.y - old.y);
      } else if (pointers.size === 2) {
        travelled = Infinity;
        const before = spread();
        pointers.set(event.pointerId, now);
        const after = spread();
        this.move(after.x - before.x, after.y - before.y);
        if (before.length > 0) this.setZoom((this.zoom * after.length) / before.length, after);
      }
    });
    const lift = (event) => {
      const known = pointers.delete(event.pointerId);
      if (known && event.type === "pointerup" && travelled <= 4 * this.ratio && this.picture) {
        this.picked(this.placeOf(at(event)));
      }
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("dblclick", (event) => this.setZoom(this.zoom * 2, at(event)));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // Where on the canvas a pointer is, in its pixels.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * this.ratio, y: (event.clientY - box.top) * this.ratio };
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 20 : 1);
    this.setZoom(this.zoom * Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0016)), this.at(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.picture) return;
    const step = (event.shiftKey ? 320 : 64) * this.ratio;
    const actions = {
      ArrowLeft: () => this.move(step, 0),
      ArrowRight: () => this.move(-step, 0),
      ArrowUp: () => this.move(0, step),
      ArrowDown: () => this.move(0, -step),
      "+": () => this.setZoom(this.zoom * 1.2),
      "=": () => this.setZoom(this.zoom * 1.2),
      "-": () => this.setZoom(this.zoom / 1.2),
      0: () => this.fit(),
      1: () => this.setZoom(1),
      Enter: () => this.picked({ x: this.x, y: this.y }),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }
}
