// Messages as elements. What people and bots wrote comes as HTML that the server made safe, or goes in as text.
import { addressOf, drawFile } from "./files.js";
import { decoded, encoded } from "./mrkdwn.js";
import { act, me, moveTo, rootOf, seen } from "./state.js";

// Seconds within which one person's posts stand together.
const TOGETHER = 300;
const TASK_SIGNS = { complete: "✓", error: "✗", in_progress: "…", pending: "○" };

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function makeButton(text, onclick, properties = {}) {
  return make("button", { type: "button", textContent: text, onclick, ...properties });
}

const byTime = (a, b) => (a.ts < b.ts ? -1 : 1);

// Fills a list, keeping the elements of messages that did not change: a selection or an open menu in them stays.
export function fill(list, messages, repliesOf) {
  const atBottom = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const known = new Map([...list.children].map((element) => [element.dataset.ts, element]));
  const sorted = [...messages].sort(byTime);
  const wanted = sorted.map((message, index) => {
    const replies = repliesOf(message);
    const follows = index > 0 && belongTogether(sorted[index - 1], message, repliesOf(sorted[index - 1]));
    return refreshed(known.get(message.ts), message, replies, follows);
  });
  const same = wanted.length === list.children.length && wanted.every((element, at) => element === list.children[at]);
  if (!same) list.replaceChildren(...wanted);
  if (atBottom) list.scrollTop = list.scrollHeight;
}

function belongTogether(before, message, repliesBefore) {
  const apart = before.ts in seen.ephemerals || message.ts in seen.ephemerals || repliesBefore;
  return !apart && before.user === message.user && message.ts - before.ts < TOGETHER;
}

function refreshed(old, message, replies, follows) {
  const version = JSON.stringify([me().id, message, replies, follows]);
  if (old?.version === version) return old;
  const fresh = drawMessage(message, replies, follows);
  fresh.version = version;
  return fresh;
}

function drawMessage(message, replies, follows) {
  const person = seen.people[message.user] || { name: "somebody", real_name: "Somebody", is_bot: true };
  const ephemeral = message.ts in seen.ephemerals;
  const element = make("article", { className: "message" }, drawAvatar(person), drawAuthor(message, person));
  element.classList.toggle("streaming", message.streaming);
  element.classList.toggle("follows", follows);
  element.classList.toggle("ephemeral", ephemeral);
  Object.assign(element.dataset, { ts: message.ts, testid: ephemeral ? "ephemeral" : "message", user: person.name });
  if (ephemeral) element.prepend(make("span", { className: "only", textContent: "Only visible to you" }));
  element.append(drawBody(message));
  if (replies) element.append(drawCount(message, replies));
  if (!ephemeral) element.append(drawMenu(message));
  return element;
}

function drawAvatar(person) {
  const initials = person.real_name.split(" ").map((word) => word[0]).join("");
  const className = `avatar ${person.is_bot ? "bot" : person.name}`;
  return make("div", { className, textContent: initials, ariaHidden: "true" });
}

function drawAuthor(message, person) {
  const moment = new Date(message.ts * 1000);
  const time = make("time", {
    dateTime: moment.toISOString(),
    title: moment.toLocaleString(),
    textContent: moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
  });
  const author = make("div", { className: "by" }, make("b", { textContent: person.real_name }));
  if (person.is_bot) author.append(make("span", { className: "app", textContent: "APP" }));
  author.append(time);
  if (message.edited) author.append(make("small", { textContent: "(edited)" }));
  return author;
}

function drawCount(message, replies) {
  const text = `${replies} ${replies === 1 ? "reply" : "replies"}`;
  const count = makeButton(text, () => moveTo({ thread: message.ts }), { className: "count" });
  count.dataset.testid = "reply-count";
  return count;
}

function drawBody(message) {
  const body = make("div", { className: "body" });
  if (message.html) body.append(make("div", { className: "words", innerHTML: message.html }));
  body.append(...message.tasks.map(drawTask), ...message.blocks.map((block) => drawBlock(block, message)));
  if (message.files.length) body.append(make("div", { className: "files" }, ...message.files.map(drawFile)));
  const reactions = Object.entries(message.reactions).map(([sign, count]) => (
    make("span", { className: "reaction", textContent: `${sign} ${count}` })));
  if (reactions.length) body.append(make("div", { className: "elements" }, ...reactions));
  return body;
}

