// The page of the local Slack. Text reaches the document as HTML that the server made safe, or as textContent.
"use strict";

const seen = { me: {}, people: {}, channels: {}, messages: {}, ephemerals: {}, statuses: {}, sessions: {}, prompts: {}, commands: {}, shortcuts: {} };
const place = { channel: null, thread: null };
const QUESTION = "@Bobbin I need to solve the equation `3x + 11 = 14`. Can you help me?";
const $ = (id) => document.getElementById(id);
let events;

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const me = () => seen.me.me;
const bot = () => Object.values(seen.people).find((person) => person.is_bot);
const isBot = (user) => user === bot().id;
const rootOf = (message) => message.thread_ts || message.ts;
const byTime = (a, b) => (a.ts < b.ts ? -1 : 1);
const inChannel = (parts) => Object.values(parts).filter((each) => each.channel === place.channel);

// What comes from the server

function listen(person) {
  events?.close();
  events = new EventSource(`/page/events?person=${encodeURIComponent(person)}`);
  events.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    for (const [part, changes] of Object.entries(frame)) {
      if (part === "all") continue;
      if (frame.all) seen[part] = {};
      for (const [key, value] of Object.entries(changes)) {
        if (value === null) delete seen[part][key];
        else seen[part][key] = value;
      }
    }
    if (!place.channel || !seen.channels[place.channel]) place.channel = Object.keys(seen.channels)[0];
    if (frame.all) drawSidebar();
    draw();
  };
}

