// Tiles of the picture at some size: those that are seen are asked for, the nearest to the centre first; what is no
// longer seen is dropped, and what was used last is kept.

import { fetchGood } from "./ask.js";
import { bicubic } from "./bicubic.js";

const KEPT = 600; // tiles, about 160 MB

export class Tiles {
  // `changed` is called when a tile has come, `failed` with a line.
  constructor({ changed, failed }) {
    this.changed = changed;
    this.failed = failed;
    this.kept = new Map(); // {lens, level, image} by key, those used last at the end
    this.running = new Map();
    this.wanted = [];
    this.begun = this.milliseconds = 0;
    this.broken = false; // after a failure nothing is asked for until the view is moved to another factor
  }

  // `source`: ImageData of the picture; `address`: where its tiles are, of which `atOnce` are asked for at a time.
  start({ address, source, atOnce }) {
    this.stop();
    for (const { image } of this.kept.values()) image.close();
    this.kept.clear();
    this.address = address;
    this.source = source;
    this.atOnce = atOnce;
    this.broken = false;
  }

  stop() {
    this.wanted = [];
    for (const abort of this.running.values()) abort.abort();
    this.running.clear();
  }

  static key(lens, level, { x, y, w, h }) {
    return `${lens} ${level.name} ${x} ${y} ${w} ${h}`;
  }

  has(lens, level, place) {
    return this.kept.has(Tiles.key(lens, level, place));
  }

  // The image of a tile, or undefined.
  get(lens, level, place) {
    const key = Tiles.key(lens, level, place);
    const tile = this.kept.get(key);
    if (tile) this.keep(key, tile);
    return tile?.image;
  }

  // The bicubic tile, made here.
  make(level, place) {
    const canvas = new OffscreenCanvas(place.w, place.h);
    const pixels = bicubic(this.source, level.width, level.height, place.x, place.y, place.w, place.h);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    this.keep(Tiles.key(-1, level, place), { lens: -1, level, image: canvas.transferToImageBitmap() });
  }

  // The level of a size that tiles are there of, so that they serve again.
  levelOf(size) {
    for (const { level } of this.kept.values()) {
      if (level.width === size.width && level.height === size.height) return level;
    }
    return null;
  }

  // The three levels nearest to a size that a network's tiles are there of, the nearest last.
  levels(lens, size) {
    if (lens < 0) return [];
    const found = new Map();
    for (const tile of this.kept.values()) {
      if (tile.lens === lens) found.set(tile.level.name, tile.level);
    }
    const distance = (level) => Math.abs(Math.log(level.width / size.width));
    const near = [...found.values()].filter((level) => distance(level) < Math.log(2.5));
    return near.sort((a, b) => distance(b) - distance(a)).slice(-3);
  }

  keep(key, tile) {
    this.kept.delete(key);
    this.kept.set(key, tile);
    const most = Math.max(KEPT, 4 * this.wanted.length); // of a screen of any size
    while (this.kept.size > most) {
      const [oldest, { image }] = this.kept.entries().next().value;
      image.close();
      this.kept.delete(oldest);
    }
  }

  // Ask for these tiles, {lens, level, place}, in this order, and for nothing else. `seen`: what the view shows of them.
  want(tiles, seen) {
    if (this.broken) tiles = [];
    this.wanted = tiles.filter((tile) => !this.has(tile.lens, tile.level, tile.place));
    const keys = new Set(this.wanted.map((tile) => Tiles.key(tile.lens, tile.level, tile.place)));
    for (const [key, abort] of this.running) {
      if (!keys.has(key)) {
        abort.abort();
        this.running.delete(key);
      }
    }
    if (this.wanted.length && !this.running.size) this.begun = performance.now();
    this.seen = seen;
    this.pump();
  }

  get missing() {
    return this.wanted.length;
  }

  pump() {
    for (const tile of this.wanted) {
      if (this.running.size >= this.atOnce) return;
      const key = Tiles.key(tile.lens, tile.level, tile.place);
      if (!this.running.has(key)) this.fetch(key, tile);
    }
  }

  async fetch(key, { lens, level, place }) {
    const abort = new AbortController();
    this.running.set(key, abort);
    const { x, y, w, h } = this.seen;
    const query = new URLSearchParams({ lens, width: level.width, height: level.height, ...place, seen: [x, y, w, h] });
    try {
      const response = await fetchGood(`${this.address}/tile?${query}`, { signal: abort.signal });
      const image = await createImageBitmap(await response.blob());
      if (abort.signal.aborted) return image.close();
      this.milliseconds = performance.now() - this.begun;
      this.keep(key, { lens, level, image });
      this.wanted = this.wanted.filter((tile) => Tiles.key(tile.lens, tile.level, tile.place) !== key);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.broken = true;
      this.stop();
      this.failed(error.message);
    }
    this.running.delete(key);
    this.changed();
    this.pump();
  }
}
