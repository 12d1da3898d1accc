// The canvas: a part of the picture at some factor, with a network or bicubic interpolation on each side of the slider.
// Points of the picture are in its own pixels; `at` and `origin` are in canvas pixels.

import { Level } from "./level.js";
import { Tiles } from "./tiles.js";

const SETTLE_DELAY = 130; // ms after the last change of the factor until tiles are requested
const BICUBIC_BUDGET = 10; // ms per frame for bicubic tiles, so that the view stays responsive

export class View {
  // `onChange` is called when factor, position or tiles have changed, `onError` with a message.
  constructor({ canvas, onChange, onError }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.onChange = onChange;
    this.tiles = new Tiles({ onTile: () => this.redraw(), onError });
    this.picture = null;
    this.split = 0.5;
    this.left = -1; // bicubic, or the index of a network
    this.mark = null; // {x, y, boxes} of the attention shown
    this.target = null; // {zoom, at} that a glide approaches
    this.level = null; // the level that is decoded, once the factor has settled
    this.ratio = 1;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  // `picture`: {image, source, width, height, address, maxRequests, maxScale}
  show(picture) {
    this.picture = picture;
    this.tiles.start(picture);
    this.mark = null;
    this.fit();
  }

  get minZoom() {
    return Math.min(1, 0.9 * this.fitZoom);
  }

  get fitZoom() {
    return Math.min(this.canvas.width / this.picture.width, this.canvas.height / this.picture.height);
  }

  get centre() {
    return { x: this.canvas.width / 2, y: this.canvas.height / 2 };
  }

  fit() {
    this.x = this.picture.width / 2;
    this.y = this.picture.height / 2;
    this.setZoom(this.fitZoom);
    this.fitted = true; // until the user moves or zooms
  }

  // `zoom`: canvas pixels per picture pixel; the point `at` stays in place.
  setZoom(zoom, at = this.centre) {
    this.target = null;
    this.zoomTo(zoom, at);
  }

  // Zoom smoothly, over a few frames: one notch of a wheel is a large step.
  glide(factor, at = this.centre) {
    if (!this.picture) return;
    const running = this.target !== null;
    const zoom = this.clampZoom((this.target?.zoom ?? this.zoom) * factor);
    this.target = { zoom, at };
    if (!running) requestAnimationFrame(() => this.glideStep());
  }

  glideStep() {
    if (!this.target || !this.picture) return;
    const { zoom, at } = this.target;
    const ratio = zoom / this.zoom;
    if (Math.abs(Math.log(ratio)) < 0.01) return this.setZoom(zoom, at);
    this.zoomTo(this.zoom * ratio ** 0.4, at);
    requestAnimationFrame(() => this.glideStep());
  }

  clampZoom(zoom) {
    return Math.min(Math.max(zoom, this.minZoom), this.picture.maxScale);
  }

  zoomTo(zoom, at) {
    if (!this.picture || !Number.isFinite(zoom)) return;
    zoom = this.clampZoom(zoom);
    const point = this.toPicture(at);
    this.zoom = zoom;
    this.fitted = false;
    this.x = point.x - (at.x - this.centre.x) / zoom;
    this.y = point.y - (at.y - this.centre.y) / zoom;
    this.clampPosition();
    this.settle();
  }

  move(dx, dy) {
    if (!this.picture) return;
    this.fitted = false;
    this.x -= dx / this.zoom;
    this.y -= dy / this.zoom;
    this.clampPosition();
    this.redraw();
  }

  clampPosition() {
    const limit = (value, n) => Math.min(Math.max(value, 0), n);
    this.x = limit(this.x, this.picture.width);
    this.y = limit(this.y, this.picture.height);
  }

  // The point of the picture at a point of the canvas.
  toPicture(at) {
    const zoom = this.zoom || 1;
    return { x: this.x + (at.x - this.centre.x) / zoom, y: this.y + (at.y - this.centre.y) / zoom };
  }

  // The position of a pointer event on the canvas.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * this.ratio, y: (event.clientY - box.top) * this.ratio };
  }

  // Whether a point of the picture is left of the slider. One pixel of tolerance: the rounded centre counts as right.
  isLeft(point) {
    return this.origin.x + (point.x * this.size.width) / this.picture.width < this.splitX - 1;
  }

