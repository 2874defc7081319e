// Between what people type and Slack's own text.
import { isBot, seen } from "./state.js";

// As Slack's own composer does: what is typed is escaped, and outside of code names become mentions.
export function encoded(text) {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return escaped.split(/(```[^]*?```|`[^`\n]+`)/).map((piece, index) => (index % 2 ? piece : linked(piece))).join("");
}

function linked(text) {
  for (const person of Object.values(seen.people)) {
    for (const name of [person.real_name, person.name]) {
      text = text.replace(new RegExp(`@${name}\\b`, "gi"), `<@${person.id}>`);
    }
  }
  for (const channel of Object.values(seen.channels).filter(({ kind }) => kind === "channel")) {
    text = text.replace(new RegExp(`(^|\\s)#${channel.name}\\b`, "g"), `$1<#${channel.id}>`);
  }
  return text.replace(/(^|\s)(https?:\/\/[^\s<]+)/g, "$1<$2>");
}

export function decoded(text) {
  return text
    .replace(/<@(\w+)>/g, (_, id) => `@${seen.people[id]?.real_name || id}`)
    .replace(/<#(\w+)>/g, (_, id) => `#${seen.channels[id]?.name || id}`)
    .replace(/<(https?:[^|>]+)>/g, "$1")
    .replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

export const mentionsBot = (text) => [...text.matchAll(/<@(\w+)>/g)].some(([, id]) => isBot(id));
