// Tiles of the picture at some size: those that are seen are asked for, the nearest to the centre first; what is no
// longer seen is dropped, and what was used last is kept.

import { bicubic } from "./bicubic.js";

export const TILE = 256;
const KEPT = 600; // tiles, about 160 MB
const AT_ONCE = 3; // requests

export class Tiles {
  // `changed` is called when a tile has come, `failed` with a line.
  constructor({ changed, failed }) {
    this.changed = changed;
    this.failed = failed;
    this.kept = new Map();
    this.running = new Map();
    this.wanted = [];
    this.milliseconds = 0;
    this.broken = false; // after a failure nothing is asked for until the view is moved to another factor
  }

  // `source`: ImageData of the picture; `address`: where its tiles are.
  start(address, source) {
    this.stop();
    for (const tile of this.kept.values()) tile.close?.();
    this.kept.clear();
    this.address = address;
    this.source = source;
    this.broken = false;
  }

  stop() {
    this.wanted = [];
    for (const abort of this.running.values()) abort.abort();
    this.running.clear();
  }

  static key(lens, size, x, y) {
    return `${lens} ${size.width}x${size.height} ${x} ${y}`;
  }

  // The image of a tile, or undefined. Bicubic ones (lens -1) are made at once.
  get(lens, size, x, y) {
    const key = Tiles.key(lens, size, x, y);
    let tile = this.kept.get(key);
    if (tile === undefined && lens < 0) {
      tile = new OffscreenCanvas(Math.min(TILE, size.width - x), Math.min(TILE, size.height - y));
      const pixels = bicubic(this.source, size.width, size.height, x, y, tile.width, tile.height);
      tile.getContext("2d").putImageData(pixels, 0, 0);
    }
    if (tile !== undefined) this.keep(key, tile);
    return tile;
  }

  keep(key, tile) {
    this.kept.delete(key);
    this.kept.set(key, tile);
    if (this.kept.size > KEPT) {
      const [oldest, old] = this.kept.entries().next().value;
      old.close?.();
      this.kept.delete(oldest);
    }
  }

  // Ask for these tiles, {lens, size, x, y}, in this order, and for nothing else.
  want(tiles) {
    if (this.broken) tiles = [];
    this.wanted = tiles.filter((tile) => !this.kept.has(Tiles.key(tile.lens, tile.size, tile.x, tile.y)));
    const keys = new Set(this.wanted.map((tile) => Tiles.key(tile.lens, tile.size, tile.x, tile.y)));
    for (const [key, abort] of this.running) {
      if (!keys.has(key)) {
        abort.abort();
        this.running.delete(key);
      }
    }
    if (this.wanted.length && !this.running.size) this.milliseconds = 0;
    this.pump();
  }

  get missing() {
    return this.wanted.length;
  }

  pump() {
    for (const tile of this.wanted) {
      if (this.running.size >= AT_ONCE) return;
      const key = Tiles.key(tile.lens, tile.size, tile.x, tile.y);
      if (!this.running.has(key)) this.fetch(key, tile);
    }
  }

  async fetch(key, { lens, size, x, y }) {
    const abort = new AbortController();
    this.running.set(key, abort);
    const w = Math.min(TILE, size.width - x);
    const h = Math.min(TILE, size.height - y);
    const query = new URLSearchParams({ lens, width: size.width, height: size.height, x, y, w, h });
    try {
      const response = await fetch(`${this.address}/tile?${query}`, { signal: abort.signal });
      if (!response.ok) throw new Error((await response.json()).error);
      const image = await createImageBitmap(await response.blob());
      if (abort.signal.aborted) return image.close();
      const timing = /dur=(\d+)/.exec(response.headers.get("Server-Timing") ?? "");
      this.milliseconds += timing ? Number(timing[1]) : 0;
      this.keep(key, image);
      this.wanted = this.wanted.filter((tile) => Tiles.key(tile.lens, tile.size, tile.x, tile.y) !== key);
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
