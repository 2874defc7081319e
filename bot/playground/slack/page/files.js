// Files in messages: pictures in place, all else to save.
import { make } from "./messages.js";
import { me } from "./state.js";

export const addressOf = (id) => `/page/files/${encodeURIComponent(id)}?person=${encodeURIComponent(me().name)}`;

export function drawFile(file) {
  if (!file.there) return make("p", { className: "file", textContent: `File: ${file.name}` });
  const link = make("a", { className: "file", href: addressOf(file.id), title: file.name });
  link.dataset.testid = "file";
  if (file.image) {
    Object.assign(link, { target: "_blank", rel: "noopener" });
    link.append(make("img", { src: addressOf(file.id), alt: file.alt }), make("small", { textContent: file.name }));
    return link;
  }
  link.download = file.name;
  link.append(make("span", { textContent: file.name }), make("small", { textContent: inWords(file.size) }));
  return link;
}

export function inWords(bytes) {
  const units = [bytes === 1 ? "byte" : "bytes", "KB", "MB", "GB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit += 1) bytes /= 1024;
  return `${+bytes.toFixed(1)} ${units[unit]}`;
}
