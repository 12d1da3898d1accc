// The picture at some size, in tiles that fit the view: what is seen first is decoded, and hardly a pixel more.

const TILE = 256; // about

export class Level {
  constructor(width, height, across, down) {
    this.width = width;
    this.height = height;
    this.across = across; // {start, side} of the columns of tiles; the first may begin outside
    this.down = down;
  }

  // `size`: of the picture; `origin`: where it begins in the view; `seen`: the view's width and height.
  static of(size, origin, seen) {
    const axis = (begin, n) => {
      const side = Math.ceil(n / Math.max(1, Math.round(n / TILE)));
      return { start: -(((begin % side) + side) % side), side };
    };
    return new Level(size.width, size.height, axis(origin.x, seen.width), axis(origin.y, seen.height));
  }

  get name() {
    return `${this.width}x${this.height}`;
  }

  // {x, y, w, h} of the tiles that have pixels between these columns and rows.
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
