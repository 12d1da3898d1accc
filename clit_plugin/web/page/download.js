// The dialog that downloads the view or the whole picture as a file.

import { fetchJson, fetchOk } from "./api.js";

const $ = (id) => document.getElementById(id);

export class DownloadDialog {
  constructor(view) {
    this.view = view;
    this.dialog = $("download");
    $("start-download").addEventListener("click", () => this.start());
    this.dialog.addEventListener("close", () => this.cancel());
    for (const id of ["what", "format", "quality", "download-factor"]) {
      $(id).addEventListener("input", () => this.update());
    }
    $("download-width").addEventListener("input", () => {
      $("download-factor").value = Number(($("download-width").value / this.view.picture.width).toFixed(5));
      this.update(false);
    });
  }

  // `name`: of the network whose output is downloaded.
  open(name) {
    $("download-title").textContent = `Download, by ${name}`;
    $("download-factor").value = Math.max(1, this.view.zoom).toFixed(2); // networks only enlarge
    $("download-message").textContent = "";
    this.update();
    this.dialog.showModal();
  }

  // The region to download: the size of the enlarged picture, and the part of it. Null where the inputs are invalid.
  get region() {
    const { picture, size, visible, enlarges } = this.view;
    if ($("what").value === "view") return enlarges ? { ...size, ...visible } : null;
    const factor = Number($("download-factor").value);
    if (!(factor >= 1 && factor <= picture.maxScale)) return null;
    const width = Math.round(picture.width * factor);
    const height = Math.round(picture.height * factor);
    return { width, height, x: 0, y: 0, w: width, h: height };
  }

  update(setWidth = true) {
    const whole = $("what").value === "whole";
    $("factor-row").hidden = $("width-row").hidden = !whole;
    $("quality-row").hidden = $("format").value === "png";
    $("quality-value").value = $("quality").value;
    const { region } = this;
    if (whole && setWidth && region) $("download-width").value = region.width;
    const invalid = whole
      ? `The factor must be from 1 to ${this.view.picture.maxScale}.`
      : "The view is smaller than the picture; zoom in.";
    $("download-size").textContent = region ? `${region.w}×${region.h} pixels` : invalid;
    $("start-download").disabled = !region || Boolean(this.running);
    $("cancel").textContent = this.running ? "Cancel" : "Close";
  }

  async start() {
    const { region } = this;
    const address = `${this.view.picture.address}/download`;
    const options = { ...region, lens: 0, format: $("format").value, quality: Number($("quality").value) };
    const run = (this.running = { address: null, abort: new AbortController() });
    this.update();
    $("progress").hidden = false;
    $("progress").value = 0;
    $("download-message").textContent = "";
    const start = performance.now();
    try {
      const { number, name } = await fetchJson(address, { method: "POST", body: JSON.stringify(options) });
      run.address = `${address}/${number}`;
      if (this.running !== run) return void fetchJson(run.address, { method: "DELETE" }).catch(() => {});
      for (;;) {
        const { done, ready, error } = await fetchJson(run.address, { signal: run.abort.signal });
        if (this.running !== run) return;
        if (error) throw new Error(error);
        $("progress").value = done;
        const left = ((performance.now() - start) / 1000) * (1 / Math.max(done, 1e-3) - 1);
        $("download-message").textContent = done > 0.02 ? `${Math.round(100 * done)} %, about ${Math.ceil(left)} s left` : "…";
        if (ready) break;
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      const response = await fetchOk(`${run.address}/file`, { signal: run.abort.signal });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await response.blob());
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      $("download-message").textContent = `${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`;
    } catch (error) {
      if (this.running === run) $("download-message").textContent = error.message;
    }
    if (this.running !== run) return;
    this.cancel();
    this.update();
  }

  cancel() {
    const run = this.running;
    this.running = null;
    $("progress").hidden = true;
    run?.abort.abort();
    if (run?.address) fetchJson(run.address, { method: "DELETE" }).catch(() => {});
  }
}
