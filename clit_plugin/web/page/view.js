// What the canvas shows: a place of the picture at a factor, in two layers side by side.

import { Level } from "./level.js";
import { Tiles } from "./tiles.js";

const SETTLED = 130; // ms without another factor, after which it is decoded
const MAKING = 10; // ms a frame for bicubic tiles, so that hands are followed meanwhile

export class View {
  // `moved` is called when factor, place or tiles changed; `failed` with a line.
  constructor({ canvas, moved, failed }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.moved = moved;
    this.tiles = new Tiles({ changed: () => this.redraw(), failed });
    this.picture = null;
    this.split = 0.5;
    this.left = -1; // bicubic; else the number of a network
    this.mark = null;
    this.goal = null;
    this.level = null; // the size that is decoded, once it is settled
    this.ratio = 1;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  // `picture`: {image, source, width, height, address, atOnce, mostScale}
  show(picture) {
    this.picture = picture;
    this.tiles.start(picture);
    this.mark = null;
    this.fit();
  }

  get least() {
    return Math.min(1, 0.9 * this.fitting);
  }

  get fitting() {
    return Math.min(this.canvas.width / this.picture.width, this.canvas.height / this.picture.height);
  }

  get centre() {
    return { x: this.canvas.width / 2, y: this.canvas.height / 2 };
  }

  fit() {
    this.x = this.picture.width / 2;
    this.y = this.picture.height / 2;
    this.setZoom(this.fitting);
    this.fitted = true; // until it is moved
  }

  // Canvas pixels a picture pixel; `at` stays where it is, in canvas pixels.
  setZoom(zoom, at = this.centre) {
    this.goal = null;
    this.zoomTo(zoom, at);
  }

  // Reach another factor within a few frames, as a notch of a wheel is a large step.
  glide(factor, at = this.centre) {
    if (!this.picture) return;
    const running = this.goal !== null;
    const zoom = this.bounded((this.goal?.zoom ?? this.zoom) * factor);
    this.goal = { zoom, at };
    if (!running) requestAnimationFrame(() => this.glideOn());
  }

  glideOn() {
    if (!this.goal || !this.picture) return;
    const { zoom, at } = this.goal;
    const ratio = zoom / this.zoom;
    if (Math.abs(Math.log(ratio)) < 0.01) return this.setZoom(zoom, at);
    this.zoomTo(this.zoom * ratio ** 0.4, at);
    requestAnimationFrame(() => this.glideOn());
  }

  bounded(zoom) {
    return Math.min(Math.max(zoom, this.least), this.picture.mostScale);
  }

  zoomTo(zoom, at) {
    if (!this.picture || !Number.isFinite(zoom)) return;
    zoom = this.bounded(zoom);
    const place = this.placeOf(at);
    this.zoom = zoom;
    this.fitted = false;
    this.x = place.x - (at.x - this.centre.x) / zoom;
    this.y = place.y - (at.y - this.centre.y) / zoom;
    this.clamp();
    this.settle();
  }

  move(dx, dy) {
    if (!this.picture) return;
    this.fitted = false;
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
    return { x: this.x + (at.x - this.centre.x) / zoom, y: this.y + (at.y - this.centre.y) / zoom };
  }

  // Where on the canvas a pointer is, in its pixels.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * this.ratio, y: (event.clientY - box.top) * this.ratio };
  }

  // Whether a place of the picture lies left of the slider; the view's centre, which is rounded, does not lie left of it.
  isLeft(place) {
    return this.origin.x + (place.x * this.size.width) / this.picture.width < this.middle - 1;
  }

  settle() {
    clearTimeout(this.timer);
    this.tiles.broken = false;
    this.settled = false;
    this.tiles.want([]);
    this.timer = setTimeout(() => {
      if (this.goal) return; // its end settles
      this.settled = true;
      const seen = { width: this.canvas.width, height: this.canvas.height };
      this.level = this.tiles.levelOf(this.size) ?? Level.of(this.size, this.origin, seen);
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

  get middle() {
    return Math.round(this.split * this.canvas.width);
  }

  // Where the picture's first pixel lies on the canvas, on whole pixels.
  get origin() {
    const { width, height } = this.size;
    return {
      x: Math.round(this.centre.x - (this.x * width) / this.picture.width),
      y: Math.round(this.centre.y - (this.y * height) / this.picture.height),
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
    if (this.picture && this.fitted) this.fit();
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
    const { context, canvas, middle, size, origin } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.deadline = performance.now() + MAKING;
    this.unfinished = false;
    this.layer(this.left, 0, middle);
    this.layer(0, middle, canvas.width);
    if (this.mark) this.drawMark();
    if (this.settled) this.ask();
    canvas.dataset.size = `${size.width}x${size.height}`;
    canvas.dataset.origin = `${origin.x},${origin.y}`;
    if (this.unfinished) this.redraw();
    else canvas.dataset.state = this.settled && !this.tiles.missing ? "done" : "working";
    this.moved();
  }

  // From below: the picture as the browser enlarges it, bicubic tiles, the network's, at this size last.
  layer(lens, from, to) {
    const { context, size, level } = this;
    const { x, y } = this.origin;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, this.canvas.height);
    context.clip();
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture.image, x, y, size.width, size.height);
    if (this.enlarges) {
      const places = this.settled ? this.placesOf(level, from, to) : [];
      for (const place of places) {
        if (lens < 0 || !this.tiles.has(lens, level, place)) this.drawBicubic(level, place);
      }
      for (const other of this.tiles.levels(lens, size)) {
        for (const place of this.placesOf(other, from, to)) this.drawTile(lens, other, place);
      }
    }
    context.restore();
  }

  drawBicubic(level, place) {
    if (!this.tiles.has(-1, level, place)) {
      if (performance.now() > this.deadline) {
        this.unfinished = true;
        return;
      }
      this.tiles.make(level, place);
    }
    this.drawTile(-1, level, place);
  }

  // A tile, if it is there, with its edges on whole pixels. What lies below must not shine through transparent ones.
  drawTile(lens, level, place) {
    const tile = this.tiles.get(lens, level, place);
    if (!tile) return;
    const { x, y } = this.origin;
    const sx = this.size.width / level.width;
    const sy = this.size.height / level.height;
    const left = Math.round(x + place.x * sx);
    const top = Math.round(y + place.y * sy);
    const width = Math.round(x + (place.x + tile.width) * sx) - left;
    const height = Math.round(y + (place.y + tile.height) * sy) - top;
    this.context.clearRect(left, top, width, height);
    this.context.drawImage(tile, left, top, width, height);
  }

  // The tiles of a level that are seen between two columns of the canvas, the nearest to its centre first.
  placesOf(level, from, to) {
    const { x, y } = this.origin;
    const sx = level.width / this.size.width;
    const sy = level.height / this.size.height;
    const centre = { x: (this.centre.x - x) * sx, y: (this.centre.y - y) * sy };
    const distance = (place) => Math.hypot(place.x + place.w / 2 - centre.x, place.y + place.h / 2 - centre.y);
    const places = level.tiles((from - x) * sx, -y * sy, (to - x) * sx, (this.canvas.height - y) * sy);
    return places.sort((a, b) => distance(a) - distance(b));
  }

  ask() {
    if (!this.enlarges) return this.tiles.want([]);
    const { level, middle } = this;
    const wanted = [];
    for (const [lens, from, to] of [[0, middle, this.canvas.width], [this.left, 0, middle]]) {
      if (lens < 0 || to <= from) continue;
      wanted.push(...this.placesOf(level, from, to).map((place) => ({ lens, level, place })));
    }
    this.tiles.want(wanted, this.seen);
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
}
