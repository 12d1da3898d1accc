// Bicubic interpolation of a part of an enlarged picture, as in Pillow: a = -0.5, taps outside the picture dropped.

function kernel(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// For each output pixel from `start` on: the first source pixel and four weights that add up to 1.
function taps(n, nOut, start, count) {
  const first = new Int32Array(count);
  const weights = new Float32Array(4 * count);
  for (let i = 0; i < count; i++) {
    const centre = ((start + i + 0.5) * n) / nOut;
    const left = Math.floor(centre - 0.5) - 1;
    let sum = 0;
    for (let k = 0; k < 4; k++) {
      const inside = left + k >= 0 && left + k < n;
      weights[4 * i + k] = inside ? kernel(left + k + 0.5 - centre) : 0;
      sum += weights[4 * i + k];
    }
    for (let k = 0; k < 4; k++) weights[4 * i + k] /= sum;
    first[i] = left;
  }
  return { first, weights };
}

// `source` is the picture as ImageData. Returns an ImageData of the w x h pixels at (x, y) of the picture resized to
// width x height.
export function bicubic(source, width, height, x, y, w, h) {
  const { data, width: n, height: m } = source;
  const across = taps(n, width, x, w);
  const down = taps(m, height, y, h);
  const top = Math.max(0, down.first[0]);
  const bottom = Math.min(m, down.first[h - 1] + 4);
  const rows = new Uint8ClampedArray((bottom - top) * w * 4); // Pillow also rounds between the two passes
  for (let r = top; r < bottom; r++) {
    for (let i = 0; i < w; i++) {
      for (let c = 0; c < 4; c++) {
        let value = 0;
        for (let k = 0; k < 4; k++) {
          const weight = across.weights[4 * i + k];
          if (weight !== 0) value += weight * data[4 * (r * n + across.first[i] + k) + c];
        }
        rows[4 * ((r - top) * w + i) + c] = value;
      }
    }
  }
  const result = new ImageData(w, h);
  const out = result.data; // a Uint8ClampedArray, which rounds
  const sum = new Float32Array(4 * w);
  for (let j = 0; j < h; j++) {
    sum.fill(0);
    for (let k = 0; k < 4; k++) {
      const weight = down.weights[4 * j + k];
      if (weight === 0) continue;
      const row = 4 * w * (down.first[j] + k - top);
      for (let i = 0; i < 4 * w; i++) sum[i] += weight * rows[row + i];
    }
    out.set(sum, 4 * w * j);
  }
  return result;
}
