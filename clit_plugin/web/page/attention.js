// Local attention at a point: a small map for each head of each branch.

// Colour map from dark to bright, in steps that look equal.
const STOPS = [[4, 4, 24], [86, 15, 110], [187, 55, 84], [249, 142, 9], [252, 255, 164]];

function colour(share) {
  const position = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(position), STOPS.length - 2);
  return STOPS[low].map((value, i) => value + (position - low) * (STOPS[low + 1][i] - value));
}

function figure(weights, grid, number) {
  const canvas = document.createElement("canvas");
  [canvas.height, canvas.width] = grid;
  const pixels = new ImageData(canvas.width, canvas.height);
  const largest = Math.max(...weights, 1e-9);
  weights.forEach((weight, i) => pixels.data.set([...colour(weight / largest), 255], 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  const caption = document.createElement("figcaption");
  caption.textContent = `${number}: ${(100 * largest).toFixed(0)} %`;
  const result = document.createElement("figure");
  result.append(canvas, caption);
  return result;
}

// Fill `parent` with the maps of `branches`, as the server returns them.
export function drawMaps(parent, branches) {
  parent.replaceChildren();
  branches.forEach((branch, i) => {
    const title = document.createElement("h3");
    title.textContent = `Branch ${i + 1}, map of ${branch.size[1]}×${branch.size[0]}`;
    const heads = document.createElement("div");
    heads.className = "heads";
    heads.append(...branch.heads.map((weights, head) => figure(weights, branch.grid, head + 1)));
    parent.append(title, heads);
  });
}

// The boxes that the local grids cover, in pixels of the picture.
export function boxesOf(branches, picture) {
  return branches.map(({ size, centre, grid }) => {
    const sx = picture.width / size[1];
    const sy = picture.height / size[0];
    const left = (centre[1] - Math.floor(grid[1] / 2)) * sx;
    const top = (centre[0] - Math.floor(grid[0] / 2)) * sy;
    return { x: left, y: top, w: grid[1] * sx, h: grid[0] * sy };
  });
}
