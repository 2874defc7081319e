// What the server says is there, and where in it the person is.

export const seen = {
  me: {}, people: {}, channels: {}, messages: {}, ephemerals: {},
  statuses: {}, sessions: {}, prompts: {}, commands: {}, shortcuts: {},
};
export const place = { channel: null, thread: null };

let events;
let name;
let redraw = () => {};

export const me = () => seen.me.me;
export const isBot = (user) => Boolean(seen.people[user]?.is_bot);
export const rootOf = (message) => message.thread_ts || message.ts;
export const here = (parts) => Object.values(parts).filter((each) => each.channel === place.channel);

export function onChange(draw) {
  redraw = draw;
}

// `everything` is true for the first frame, and after the connection was lost.
function take({ all: everything, ...parts }) {
  for (const [part, changes] of Object.entries(parts)) {
    if (everything) seen[part] = {};
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) delete seen[part][key];
      else seen[part][key] = value;
    }
  }
}

export function listen(person) {
  name = person;
  events?.close();
  events = new EventSource(`/page/events?person=${encodeURIComponent(person)}`);
  events.onmessage = ({ data }) => {
    take(JSON.parse(data));
    if (!seen.channels[place.channel]) moveTo(fromAddress());
    else redraw();
  };
  events.onopen = () => document.body.classList.remove("lost");
  events.onerror = () => document.body.classList.add("lost");
}

// The place stands in the address, so that it outlives a reload.
function fromAddress() {
  const [channel, thread] = location.hash.slice(1).split("/");
  return seen.channels[channel] ? { channel, thread } : { channel: Object.keys(seen.channels)[0] };
}

export function moveTo({ channel = place.channel, thread = null }) {
  place.channel = channel;
  place.thread = thread;
  history.replaceState(null, "", `#${channel}${thread ? `/${thread}` : ""}`);
  redraw();
}

// As a form where files go along: the browser then sets the type and its boundary.
function request(said, files) {
  const body = JSON.stringify({ person: name, channel: place.channel, ...said });
  if (!files.length) return { method: "POST", headers: { "Content-Type": "application/json" }, body };
  const form = new FormData();
  form.append("said", body);
  for (const file of files) form.append("file", file, file.name);
  return { method: "POST", body: form };
}

// Returns what came of it; undefined where it was refused, which the person is told.
export async function act(deed, said, files = []) {
  let answer;
  try {
    answer = await (await fetch(`/page/${deed}`, request(said, files))).json();
  } catch {
    answer = { error: "The local Slack does not answer. Is it still running?" };
  }
  if (answer.error) tell(answer.error);
  return answer.done;
}

let hiding;

export function tell(text) {
  const toast = document.getElementById("toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { toast.hidden = true; }, 5000);
}
