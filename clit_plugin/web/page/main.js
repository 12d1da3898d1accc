// The page: opens pictures and connects the view with the controls around it.

import { fetchJson, fetchOk } from "./api.js";
import { boxesOf, drawMaps } from "./attention.js";
import { DownloadDialog } from "./download.js";
import { listen, wheel } from "./gestures.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
let server = { lenses: [], max_bytes: 0 }; // its networks and limits
let messageTimer = 0;
let latestOpen = 0; // if several pictures are opened at once, the last one stays
let latestClick = 0; // likewise of clicks that ask for attention

function showMessage(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
  clearTimeout(messageTimer);
  if (text) messageTimer = setTimeout(() => showMessage(""), 12000);
}

const view = new View({ canvas: $("canvas"), onChange: showState, onError: showMessage });
listen(view, { onPick: showAttention });
const dialog = new DownloadDialog(view);

async function open(file) {
  showMessage("");
  if (file && file.size > server.max_bytes) {
    return showMessage(`${file.name}: has more than ${Math.round(server.max_bytes / 2 ** 20)} MB; open a smaller one`);
  }
  if ($("download").open) $("download").close();
  $("status").textContent = "opening …";
  const number = ++latestOpen;
  try {
    const query = file ? `?${new URLSearchParams({ name: file.name })}` : "";
    const opened = await fetchJson(`/api/pictures${query}`, { method: "POST", body: file });
    const picture = opened.none ? null : await load(opened);
    if (number !== latestOpen) return picture && close(picture);
    if (server.lenses.length === 0) listLenses(opened.lenses);
    server = opened;
    if (picture) show(picture, opened.name);
  } catch (error) {
    if (number === latestOpen) showMessage(error.message);
  }
  if (number !== latestOpen) return;
  if (view.picture) view.redraw();
  else $("status").textContent = "";
}

async function load({ token, width, height, max_scale: maxScale, max_requests: maxRequests }) {
  const address = `/api/pictures/${token}`;
  const response = await fetchOk(`${address}/image`);
  const image = await createImageBitmap(await response.blob());
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return { image, source: context.getImageData(0, 0, width, height), width, height, address, maxRequests, maxScale };
}

function close({ image, address }) {
  image.close();
  fetchJson(address, { method: "DELETE" }).catch(() => {});
}

function show(picture, name) {
  const old = view.picture;
  closeAttention();
  view.show(picture);
  if (old) close(old);
  $("title").textContent = name;
  $("title").title = name;
  document.title = `${name} – clit web`;
  $("welcome").hidden = true;
  $("split").hidden = false;
  $("open-download").disabled = false;
  setSplit(view.split);
}

function listLenses(lenses) {
  const names = ["bicubic", ...lenses.slice(1).map((lens) => lens.name)];
  $("left").replaceChildren(...names.map((name, i) => new Option(name, i ? i : -1)));
  if (names.length > 1) $("left").value = "1";
  view.left = Number($("left").value);
}

function showNames() {
  $("left-name").textContent = view.picture ? $("left").selectedOptions[0].text : "";
  $("right-name").textContent = view.picture ? server.lenses[0].name : "";
}

function showState() {
  const { zoom, minZoom, tiles, picture, size } = view;
  $("zoom").value = Math.log(zoom / minZoom) / Math.log(picture.maxScale / minZoom);
  $("factor").textContent = `×${zoom < 10 ? zoom.toFixed(2) : zoom.toFixed(1)}`;
  showRange(zoom);
  const seconds = `${(tiles.milliseconds / 1000).toFixed(1)} s`;
  let status = `${size.width}×${size.height}, decoded in ${seconds}`;
  if (!view.enlarges) status = "the picture itself, smaller";
  else if (tiles.missing || !view.settled) status = tiles.missing ? `${tiles.missing} tiles left` : "…";
  $("status").textContent = status;
  showNames();
}

// The factors for which the visible networks were trained, and whether the current one lies outside.
function showRange(zoom) {
  const left = view.left >= 0 && view.split > 0 ? [server.lenses[view.left]] : [];
  const visible = [server.lenses[0], ...left].filter(({ range }) => range);
  const ranges = visible.map(({ range }) => `×${range[0]} to ×${range[1]}`);
  const beyond = visible.some(({ range }) => zoom > range[1] * 1.005);
  const differ = new Set(ranges).size > 1;
  const text = differ ? visible.map(({ name }, i) => `${name} ${ranges[i]}`).join(", ") : ranges[0];
  $("range").className = beyond ? "beyond" : "";
  $("range").textContent = text ? `${beyond ? "beyond the training:" : "trained for"} ${text}` : "";
}

async function showAttention(point) {
  const { picture } = view;
  if (point.x < 0 || point.y < 0 || point.x >= picture.width || point.y >= picture.height) return closeAttention();
  const { width, height } = view.enlarges ? view.size : picture;
  const x = Math.min(Math.floor((point.x * width) / picture.width), width - 1);
  const y = Math.min(Math.floor((point.y * height) / picture.height), height - 1);
  const lens = view.left >= 0 && view.isLeft(point) ? view.left : 0;
  const query = new URLSearchParams({ lens, width, height, x, y });
  latestClick += 1;
  const number = latestClick;
  try {
    const { branches } = await fetchJson(`${picture.address}/attention?${query}`);
    if (number !== latestClick) return;
    drawMaps($("maps"), branches);
    view.mark = { x: point.x, y: point.y, boxes: boxesOf(branches, picture) };
    $("attention-note").textContent =
      `Attention weights of each head of ${server.lenses[lens].name}, for pixel ${Math.floor(point.x)}, ` +
      `${Math.floor(point.y)} of the picture. Brightest: the largest weight, printed below the map.`;
    $("attention").hidden = false;
    view.redraw();
  } catch (error) {
    if (number === latestClick) showMessage(error.message);
  }
}

function closeAttention() {
  latestClick += 1;
  $("attention").hidden = true;
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
  $("canvas").focus(); // for the keys
});
$("in").addEventListener("click", () => view.glide(1.2));
$("out").addEventListener("click", () => view.glide(1 / 1.2));
$("fit").addEventListener("click", () => view.picture && view.fit());
$("zoom").addEventListener("input", (event) => {
  if (!view.picture) return;
  view.setZoom(view.minZoom * (view.picture.maxScale / view.minZoom) ** Number(event.target.value));
});
$("left").addEventListener("change", (event) => {
  view.left = Number(event.target.value);
  view.redraw();
});
$("open-download").addEventListener("click", () => dialog.open(server.lenses[0].name));
$("open-help").addEventListener("click", () => $("help").showModal());
$("close-attention").addEventListener("click", closeAttention);

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
  if (event.key === "Escape") closeAttention();
  if (event.target.matches("input:not([type=range]), select") || document.querySelector("dialog[open]")) return;
  if (event.key === "?") $("help").showModal();
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
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files[0]) open(event.clipboardData.files[0]);
});
window.addEventListener("pagehide", () => {
  if (view.picture) fetch(view.picture.address, { method: "DELETE", keepalive: true }).catch(() => {});
});

open();