async function act(name, said) {
  const body = JSON.stringify({ person: me().name, channel: place.channel, ...said });
  const response = await fetch(`/page/${name}`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const answer = await response.json().catch(() => ({ error: "The local Slack does not answer." }));
  if (answer.error) toast(answer.error);
  return answer.done;
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  setTimeout(() => { $("toast").hidden = true; }, 4000);
}

// Drawing

function nameOf(channel) {
  if (channel.kind === "im") return "Bobbin";
  if (channel.kind === "mpim") return "Ada, Grace, Bobbin";
  return channel.name;
}

function drawSidebar() {
  const icons = { channel: "# ", group: "⊘ ", mpim: "⁂ ", im: "● " };
  $("channels").replaceChildren(...Object.values(seen.channels).map((channel) => {
    const button = make("button", { type: "button", textContent: icons[channel.kind] + nameOf(channel), onclick: () => go(channel.id) });
    button.dataset.testid = `channel-${channel.kind === "im" ? "dm" : channel.name}`;
    button.dataset.channel = channel.id;
    return make("li", {}, button);
  }));
  const people = Object.values(seen.people).filter((person) => !person.is_bot);
  $("person").replaceChildren(...people.map((p) => make("option", { value: p.name, textContent: p.real_name, selected: p.name === me().name })));
}

function go(channel) {
  place.channel = channel;
  place.thread = null;
  if (seen.channels[channel].kind === "im") act("open", {});
  draw();
  $("messages").scrollTop = $("messages").scrollHeight;
  document.querySelector("#composer textarea").focus();
}

function openThread(ts) {
  place.thread = ts;
  draw();
  $("replies").scrollTop = $("replies").scrollHeight;
  document.querySelector("#thread-composer textarea").focus();
}

function draw() {
  const channel = seen.channels[place.channel];
  if (!channel) return;
  for (const button of $("channels").querySelectorAll("button")) {
    button.toggleAttribute("aria-current", button.dataset.channel === place.channel);
  }
  $("title").textContent = (channel.kind === "channel" ? "# " : "") + nameOf(channel);
  $("topic").textContent = channel.in ? (channel.kind === "im" ? "Every message here begins a thread" : "") : "Bobbin is not in this channel";
  document.querySelector("#composer textarea").placeholder = channel.kind === "im" ? "Message Bobbin" : `Message #${nameOf(channel)}  (try @Bobbin, or /assistant)`;
  const messages = inChannel(seen.messages);
  const roots = messages.filter((m) => !m.thread_ts || m.thread_ts === m.ts);
  const loose = inChannel(seen.ephemerals).filter((m) => !m.thread_ts);
  fill($("messages"), [...roots, ...loose].sort(byTime), (m) => repliesOf(messages, m));
  if (!roots.length && !loose.length && channel.in) $("messages").replaceChildren(greeting(channel));
  drawPrompts(channel);
  drawThread(messages);
}

const repliesOf = (messages, root) => messages.filter((m) => m.thread_ts === root.ts && m.ts !== root.ts).length;

function greeting(channel) {
  const text = channel.kind === "im" ? QUESTION.replace("@Bobbin ", "") : QUESTION;
  const button = make("button", { type: "button", textContent: text, onclick: () => post(text) });
  return make("div", { className: "greeting" }, "Nothing was said here yet. Try this:", button);
}

function drawPrompts(channel) {
  const prompts = channel.kind === "im" ? seen.prompts[channel.id] || [] : [];
  const buttons = prompts.map((prompt) => {
    const button = make("button", { type: "button", textContent: prompt.title, title: prompt.message, onclick: () => post(prompt.message) });
    button.dataset.testid = "prompt";
    return button;
  });
  $("prompts").replaceChildren(...buttons);
}

function drawThread(messages) {
  $("thread").hidden = !place.thread;
  if (!place.thread) return;
  const said = messages.filter((m) => rootOf(m) === place.thread);
  const own = inChannel(seen.ephemerals).filter((m) => m.thread_ts === place.thread);
  fill($("replies"), [...said, ...own].sort(byTime), () => 0);
  const key = `${place.channel}/${place.thread}`;
  const processing = seen.sessions[key] === "processing";
  const status = seen.statuses[key];
  $("status").textContent = status ? `Bobbin ${status}` : processing ? "Bobbin is writing…" : "";
  $("stop").hidden = !processing;
}

// Keeps the elements of messages that did not change, so that a selection or an open menu stays.
function fill(list, messages, replies) {
  const atBottom = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const known = new Map([...list.children].map((element) => [element.dataset.ts, element]));
  const wanted = messages.map((message) => {
    const count = replies(message);
    const version = JSON.stringify([message, count]);
    const old = known.get(message.ts);
    if (old && old.version === version) return old;
    const fresh = drawMessage(message, count);
    fresh.version = version;
    return fresh;
  });
  const same = wanted.length === list.children.length && wanted.every((element, i) => element === list.children[i]);
  if (!same) list.replaceChildren(...wanted);
  if (atBottom) list.scrollTop = list.scrollHeight;
}

function drawMessage(message, replies) {
  const person = seen.people[message.user] || { name: "?", real_name: "Somebody", is_bot: true };
  const ephemeral = message.ts in seen.ephemerals;
  const time = new Date(Number(message.ts.split(".")[0]) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const initials = person.real_name.split(" ").map((word) => word[0]).join("");
  const by = make("div", { className: "by" }, make("b", { textContent: person.real_name }));
  if (person.is_bot) by.append(make("span", { className: "app", textContent: "APP" }));
  by.append(make("time", { textContent: time }));
  if (message.edited) by.append(make("small", { textContent: "(edited)" }));
  const body = make("div", { className: "body", innerHTML: message.html });
  for (const task of message.tasks) body.append(make("p", { textContent: `${{ complete: "✓", error: "✗" }[task.status] || "…"} ${task.title || ""}` }));
  for (const block of message.blocks) drawBlock(body, block, message);
  const element = make("article", { className: `message${message.streaming ? " streaming" : ""}${ephemeral ? " ephemeral" : ""}` },
    make("div", { className: `avatar ${person.is_bot ? "bot" : person.name}`, textContent: initials, ariaHidden: "true" }), by, body);
  element.dataset.ts = message.ts;
  element.dataset.testid = ephemeral ? "ephemeral" : "message";
  element.dataset.user = person.name;
  if (ephemeral) element.prepend(make("span", { className: "only", textContent: "Only visible to you" }));
  if (replies) {
    const count = make("button", { type: "button", className: "count", textContent: `${replies} ${replies === 1 ? "reply" : "replies"}`, onclick: () => openThread(message.ts) });
    count.dataset.testid = "reply-count";
    element.append(count);
  }
  if (!ephemeral) element.append(drawTools(message));
  return element;
}

function drawBlock(body, block, message) {
  if (block.html) body.append(make("div", { innerHTML: block.html }));
  if (block.type === "divider") body.append(make("hr"));
  if (block.elements) body.append(make("div", { className: "elements" }, ...block.elements.map((element) => drawElement(element, message))));
}

function drawElement(element, message) {
  const click = (chosen) => act("click", { channel: message.channel, ts: message.ts, action_id: element.action_id, ...chosen });
  if (element.type === "button") {
    return make("button", { type: "button", textContent: element.text.text, onclick: () => click({ value: element.value }) });
  }
  if (element.options) {
    const chosen = element.initial_option?.value;
    const options = element.options.map((o) => make("option", { value: o.value, textContent: o.text.text, selected: o.value === chosen }));
    const select = make("select", { ariaLabel: element.placeholder?.text || "Choose" }, ...options);
    select.onchange = () => click({ selected_option: element.options.find((o) => o.value === select.value) });
    return select;
  }
  return make("span", { textContent: `(${element.type})` });
}

function drawTools(message) {
  const at = { channel: message.channel, ts: message.ts };
  const tool = (text, onclick) => make("button", { type: "button", textContent: text, onclick });
  const tools = make("div", { className: "tools" }, tool("Reply", () => openThread(rootOf(message))));
  for (const shortcut of Object.values(seen.shortcuts)) {
    tools.append(tool(shortcut.name, () => { openThread(rootOf(message)); act("shortcut", { ...at, callback_id: shortcut.callback_id }); }));
  }
  if (message.user === me().id) {
    tools.append(tool("Edit", () => edit(message)), tool("Delete", () => act("delete", at)));
  }
  return tools;
}

function edit(message) {
  const text = prompt("Edit your message", message.text);
  if (text !== null && text !== message.text) act("edit", { channel: message.channel, ts: message.ts, text });
}

// Writing

// As Slack's own composer does: what is typed is escaped, names become mentions.
function encode(text) {
  let encoded = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  for (const person of Object.values(seen.people)) {
    for (const name of [person.real_name, person.name]) {
      encoded = encoded.replace(new RegExp(`@${name}\\b`, "gi"), `<@${person.id}>`);
    }
  }
  for (const channel of Object.values(seen.channels)) {
    if (channel.kind === "channel") encoded = encoded.replace(new RegExp(`(^|\\s)#${channel.name}\\b`, "g"), `$1<#${channel.id}>`);
  }
  return encoded.replace(/(^|\s)(https?:\/\/[^\s<]+)/g, "$1<$2>");
}

async function post(text, thread_ts) {
  const ts = await act("post", { text: encode(text), thread_ts: thread_ts || undefined });
  const isDirect = seen.channels[place.channel].kind === "im";
  if (ts && !thread_ts && (isDirect || /@bobbin\b/i.test(text))) openThread(ts);
}

function submit(text, inThread) {
  const command = /^(\/\S+)\s*(.*)$/s.exec(text);
  if (!command) return post(text, inThread ? place.thread : undefined);
  if (inThread) return toast(`${command[1]} is not supported in threads. Sorry!`);
  if (!seen.commands[command[1]]) return toast(`${command[1]} is not a valid command.`);
  return act("command", { command: command[1], text: command[2] });
}

function composer(form, inThread) {
  const input = form.querySelector("textarea");
  const list = form.querySelector(".suggestions");
  const grow = () => { input.style.height = "auto"; input.style.height = `${input.scrollHeight}px`; };
  const hide = () => { list.hidden = true; list.replaceChildren(); };

  const suggest = () => {
    const before = input.value.slice(0, input.selectionStart);
    const name = /(^|\s)@(\w*)$/.exec(before);
    const slash = /^\/\w*$/.exec(before);
    let found = [];
    if (name) found = Object.values(seen.people).filter((p) => p.real_name.toLowerCase().includes(name[2].toLowerCase())).map((p) => [`@${p.real_name} `, p.is_bot ? "app" : ""]);
    else if (slash && !inThread) found = Object.values(seen.commands).filter((c) => c.command.startsWith(before)).map((c) => [`${c.command} `, c.usage_hint || c.description]);
    const length = name ? name[2].length + 1 : before.length;
    list.replaceChildren(...found.map(([text, hint]) => make("button", { type: "button", onmousedown: (event) => { event.preventDefault(); take(text, length); } }, text.trim(), make("small", { textContent: hint }))));
    list.hidden = !found.length;
    list.firstChild?.classList.add("on");
  };

  const take = (text, length) => {
    const start = input.selectionStart - length;
    input.setRangeText(text, start, input.selectionStart, "end");
    hide();
    input.focus();
  };

  const move = (step) => {
    const on = list.querySelector(".on");
    const next = step > 0 ? on.nextSibling || list.firstChild : on.previousSibling || list.lastChild;
    on.classList.remove("on");
    next.classList.add("on");
  };

  input.oninput = () => { grow(); suggest(); };
  input.onblur = hide;
  input.onkeydown = (event) => {
    if (!list.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) { event.preventDefault(); move(event.key === "ArrowDown" ? 1 : -1); }
    else if (!list.hidden && event.key === "Tab") { event.preventDefault(); list.querySelector(".on").onmousedown(event); }
    else if (event.key === "Escape") hide();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    hide();
    grow();
    submit(text, inThread);
  };
}

$("close").onclick = () => { place.thread = null; draw(); };
$("stop").onclick = () => act("stop", { thread_ts: place.thread });
$("person").onchange = (event) => { place.channel = null; place.thread = null; listen(event.target.value); };
composer($("composer"), false);
composer($("thread-composer"), true);
listen("ada");
