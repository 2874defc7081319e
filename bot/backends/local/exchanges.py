"""A conversation that Bobbin keeps, as exchanges: what was asked, what tools said, and the answer, together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.backends.limits import CHARACTERS_PER_TOKEN, IMAGE_TOKENS
from bot.backends.transcript import joined
from bot.engine.ports import HistoryItem, ToolCall

#: Marks an answer that was cut off. No server sees it.
_CUT = "bobbin_cut"


@dataclass(frozen=True, slots=True)
class Exchange:
    """`items` as the API takes them, oldest first."""

    items: tuple[Mapping[str, Any], ...]

    @property
    def tokens(self) -> int:
        """About how many the model reads; rather too many than too few."""
        return sum(map(_tokens, self.items))


def exchanges_of(items: Sequence[HistoryItem]) -> dict[str, Exchange]:
    """A conversation's exchanges by their ids, in the order in which they began."""
    grouped: dict[str, list[Any]] = {}
    for item in items:
        grouped.setdefault(item.exchange, []).append(json.loads(item.item))
    return {exchange: Exchange(tuple(each)) for exchange, each in grouped.items()}


def answer(text: str, *, cut: bool = False) -> dict[str, Any]:
    """What the assistant said, as an item; `cut` where the server ended it too early."""
    return {"role": "assistant", "content": text, **({_CUT: True} if cut else {})}


def is_open(exchange: Exchange) -> bool:
    """Whether it has no answer yet: the last thing said is not the assistant's."""
    return not exchange.items or exchange.items[-1].get("role") != "assistant"


def ends_with(exchanges: Sequence[Exchange], asked: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a conversation ends with this having been asked, and not answered, or not whole: by a run that is
    retried."""
    *_, last = (each.items for each in exchanges) if exchanges else [()]
    return bool(last) and list(last[:-1] if last[-1].get(_CUT) else last) == list(asked)


def calls_of(exchange: Exchange) -> tuple[ToolCall, ...]:
    """The calls that nobody answered yet."""
    answered = {item["call_id"] for item in exchange.items if item.get("type") == "function_call_output"}
    return tuple(
        ToolCall(item["call_id"], item["name"], item["arguments"])
        for item in exchange.items
        if item.get("type") == "function_call" and item["call_id"] not in answered
    )


def said_in(exchange: Exchange) -> str:
    """All that the assistant said in it."""
    return joined([str(item["content"]) for item in exchange.items if item.get("role") == "assistant"])


def trimmed(exchanges: Sequence[Exchange], tokens: int) -> list[Mapping[str, Any]] | None:
    """The items of the latest exchanges that fit into so many tokens, whole ones only, and always the last; None where
    that alone does not fit. An answer at the end that was cut off is left out: its question is asked again."""
    kept: list[Exchange] = []
    for exchange in reversed(exchanges):
        tokens -= exchange.tokens
        if tokens < 0:
            break
        kept.insert(0, exchange)
    if exchanges and not kept:
        return None
    items = [item for exchange in kept for item in exchange.items]
    if items and items[-1].get(_CUT):
        items.pop()
    return [{name: value for name, value in item.items() if name != _CUT} for item in items]


def _tokens(item: Mapping[str, Any]) -> int:
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    images = len([part for part in parts if part.get("type") == "input_image"])
    without = {**item, "content": [part for part in parts if part.get("type") != "input_image"]} if images else item
    return images * IMAGE_TOKENS + len(json.dumps(without, ensure_ascii=False)) // CHARACTERS_PER_TOKEN + 4
