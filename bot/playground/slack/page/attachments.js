// The files that will go along with what is being written: chosen, dropped or pasted.
import { inWords } from "./files.js";
import { make, makeButton } from "./messages.js";
import { tell } from "./state.js";

// Bytes that the local Slack takes at once, with room for the form around them.
const MOST = 60 * 1024 * 1024;

export class Attachments {
  constructor(form, changed) {
    this.list = form.querySelector(".attached");
    this.chooser = form.querySelector("input[type=file]");
    this.changed = changed;
    this.files = [];
    form.querySelector(".attach").onclick = () => this.chooser.click();
    this.chooser.onchange = () => { this.add(this.chooser.files); this.chooser.value = ""; };
    form.querySelector("textarea").addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.add(event.clipboardData.files);
    });
    this.catch(form.parentElement);
  }

  // Whatever is dropped anywhere on this side of the page.
  catch(area) {
    const bringsFiles = (event) => event.dataTransfer?.types.includes("Files");
    const over = (event) => {
      if (!bringsFiles(event)) return;
      event.preventDefault();
      area.classList.add("dropping");
    };
    area.addEventListener("dragenter", over);
    area.addEventListener("dragover", over);
    area.addEventListener("dragleave", (event) => {
      if (!area.contains(event.relatedTarget)) area.classList.remove("dropping");
    });
    area.addEventListener("drop", (event) => {
      area.classList.remove("dropping");
      if (!bringsFiles(event)) return;
      event.preventDefault();
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    const all = [...this.files, ...files];
    if (all.reduce((sum, file) => sum + file.size, 0) > MOST) {
      tell(`At most ${inWords(MOST)} fit into one post here.`);
      return;
    }
    this.files = all;
    this.draw();
    this.changed();
  }

  // What there is, and nothing is left.
  take() {
    const taken = this.files;
    this.files = [];
    this.draw();
    return taken;
  }

  draw() {
    this.list.replaceChildren(...this.files.map((file) => {
      const remove = makeButton("✕", () => {
        this.files = this.files.filter((each) => each !== file);
        this.draw();
        this.changed();
      }, { ariaLabel: `Take ${file.name} away` });
      return make("li", {}, make("span", { textContent: file.name }), make("small", { textContent: inWords(file.size) }), remove);
    }));
    this.list.hidden = !this.files.length;
  }
}
