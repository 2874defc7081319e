// The page of the local Slack: its sidebar, its channel, its thread.
import { composer, post } from "./composer.js";
import { fill, make, makeButton } from "./messages.js";
import { act, here, listen, me, moveTo, onChange, place, rootOf, seen } from "./state.js";

const QUESTION = "I need to solve the equation `3x + 11 = 14`. Can you help me?";
const $ = (id) => document.getElementById(id);
const drawn = { channel: null, thread: null };

function nameOf(channel) {
  if (channel.kind === "im") return "Bobbin";
  if (channel.kind === "mpim") return channel.members.map((name) => name.split(" ")[0]).join(", ");
  return channel.name;
}

const isPrivate = (channel) => channel.kind === "im";

// Draws only what is new: an element that is replaced under a pressed mouse is never clicked.
function keep(element, version, draw) {
  const text = JSON.stringify(version);
  if (element.version === text) return;
  element.version = text;
  element.replaceChildren(...draw());
}

function drawSidebar() {
  const channels = Object.values(seen.channels);
  const people = Object.values(seen.people).filter((person) => !person.is_bot);
  keep($("channels"), channels, () => channels.map(drawChannel));
  keep($("person"), [people, me().name], () => people.map(drawPerson));
  for (const button of $("channels").querySelectorAll("button")) {
    button.ariaCurrent = button.dataset.channel === place.channel ? "page" : null;
  }
}

function drawChannel(channel) {
  const sign = make("span", { className: `sign ${channel.kind}`, ariaHidden: "true" });
  const button = makeButton("", () => go(channel.id));
  button.append(sign, nameOf(channel));
  button.dataset.testid = `channel-${isPrivate(channel) ? "dm" : channel.name}`;
  button.dataset.channel = channel.id;
  return make("li", {}, button);
}

function drawPerson({ name, real_name: textContent }) {
  return make("option", { value: name, textContent, selected: name === me().name });
}

function go(channel) {
  moveTo({ channel });
  if (isPrivate(seen.channels[channel])) act("open", {});
}

function draw() {
  const channel = seen.channels[place.channel];
  drawSidebar();
  drawHeader(channel);
  const messages = here(seen.messages);
  const replies = countReplies(messages);
  const roots = messages.filter((message) => rootOf(message) === message.ts);
  const loose = here(seen.ephemerals).filter((message) => !message.thread_ts);
  fill($("messages"), [...roots, ...loose], (message) => replies.get(message.ts) || 0);
  $("greeting").hidden = roots.length || loose.length || !channel.in;
  $("try").textContent = isPrivate(channel) ? QUESTION : `@Bobbin ${QUESTION}`;
  drawPrompts(channel);
  drawThread(messages);
  arrive();
}

// Where the person has just come, they see the newest, and may write at once.
function arrive() {
  const isElsewhere = drawn.channel !== place.channel;
  const isInOtherThread = drawn.thread !== place.thread;
  Object.assign(drawn, place);
  if (isElsewhere) $("messages").scrollTop = $("messages").scrollHeight;
  if (isInOtherThread && place.thread) $("replies").scrollTop = $("replies").scrollHeight;
  if (!isElsewhere && !isInOtherThread) return;
  document.querySelector(place.thread ? "#thread-composer textarea" : "#composer textarea").focus();
}

function drawHeader(channel) {
  const sign = channel.kind === "channel" ? "#" : "";
  $("title").textContent = sign + nameOf(channel);
  $("topic").textContent = topicOf(channel);
  const hint = isPrivate(channel) ? "Message Bobbin" : `Message ${sign}${nameOf(channel)} — try @Bobbin or /assistant`;
  document.querySelector("#composer textarea").placeholder = hint;
}

function topicOf(channel) {
  if (isPrivate(channel)) return "Every message here begins a thread";
  return channel.in ? channel.members.join(", ") : "Bobbin is not in this channel";
}

function countReplies(messages) {
  const counts = new Map();
  for (const { thread_ts: root, ts } of messages) {
    if (root && root !== ts) counts.set(root, (counts.get(root) || 0) + 1);
  }
  return counts;
}

function drawPrompts(channel) {
  const prompts = isPrivate(channel) ? seen.prompts[channel.id] || [] : [];
  keep($("prompts"), prompts, () => prompts.map(({ title, message }) => {
    const button = makeButton(title, () => post(message), { title: message });
    button.dataset.testid = "prompt";
    return button;
  }));
}

function drawThread(messages) {
  $("thread").hidden = !place.thread;
  if (!place.thread) {
    $("replies").replaceChildren();
    return;
  }
  const said = messages.filter((message) => rootOf(message) === place.thread);
  const own = here(seen.ephemerals).filter((message) => message.thread_ts === place.thread);
  fill($("replies"), [...said, ...own], () => 0);
  const key = `${place.channel}/${place.thread}`;
  const isWorking = seen.sessions[key] === "processing";
  $("status").textContent = seen.statuses[key] ? `Bobbin ${seen.statuses[key]}` : isWorking ? "Bobbin is writing…" : "";
  $("stop").hidden = !isWorking;
}

// A column that narrows wraps its lines: whoever saw the newest goes on seeing it.
function keepTheNewest(list) {
  let isAtNewest = true;
  list.addEventListener("scroll", () => {
    isAtNewest = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  });
  new ResizeObserver(() => { if (isAtNewest) list.scrollTop = list.scrollHeight; }).observe(list);
}

const closeThread = () => moveTo({});
keepTheNewest($("messages"));
keepTheNewest($("replies"));

onChange(draw);
$("close").onclick = closeThread;
$("thread").onkeydown = ({ key }) => { if (key === "Escape") closeThread(); };
$("try").onclick = ({ target }) => post(target.textContent);
$("stop").onclick = () => act("stop", { thread_ts: place.thread });
$("person").onchange = ({ target }) => listen(target.value);
composer($("composer"), false);
composer($("thread-composer"), true);
listen("ada");
