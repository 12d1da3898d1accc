// The dialog that makes a file of the view or of the whole picture.

import { ask, fetchGood } from "./ask.js";

const $ = (id) => document.getElementById(id);

export class DownloadDialog {
  // `view` is the View.
  constructor(view) {
    this.view = view;
    this.dialog = $("download");
    $("start").addEventListener("click", () => this.start());
    this.dialog.addEventListener("close", () => this.cancel());
    for (const id of ["what", "format", "quality", "download-factor"]) {
      $(id).addEventListener("input", () => this.update());
    }
    $("download-width").addEventListener("input", () => {
      $("download-factor").value = $("download-width").value / this.view.picture.width;
      this.update(false);
    });
  }

  open() {
    $("download-factor").value = Math.max(1, this.view.zoom).toFixed(2);
    $("download-message").textContent = "";
    this.update();
    this.dialog.showModal();
  }

  // What is asked for: the size of the whole, and the part of it.
  get region() {
    const { picture, size, seen, enlarges } = this.view;
    if ($("what").value === "view") return enlarges ? { ...size, ...seen } : null;
    const factor = Number($("download-factor").value);
    if (!(factor >= 1 && factor <= picture.mostScale)) return null;
    const width = Math.round(picture.width * factor);
    const height = Math.round(picture.height * factor);
    return { width, height, x: 0, y: 0, w: width, h: height };
  }

  update(widthToo = true) {
    const whole = $("what").value === "whole";
    $("factor-row").hidden = $("width-row").hidden = !whole;
    $("quality-row").hidden = $("format").value === "png";
    $("quality-value").value = $("quality").value;
    const { region } = this;
    if (whole && widthToo && region) $("download-width").value = region.width;
    const least = whole ? `A factor is 1 to ${this.view.picture.mostScale}.` : "The view is smaller than the picture; zoom in.";
    $("download-size").textContent = region ? `${region.w}×${region.h} pixels` : least;
    $("start").disabled = !region || Boolean(this.running);
  }

  async start() {
    const { region } = this;
    const address = `${this.view.picture.address}/download`;
    const order = { ...region, lens: 0, format: $("format").value, quality: Number($("quality").value) };
    const run = (this.running = { address: null, abort: new AbortController() });
    $("start").disabled = true;
    $("progress").hidden = false;
    $("progress").value = 0;
    $("download-message").textContent = "";
    const begun = performance.now();
    try {
      const { number, name } = await ask(address, { method: "POST", body: JSON.stringify(order) });
      run.address = `${address}/${number}`;
      if (this.running !== run) return void ask(run.address, { method: "DELETE" }).catch(() => {});
      for (;;) {
        const { done, ready, error } = await ask(run.address, { signal: run.abort.signal });
        if (this.running !== run) return;
        if (error) throw new Error(error);
        $("progress").value = done;
        const left = ((performance.now() - begun) / 1000) * (1 / Math.max(done, 1e-3) - 1);
        $("download-message").textContent = done > 0.02 ? `${Math.round(100 * done)} %, about ${Math.ceil(left)} s left` : "…";
        if (ready) break;
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      const response = await fetchGood(`${run.address}/file`, { signal: run.abort.signal });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await response.blob());
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      $("download-message").textContent = `${name}: ${((performance.now() - begun) / 1000).toFixed(1)} s`;
    } catch (error) {
      if (this.running === run) $("download-message").textContent = error.message;
    }
    if (this.running !== run) return;
    this.cancel();
    this.update();
  }

  // Give up what is being made.
  cancel() {
    const run = this.running;
    this.running = null;
    $("progress").hidden = true;
    run?.abort.abort();
    if (run?.address) ask(run.address, { method: "DELETE" }).catch(() => {});
  }
}