  settle() {
    clearTimeout(this.timer);
    this.tiles.broken = false;
    this.settled = false;
    this.tiles.request([]);
    this.timer = setTimeout(() => {
      if (this.target) return; // the end of the glide settles
      this.settled = true;
      this.level = this.tiles.levelOf(this.size) ?? Level.of(this.size, this.origin, this.canvas);
      this.redraw();
    }, SETTLE_DELAY);
    this.redraw();
  }

  // Size of the whole enlarged picture.
  get size() {
    const width = Math.round(this.picture.width * this.zoom);
    const height = Math.round(this.picture.height * this.zoom);
    return { width: Math.max(1, width), height: Math.max(1, height) };
  }

  // Networks only enlarge; at smaller sizes the picture itself is shown.
  get enlarges() {
    return this.size.width >= this.picture.width && this.size.height >= this.picture.height;
  }

  // The column of the slider.
  get splitX() {
    return Math.round(this.split * this.canvas.width);
  }

  // The position of the picture's top left corner on the canvas, in whole pixels.
  get origin() {
    const { width, height } = this.size;
    return {
      x: Math.round(this.centre.x - (this.x * width) / this.picture.width),
      y: Math.round(this.centre.y - (this.y * height) / this.picture.height),
    };
  }

  // {x, y, w, h} of the part of the enlarged picture that is on the canvas.
  get visible() {
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
    const { context, canvas, splitX, size, origin } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.deadline = performance.now() + BICUBIC_BUDGET;
    this.unfinished = false;
    this.drawSide(this.left, 0, splitX);
    this.drawSide(0, splitX, canvas.width);
    if (this.mark) this.drawMark();
    if (this.settled) this.requestTiles();
    canvas.dataset.size = `${size.width}x${size.height}`;
    canvas.dataset.origin = `${origin.x},${origin.y}`;
    if (this.unfinished) this.redraw();
    else canvas.dataset.state = this.settled && !this.tiles.missing ? "done" : "working";
    this.onChange();
  }

  // Draw the columns `from` to `to`: the picture resized by the browser, over it bicubic tiles, over them the network's
  // tiles of similar sizes and, last, of this one.
  drawSide(lens, from, to) {
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
      const boxes = this.settled ? this.visibleTiles(level, from, to) : [];
      for (const box of boxes) {
        if (lens < 0 || !this.tiles.has(lens, level, box)) this.drawBicubic(level, box);
      }
      for (const other of this.tiles.levels(lens, size)) {
        for (const box of this.visibleTiles(other, from, to)) this.drawTile(lens, other, box);
      }
    }
    context.restore();
  }

  drawBicubic(level, box) {
    if (!this.tiles.has(-1, level, box)) {
      if (performance.now() > this.deadline) {
        this.unfinished = true;
        return;
      }
      this.tiles.interpolate(level, box);
    }
    this.drawTile(-1, level, box);
  }

  // Draw a tile if it is cached, edges on whole pixels. Clearing first hides what lies below transparent pixels.
  drawTile(lens, level, box) {
    const tile = this.tiles.get(lens, level, box);
    if (!tile) return;
    const { x, y } = this.origin;
    const sx = this.size.width / level.width;
    const sy = this.size.height / level.height;
    const left = Math.round(x + box.x * sx);
    const top = Math.round(y + box.y * sy);
    const width = Math.round(x + (box.x + tile.width) * sx) - left;
    const height = Math.round(y + (box.y + tile.height) * sy) - top;
    this.context.clearRect(left, top, width, height);
    this.context.drawImage(tile, left, top, width, height);
  }

  // Boxes of the tiles of a level that are visible between two columns of the canvas, from its centre outwards.
  visibleTiles(level, from, to) {
    const { x, y } = this.origin;
    const sx = level.width / this.size.width;
    const sy = level.height / this.size.height;
    const centre = { x: (this.centre.x - x) * sx, y: (this.centre.y - y) * sy };
    const distance = (box) => Math.hypot(box.x + box.w / 2 - centre.x, box.y + box.h / 2 - centre.y);
    const boxes = level.tiles((from - x) * sx, -y * sy, (to - x) * sx, (this.canvas.height - y) * sy);
    return boxes.sort((a, b) => distance(a) - distance(b));
  }

  requestTiles() {
    if (!this.enlarges) return this.tiles.request([]);
    const { level, splitX } = this;
    const wanted = [];
    for (const [lens, from, to] of [[0, splitX, this.canvas.width], [this.left, 0, splitX]]) {
      if (lens < 0 || to <= from) continue;
      wanted.push(...this.visibleTiles(level, from, to).map((box) => ({ lens, level, box })));
    }
    this.tiles.request(wanted, this.visible);
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
