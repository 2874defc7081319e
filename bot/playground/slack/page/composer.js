// The two boxes in which people write: one below the channel, one below the thread.
import { Attachments } from "./attachments.js";
import { make } from "./messages.js";
import { encoded, mentionsBot } from "./mrkdwn.js";
import { act, moveTo, place, seen, tell } from "./state.js";

export async function post(text, thread, files = []) {
  const { channel } = place;
  const written = encoded(text);
  const ts = await act("post", { channel, text: written, thread_ts: thread }, files);
  const { kind, in: isThere } = seen.channels[channel];
  const willAnswer = kind === "im" || (isThere && mentionsBot(written));
  if (ts && !thread && willAnswer && place.channel === channel) moveTo({ thread: ts });
}

function submit(text, inThread, files) {
  const [, command, rest] = /^(\/\S+)\s*(.*)$/s.exec(text) || [];
  if (!command || files.length) return post(text, inThread ? place.thread : undefined, files);
  if (inThread) return tell(`${command} is not supported in threads. Sorry!`);
  if (!seen.commands[command]) return tell(`${command} is not a valid command.`);
  return act("command", { command, text: rest });
}

// What may stand where the caret is: how much of the text it replaces, and with what.
function suggestionsFor(before, inThread) {
  const name = /(?:^|\s)@(\w*)$/.exec(before);
  if (name) {
    const people = Object.values(seen.people).filter((p) => p.real_name.toLowerCase().includes(name[1].toLowerCase()));
    const items = people.sort((a, b) => b.is_bot - a.is_bot).map((p) => [`@${p.real_name} `, p.is_bot ? "app" : ""]);
    return { length: name[1].length + 1, items };
  }
  if (inThread || !/^\/\w*$/.test(before)) return { length: 0, items: [] };
  const commands = Object.values(seen.commands).filter(({ command }) => command.startsWith(before));
  return { length: before.length, items: commands.map((each) => [`${each.command} `, each.usage_hint || each.description]) };
}

class Suggestions {
  constructor(list, input) {
    this.list = list;
    this.input = input;
  }

  get open() { return !this.list.hidden; }

  hide() { this.list.hidden = true; }

  show({ length, items }) {
    this.list.replaceChildren(...items.map(([text, hint]) => {
      const take = (event) => { event.preventDefault(); this.take(text, length); };
      const option = make("button", { type: "button", tabIndex: -1, onmousedown: take }, text.trim());
      option.append(make("small", { textContent: hint }));
      return option;
    }));
    this.list.hidden = !items.length;
    this.list.firstChild?.classList.add("on");
  }

  take(text, length) {
    const caret = this.input.selectionStart;
    this.input.setRangeText(text, caret - length, caret, "end");
    this.hide();
  }

  move(step) {
    const on = this.list.querySelector(".on");
    const next = step > 0 ? on.nextSibling || this.list.firstChild : on.previousSibling || this.list.lastChild;
    on.classList.remove("on");
    next.classList.add("on");
  }

  // Whether the key was meant for the suggestions.
  press(event) {
    const keys = {
      ArrowDown: () => this.move(1),
      ArrowUp: () => this.move(-1),
      Tab: () => this.list.querySelector(".on").onmousedown(event),
      Escape: () => this.hide(),
    };
    if (!this.open || !keys[event.key]) return false;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
    return true;
  }
}

export function composer(form, inThread) {
  const input = form.querySelector("textarea");
  const suggestions = new Suggestions(form.querySelector(".suggestions"), input);
  const attachments = new Attachments(form, () => input.focus());
  const grow = () => { input.style.height = "auto"; input.style.height = `${input.scrollHeight}px`; };

  input.oninput = () => { grow(); suggestions.show(suggestionsFor(input.value.slice(0, input.selectionStart), inThread)); };
  input.onblur = () => suggestions.hide();
  input.onkeydown = (event) => {
    if (suggestions.press(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    const text = input.value.trim();
    const files = attachments.take();
    if (!text && !files.length) return;
    input.value = "";
    suggestions.hide();
    grow();
    toTheNewest(form);
    submit(text, inThread, files);
  };
}

// Whoever writes wants to see what comes of it.
function toTheNewest(form) {
  const list = form.parentElement.querySelector(".messages");
  list.scrollTop = list.scrollHeight;
}
