// The page: opens pictures, and connects the view with what stands around it.

import { ask, fetchGood } from "./ask.js";
import { boxesOf, drawMaps } from "./attention.js";
import { DownloadDialog } from "./download.js";
import { listen, wheel } from "./gestures.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
let about = { lenses: [], most_bytes: 0 };
let quiet = 0;
let turn = 0; // of the pictures opened; the last one wins

function tell(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
  clearTimeout(quiet);
  if (text) quiet = setTimeout(() => tell(""), 12000);
}

const view = new View({ canvas: $("canvas"), moved: showState, failed: tell });
listen(view, { picked: lookInside });
const dialog = new DownloadDialog(view);

async function open(file) {
  tell("");
  if (file && file.size > about.most_bytes) {
    return tell(`${file.name}: has more than ${Math.round(about.most_bytes / 2 ** 20)} MB; open a smaller one`);
  }
  if ($("download").open) $("download").close();
  $("status").textContent = "opening …";
  turn += 1;
  const mine = turn;
  try {
    const query = file ? `?${new URLSearchParams({ name: file.name })}` : "";
    const answer = await ask(`/api/pictures${query}`, { method: "POST", body: file });
    const picture = answer.none ? null : await load(answer);
    if (mine !== turn) return picture && forget(picture);
    if (about.lenses.length === 0) nameLenses(answer.lenses);
    about = answer;
    if (picture) show(picture, answer.name);
  } catch (error) {
    if (mine === turn) tell(error.message);
  }
  if (mine !== turn) return;
  if (view.picture) view.redraw();
  else $("status").textContent = "";
}

async function load({ token, width, height, most_scale: mostScale, at_once: atOnce }) {
  const address = `/api/pictures/${token}`;
  const response = await fetchGood(`${address}/image`);
  const image = await createImageBitmap(await response.blob());
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return { image, source: context.getImageData(0, 0, width, height), width, height, address, atOnce, mostScale };
}

function forget({ image, address }) {
  image.close();
  ask(address, { method: "DELETE" }).catch(() => {});
}

function show(picture, name) {
  const old = view.picture;
  closeInside();
  view.show(picture);
  if (old) forget(old);
  $("title").textContent = name;
  $("title").title = name;
  document.title = `${name} – clit web`;
  $("welcome").hidden = true;
  $("take").disabled = false;
  setSplit(view.split);
}

function nameLenses(lenses) {
  const names = ["bicubic", ...lenses.slice(1).map((lens) => lens.name)];
  $("left").replaceChildren(...names.map((name, i) => new Option(name, i ? i : -1)));
  if (names.length > 1) $("left").value = "1";
  view.left = Number($("left").value);
}

function showNames() {
  $("left-name").textContent = view.picture ? $("left").selectedOptions[0].text : "";
  $("right-name").textContent = view.picture ? about.lenses[0].name : "";
}

function showState() {
  const { zoom, tiles, picture, size } = view;
  const { least } = view;
  $("zoom").value = Math.log(zoom / least) / Math.log(picture.mostScale / least);
  $("factor").textContent = `×${zoom < 10 ? zoom.toFixed(2) : zoom.toFixed(1)}`;
  showRange(zoom);
  const seconds = `${(tiles.milliseconds / 1000).toFixed(1)} s`;
  let status = `${size.width}×${size.height}, decoded in ${seconds}`;
  if (!view.enlarges) status = "the picture itself, smaller";
  else if (tiles.missing || !view.settled) status = tiles.missing ? `${tiles.missing} tiles to come` : "…";
  $("status").textContent = status;
  showNames();
}

// For which factors the networks that are seen were trained, and whether this one lies beyond.
function showRange(zoom) {
  const left = view.left >= 0 && view.split > 0 ? [about.lenses[view.left]] : [];
  const seen = [about.lenses[0], ...left].filter(({ range }) => range);
  const texts = seen.map(({ range }) => `×${range[0]} to ×${range[1]}`);
  const beyond = seen.some(({ range }) => zoom > range[1] * 1.005);
  const differ = new Set(texts).size > 1;
  const told = differ ? seen.map(({ name }, i) => `${name} ${texts[i]}`).join(", ") : texts[0];
  $("range").className = beyond ? "beyond" : "";
  $("range").textContent = told ? `${beyond ? "beyond the training:" : "trained for"} ${told}` : "";
}

async function lookInside(place) {
  const { picture, size } = view;
  if (place.x < 0 || place.y < 0 || place.x >= picture.width || place.y >= picture.height) return closeInside();
  const wanted = view.enlarges ? size : { width: picture.width, height: picture.height };
  const x = Math.min(Math.floor((place.x * wanted.width) / picture.width), wanted.width - 1);
  const y = Math.min(Math.floor((place.y * wanted.height) / picture.height), wanted.height - 1);
  const lens = view.left >= 0 && view.isLeft(place) ? view.left : 0;
  const query = new URLSearchParams({ lens, width: wanted.width, height: wanted.height, x, y });
  try {
    const { branches } = await ask(`${picture.address}/attention?${query}`);
    if (picture !== view.picture) return;
    drawMaps($("maps"), branches);
    view.mark = { x: place.x, y: place.y, boxes: boxesOf(branches, picture) };
    $("inside-note").textContent =
      `What each head of ${about.lenses[lens].name} looks at, for the pixel at ${Math.floor(place.x)}, ${Math.floor(place.y)} ` +
      "of the picture; brightest: its largest weight.";
    $("inside").hidden = false;
    view.redraw();
  } catch (error) {
    tell(error.message);
  }
}

function closeInside() {
  $("inside").hidden = true;
  view.mark = null;
  view.redraw();
}

function setSplit(share) {
  view.split = Math.min(Math.max(share, 0), 1);
  $("split").style.left = `${100 * view.split}%`;
  $("split").setAttribute("aria-valuenow", Math.round(100 * view.split));
  view.redraw();
}

$("file").addEventListener("change", (event) => {
  if (event.target.files[0]) open(event.target.files[0]);
  event.target.value = "";
});
$("in").addEventListener("click", () => view.glide(1.2));
$("out").addEventListener("click", () => view.glide(1 / 1.2));
$("fit").addEventListener("click", () => view.picture && view.fit());
$("zoom").addEventListener("input", (event) => {
  if (!view.picture) return;
  view.setZoom(view.least * (view.picture.mostScale / view.least) ** Number(event.target.value));
});
$("left").addEventListener("change", (event) => {
  view.left = Number(event.target.value);
  view.redraw();
});
$("take").addEventListener("click", () => dialog.open());
$("close-inside").addEventListener("click", closeInside);

const split = $("split");
split.addEventListener("pointerdown", (event) => split.setPointerCapture(event.pointerId));
split.addEventListener("pointermove", (event) => {
  if (!split.hasPointerCapture(event.pointerId)) return;
  const box = $("stage").getBoundingClientRect();
  setSplit((event.clientX - box.left) / box.width);
});
split.addEventListener("wheel", (event) => wheel(view, event), { passive: false });
split.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 };
  if (!(event.key in steps)) return;
  event.preventDefault();
  setSplit(view.split + steps[event.key]);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeInside();
  if (event.target.matches("input, select") || $("download").open) return;
  if (event.key === "[") setSplit(view.split - 0.02);
  if (event.key === "]") setSplit(view.split + 0.02);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
});
window.addEventListener("pagehide", () => {
  if (view.picture) fetch(view.picture.address, { method: "DELETE", keepalive: true }).catch(() => {});
});

open();
