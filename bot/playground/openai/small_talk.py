"""What can be said without knowing anything: greetings, who is who, what was said before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.playground.openai.brain import Question, SeenFile

_LED_BY_NAME = re.compile(r"^([^:\n]{1,80}): ")
_LIKELY_NAME = re.compile(r"^([A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){1,3}): ")
_NAMES_LEAD = "begins with its author's name"
_ASKER = re.compile(r"The person asking is ([^.\n]{1,80})\.")
_ROLE = re.compile(r"\b[Yy]ou are ((?:an? |the )?[^.,;:\n]{1,80})")
_MENTION = re.compile(r"^\s*<?@\w+>?[\s,:]*")

_GREETING = re.compile(
    r"(?:hi|hello|hey|hallo|yo|good (?:morning|afternoon|evening))"
    r"(?:[\s,]+(?:there|bobbin|all|everyone|again|bot))*[\s!.👋]*",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"(?:many )?(?:thanks|thank you|thx|cheers|great|perfect|nice|ok|okay|cool)"
    r"(?:[\s,]+(?:a lot|so much|very much|thanks|thank you|bobbin|for your help))*[\s!.]*",
    re.IGNORECASE,
)
_HELP = re.compile(r"(?:help|what can you do|who are you|what are you)\b.{0,30}", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"\bwho am i\b|\bwhat(?:'s|’s| is) my name\b|\bdo you know (?:me|my name)\b", re.IGNORECASE)
_FIRST = re.compile(
    r"\bwhat did (?:i|we) (?:ask|say|write|want)\b.*\bfirst\b|\bmy first (?:question|message)\b", re.IGNORECASE
)
_BEFORE = re.compile(
    r"\bwhat did (?:i|we) (?:just )?(?:ask|say|write)\b|\bmy (?:last|previous) (?:question|message)\b", re.IGNORECASE
)
_SUMMARY = re.compile(r"\b(?:summar(?:y|i[sz]e)|recap|what did we talk about|who said what)\b", re.IGNORECASE)

ABILITIES = (
    "I can solve equations, inequalities and systems, work out numbers and percentages, simplify, factor, expand, "
    "differentiate and integrate, all with the steps; I know what was said in this thread; and on request I write "
    "demonstration texts, such as `write 30,000 characters`, `show a table` or `show code`. I call the tool that you "
    "name, where this assistant has it."
)
REAL_MODEL = (
    "For a real model, start the playground again with `OPENAI_API_KEY` set, or with `OPENAI_BASE_URL` for a server of "
    "your own."
)


@dataclass(frozen=True, slots=True)
class Post:
    """What a person wrote, and who that is, as far as it is known."""

    author: str | None
    text: str


def posts(question: Question) -> list[Post]:
    """What people wrote, oldest first, without the name and the mention in front."""
    lead = _LED_BY_NAME if _NAMES_LEAD in question.instructions else _LIKELY_NAME
    return [_post(text, lead) for role, text in question.messages if role == "user"]


def _post(text: str, lead: re.Pattern[str]) -> Post:
    name = lead.match(text)
    if name is not None:
        text = text[name.end() :]
    return Post(name.group(1) if name else None, _MENTION.sub("", text).strip())


def introduction(question: Question) -> str | None:
    """The line that says what this is, once in a conversation and once more when the assistant is another."""
    role = _ROLE.search(question.instructions)
    playing = f", and here I play {role.group(1).strip()}" if role else ""
    line = f"I am Bobbin's offline stand-in, not a language model{playing}."
    said = (text for speaker, text in question.messages if speaker == "assistant")
    return None if any(line in text for text in said) else line


def given_files(question: Question) -> str | None:
    """The sentence about the images and files that came since the last answer, if any came."""
    roles = [role for role, _ in question.messages]
    answered = max((index for index, role in enumerate(roles) if role == "assistant"), default=-1)
    new = [each for each in question.files if each.message is not None and each.message > answered]
    if not new:
        return None
    lines = "\n".join(f"- {_described(each)}" for each in new)
    return f"I was given this. I see what kind of file it is, but I cannot look inside:\n\n{lines}"


def _described(file: SeenFile) -> str:
    name = f"`{file.name}`" if file.name else f"an {file.kind}" if file.kind == "image" else "a file"
    facts = [file.media_type] if file.media_type else []
    if file.size:
        facts.append(f"{file.size:,} bytes")
    return f"{name} ({', '.join(facts)})" if facts else name


def small_talk(question: Question, heard: Sequence[Post]) -> str | None:
    """The reply to a short phrase or to a question about the thread, or None."""
    latest = heard[-1]
    if not latest.text and given_files(question):
        return "Ask me something besides: I do mathematics, with all the steps."
    if not latest.text or _HELP.fullmatch(latest.text):
        return f"{ABILITIES}\n\n{REAL_MODEL}"
    if _GREETING.fullmatch(latest.text):
        name = _asker(question, latest)
        return f"Hello{f', {name}' if name else ''}! What shall we work out?"
    if _THANKS.fullmatch(latest.text):
        return "You are welcome."
    if _NAME.search(latest.text):
        name = _asker(question, latest)
        return f"You are {name}." if name else "Nobody told me your name."
    return _recalled(latest.text, heard[:-1])


def _recalled(text: str, before: Sequence[Post]) -> str | None:
    if not any(pattern.search(text) for pattern in (_FIRST, _BEFORE, _SUMMARY)):
        return None
    if not before:
        return "Nothing was said before this."
    if _FIRST.search(text):
        return f"The first thing was:\n\n{_quoted(before[0])}"
    if _BEFORE.search(text):
        return f"The thing before was:\n\n{_quoted(before[-1])}"
    lines = [f"- {post.author or 'Somebody'}: {_shortened(post.text)}" for post in before[-20:]]
    return "This is what people wrote:\n\n" + "\n".join(lines)


def _asker(question: Question, latest: Post) -> str | None:
    told = _ASKER.search(question.instructions)
    return latest.author or (told.group(1) if told else None)


def _quoted(post: Post) -> str:
    return "\n".join(f"> {line}" for line in _shortened(post.text, 500).splitlines())


def _shortened(text: str, length: int = 120) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