function drawTask(task) {
  const sign = make("span", { className: "sign", textContent: TASK_SIGNS[task.status] || "…" });
  const card = make("div", { className: `task ${task.status || ""}` }, sign, make("b", { textContent: task.title || "" }));
  for (const line of [task.details, task.output]) {
    if (line) card.append(make("small", { textContent: line }));
  }
  return card;
}

function drawBlock(block, message) {
  if (block.type === "divider") return make("hr");
  if (block.type === "image") return drawImage(block);
  const drawn = make("div", { className: `block ${block.type}` });
  if (block.html) drawn.append(make("div", { className: "words", innerHTML: block.html }));
  if (block.elements?.length) {
    drawn.append(make("div", { className: "elements" }, ...block.elements.map((each) => drawElement(each, message))));
  }
  return drawn;
}

function drawImage(block) {
  if (block.source) return make("img", { src: addressOf(block.source), alt: block.alt });
  return make("p", { className: "file", textContent: `Image: ${block.alt}` });
}

function drawElement(element, message) {
  const click = (chosen) => act("click", { ...at(message), action_id: element.action_id, ...chosen });
  if (element.type === "button") {
    const button = makeButton(element.text.text, () => click({ value: element.value }));
    button.className = element.style || "";
    return button;
  }
  if (element.options) return drawSelect(element, click);
  return make("span", { textContent: `(${element.type})` });
}

// A static select, or an overflow menu, which has nothing chosen.
function drawSelect(element, click) {
  const placeholder = element.placeholder?.text || (element.type === "overflow" ? "⋯" : "Choose");
  const select = make("select", { ariaLabel: placeholder });
  const nothing = { value: "", textContent: placeholder, hidden: true, selected: true };
  if (!element.initial_option) select.append(make("option", nothing));
  for (const option of element.options) {
    const selected = option.value === element.initial_option?.value;
    select.append(make("option", { value: option.value, textContent: option.text.text, selected }));
  }
  select.onchange = () => click({ selected_option: element.options.find((option) => option.value === select.value) });
  return select;
}

const at = (message) => ({ channel: message.channel, ts: message.ts });

function drawMenu(message) {
  const label = "Reply in thread";
  const reply = makeButton("", () => moveTo({ thread: rootOf(message) }), { ariaLabel: label, title: label });
  reply.append(make("span", { className: "sign im" }));
  const items = make("div", { className: "items" }, ...menuItems(message));
  const more = make("summary", { textContent: "⋯", ariaLabel: "More actions", title: "More actions" });
  const menu = make("details", { name: "menu" }, more, items);
  items.onclick = () => { menu.open = false; };
  menu.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    menu.open = false;
    more.focus();
  };
  return make("div", { className: "tools" }, reply, menu);
}

function menuItems(message) {
  const items = Object.values(seen.shortcuts).map((shortcut) => makeButton(shortcut.name, () => {
    moveTo({ thread: rootOf(message) });
    act("shortcut", { ...at(message), callback_id: shortcut.callback_id });
  }));
  if (message.user === me().id) {
    items.push(makeButton("Edit message", (event) => edit(message, event.target.closest("article"))));
    items.push(makeButton("Delete message", () => act("delete", at(message)), { className: "danger" }));
  }
  return items;
}

// In the message's own place. The server's next word about the message puts its body back.
function edit(message, element) {
  const body = element.querySelector(".body");
  const input = make("textarea", { value: decoded(message.text), ariaLabel: "Edit message" });
  const close = () => editor.replaceWith(body);
  const save = () => { close(); act("edit", { ...at(message), text: encoded(input.value.trim()) }); };
  const editor = make("div", { className: "body editor" }, input, makeButton("Save", save), makeButton("Cancel", close));
  input.onkeydown = (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); save(); }
  };
  body.replaceWith(editor);
  input.focus();
}
