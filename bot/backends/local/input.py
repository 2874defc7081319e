"""What is sent of a conversation: its items in the form that every server takes, and that this model takes.

llama.cpp takes what an assistant said only as a whole output message, typed, in parts of output text
(https://github.com/ggml-org/llama.cpp/issues/26394); vLLM checks that message as the SDK's ResponseOutputMessageParam.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.backends.local.exchanges import OURS, Item

#: The names of an item's pictures, in their order.
PICTURES = f"{OURS}pictures"
#: What chat templates say that want people and the assistant to take turns, such as those of Gemma and Mistral: vLLM
#: answers so with 400, llama.cpp with 500, LM Studio within its stream.
_TURNS = re.compile(r"\bmust alternate\b", re.IGNORECASE)
#: What servers say of a model without eyes: llama.cpp with 500, vLLM with 400.
_SIGHT = re.compile(r"image|picture|vision|multi-?modal|mmproj", re.IGNORECASE)
_NO_ANSWER = "(This was not answered.)"
_LEFT_OUT = "(What was said before is left out.)"


@dataclass(frozen=True, slots=True)
class Form:
    """What a model turned out not to take: several messages of one side in a row, where they are to take `turns`; and
    pictures, by their digests. A picture may be broken, so that one says nothing about the next."""

    turns: bool = False
    unseen: frozenset[str] = frozenset()

    def plainer(self, words: str, items: Sequence[Item], own: Sequence[Item], *, refused: bool) -> "Form | None":
        """The form to try after a server's `words`; None where they are about something else. `refused` is whether it
        refused the request without a reason that we know. The run's `own` pictures are the first to be left out:
        those before went through."""
        if not self.turns and _TURNS.search(words):
            return replace(self, turns=True)
        if refused or _SIGHT.search(words):
            for some in (own, items):
                pictures = frozenset(digest for _, digest in _pictures(some))
                if pictures - self.unseen:
                    return replace(self, unseen=self.unseen | pictures)
        return None

    def unseen_in(self, items: Iterable[Item]) -> tuple[str, ...]:
        """The names of the pictures that are left out of these."""
        return tuple(name for name, digest in _pictures(items) if digest in self.unseen) if self.unseen else ()


def sent(items: Sequence[Item], form: Form) -> list[dict[str, Any]]:
    """Items as they go to the server."""
    typed = [_typed(item, place, form) for place, item in enumerate(items)]
    return _in_turns(typed) if form.turns else typed


def _typed(item: Item, place: int, form: Form) -> dict[str, Any]:
    if "role" not in item:
        return dict(item)
    if item["role"] == "assistant":
        return _output(_text(item["content"]), place)
    return {"type": "message", "role": "user", "content": _seen(item, form)}


def _output(text: str, place: int) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    # Ids have to differ within a request, and no server has ever seen them.
    told = {"type": "message", "id": f"msg_{place:032x}", "role": "assistant", "status": "completed"}
    return {**told, "content": [part]}


def _seen(item: Item, form: Form) -> str | list[dict[str, Any]]:
    """A post's text and pictures, with words for those that the model does not take."""
    content: str | list[dict[str, Any]] = item["content"]
    if isinstance(content, str) or not form.unseen:
        return content
    names = iter(form.unseen_in([item]))
    parts = [_words(next(names)) if _digest(part) in form.unseen else part for part in content]
    # Some servers put the texts of several parts together without a gap.
    return parts if any(part["type"] == "input_image" for part in parts) else _text(parts)


def _words(name: str) -> dict[str, Any]:
    return {"type": "input_text", "text": f"[a picture that this model cannot see: {name}]"}


def _text(content: str | Sequence[Item]) -> str:
    return content if isinstance(content, str) else "\n\n".join(part["text"] for part in content if part.get("text"))


def _pictures(items: Iterable[Item]) -> list[tuple[str, str]]:
    """The names and digests of the pictures in these."""
    found: list[tuple[str, str]] = []
    for item in items:
        content = item.get("content")
        digests = [digest for part in content if (digest := _digest(part))] if isinstance(content, list) else []
        names = item.get(PICTURES) or ["picture"] * len(digests)
        found += zip(names, digests, strict=True)
    return found


def _digest(part: Item) -> str | None:
    url = part.get("image_url")
    return hashlib.blake2b(url.encode(), digest_size=16).hexdigest() if url else None


def _in_turns(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items in which somebody asks first, and nobody speaks twice in a row, whatever is called in between: what one
    side says becomes one message, and what was never answered gets a word for it."""
    turns: list[dict[str, Any]] = []
    latest: int | None = None
    for item in items:
        side, turn = item.get("role"), item
        if not turns and side != "user":
            turns.append({"type": "message", "role": "user", "content": _LEFT_OUT})
            latest = 0
        elif side and latest is not None and turns[latest]["role"] == side:
            if side == "user" and latest < len(turns) - 1:
                turns.append(_output(_NO_ANSWER, len(items) + len(turns)))
            else:
                turn = {**item, "content": _together(turns.pop(latest)["content"], item["content"])}
        turns.append(turn)
        latest = len(turns) - 1 if side else latest
    return turns


def _together(first: Any, second: Any) -> str | list[dict[str, Any]]:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    parts = [_parts(first), _parts(second)]
    return [part for some in parts for part in some]


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content
