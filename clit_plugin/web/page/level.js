// The picture enlarged to one size, divided into tiles. The tiles are aligned with the edges of the canvas, so that
// hardly a pixel outside it is decoded.

const TILE = 256; // approximate side, pixels

export class Level {
  constructor(width, height, across, down) {
    this.width = width;
    this.height = height;
    this.across = across; // {start, side} of the columns of tiles; the first may start outside the picture
    this.down = down; // the same of the rows
  }

  // `size`: {width, height} of the enlarged picture; `origin`: its {x, y} on the canvas; `canvas`: {width, height}.
  static of(size, origin, canvas) {
    const axis = (begin, n) => {
      const side = Math.ceil(n / Math.max(1, Math.round(n / TILE)));
      return { start: -(((begin % side) + side) % side), side };
    };
    return new Level(size.width, size.height, axis(origin.x, canvas.width), axis(origin.y, canvas.height));
  }

  get name() {
    return `${this.width}x${this.height}`;
  }

  // {x, y, w, h} of the tiles that overlap a box.
  tiles(left, top, right, bottom) {
    const spans = ({ start, side }, low, high, n) => {
      const found = [];
      const from = Math.max(low, 0);
      const to = Math.min(high, n);
      for (let at = start + Math.floor((from - start) / side) * side; at < to; at += side) {
        found.push({ begin: Math.max(0, at), length: Math.min(n, at + side) - Math.max(0, at) });
      }
      return found;
    };
    const rows = spans(this.down, top, bottom, this.height);
    return spans(this.across, left, right, this.width).flatMap((column) =>
      rows.map((row) => ({ x: column.begin, y: row.begin, w: column.length, h: row.length })),
    );
  }
}
