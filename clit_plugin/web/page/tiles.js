// The tiles: requests those on screen, cancels requests for others, and caches the most recently used ones.

import { fetchOk } from "./api.js";
import { bicubic } from "./bicubic.js";

const CACHED = 600; // tiles, about 160 MB

export class Tiles {
  // `onTile` is called when a tile has arrived, `onError` with a message. Bicubic tiles have lens -1.
  constructor({ onTile, onError }) {
    this.onTile = onTile;
    this.onError = onError;
    this.cache = new Map(); // {lens, level, image} by key, the most recently used last
    this.running = new Map(); // AbortController of a request by key
    this.wanted = [];
    this.started = this.milliseconds = 0;
    this.broken = false; // after a failure nothing is requested until the factor changes
  }

  // `source`: the picture as ImageData; `address`: its URL on the server; `maxRequests`: at a time.
  start({ address, source, maxRequests }) {
    this.stop();
    for (const { image } of this.cache.values()) image.close();
    this.cache.clear();
    this.address = address;
    this.source = source;
    this.maxRequests = maxRequests;
    this.broken = false;
  }

  stop() {
    this.wanted = [];
    for (const abort of this.running.values()) abort.abort();
    this.running.clear();
  }

  // `box`: {x, y, w, h} of a tile in its level.
  static key(lens, level, { x, y, w, h }) {
    return `${lens} ${level.name} ${x} ${y} ${w} ${h}`;
  }

  has(lens, level, box) {
    return this.cache.has(Tiles.key(lens, level, box));
  }

  // The image of a cached tile, or undefined.
  get(lens, level, box) {
    const key = Tiles.key(lens, level, box);
    const tile = this.cache.get(key);
    if (tile) this.put(key, tile);
    return tile?.image;
  }

  // Compute a bicubic tile.
  interpolate(level, box) {
    const canvas = new OffscreenCanvas(box.w, box.h);
    const pixels = bicubic(this.source, level.width, level.height, box.x, box.y, box.w, box.h);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    this.put(Tiles.key(-1, level, box), { lens: -1, level, image: canvas.transferToImageBitmap() });
  }

  // A level of this size that has cached tiles, so that they are reused; or null.
  levelOf(size) {
    for (const { level } of this.cache.values()) {
      if (level.width === size.width && level.height === size.height) return level;
    }
    return null;
  }

  // The three levels nearest to a size that have cached tiles of a network, the nearest last.
  levels(lens, size) {
    if (lens < 0) return [];
    const found = new Map();
    for (const tile of this.cache.values()) {
      if (tile.lens === lens) found.set(tile.level.name, tile.level);
    }
    const distance = (level) => Math.abs(Math.log(level.width / size.width));
    const near = [...found.values()].filter((level) => distance(level) < Math.log(2.5));
    return near.sort((a, b) => distance(b) - distance(a)).slice(-3);
  }

  put(key, tile) {
    this.cache.delete(key);
    this.cache.set(key, tile);
    const limit = Math.max(CACHED, 4 * this.wanted.length); // large screens need more
    while (this.cache.size > limit) {
      const [oldest, { image }] = this.cache.entries().next().value;
      image.close();
      this.cache.delete(oldest);
    }
  }

  // Request these tiles, {lens, level, box}, in this order, and cancel all others. `visible`: {x, y, w, h} on screen.
  request(tiles, visible) {
    if (this.broken) tiles = [];
    this.wanted = tiles.filter((tile) => !this.has(tile.lens, tile.level, tile.box));
    const keys = new Set(this.wanted.map((tile) => Tiles.key(tile.lens, tile.level, tile.box)));
    for (const [key, abort] of this.running) {
      if (!keys.has(key)) {
        abort.abort();
        this.running.delete(key);
      }
    }
    if (this.wanted.length && !this.running.size) this.started = performance.now();
    this.visible = visible;
    this.pump();
  }

  get missing() {
    return this.wanted.length;
  }

  pump() {
    for (const tile of this.wanted) {
      if (this.running.size >= this.maxRequests) return;
      const key = Tiles.key(tile.lens, tile.level, tile.box);
      if (!this.running.has(key)) this.fetch(key, tile);
    }
  }

  async fetch(key, { lens, level, box }) {
    const abort = new AbortController();
    this.running.set(key, abort);
    const { x, y, w, h } = this.visible;
    const query = new URLSearchParams({ lens, width: level.width, height: level.height, ...box, visible: [x, y, w, h] });
    try {
      const response = await fetchOk(`${this.address}/tile?${query}`, { signal: abort.signal });
      const image = await createImageBitmap(await response.blob());
      if (abort.signal.aborted) return image.close();
      this.milliseconds = performance.now() - this.started;
      this.put(key, { lens, level, image });
      this.wanted = this.wanted.filter((tile) => Tiles.key(tile.lens, tile.level, tile.box) !== key);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.broken = true;
      this.stop();
      this.onError(error.message);
    }
    this.running.delete(key);
    this.onTile();
    this.pump();
  }
}
