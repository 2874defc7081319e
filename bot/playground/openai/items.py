"""Conversation items: made from what a caller sends, and read for what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.playground.openai.errors import bad_request
from bot.playground.openai.records import Json, new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.playground.openai.records import Response

_PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "reasoning": "rs_",
    "code_interpreter_call": "ci_",
    "mcp_approval_response": "mcpa_",
}


def input_items(given: str | list[Json] | None) -> list[Json]:
    """The items of a request's `input` or `items`, which passed its check, each with an id."""
    if given is None:
        return []
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    return [_item(each) for each in given]


def _item(given: Json) -> Json:
    kind = given.get("type") or "message"
    key = given.get("id") or new_id(_PREFIXES.get(kind, "item_"))
    item = {**given, "id": key, "type": kind}
    if kind in {"message", "function_call", "function_call_output"}:
        item["status"] = "completed"
    if kind == "message":
        item["content"] = _parts(given["role"], given["content"])
    return item


def _parts(role: str, content: str | list[Json]) -> list[Json]:
    if not isinstance(content, str):
        return [{"detail": "auto", **part} if part["type"] == "input_image" else part for part in content]
    if role == "assistant":
        return [output_text(content)]
    return [{"type": "input_text", "text": content}]


def output_text(text: str, annotations: Sequence[Json] = ()) -> Json:
    """A part of an answer."""
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def shown(item: Json, include: frozenset[str]) -> Json:
    """The item as the API sends it: some fields are there only for who asks for them with `include`."""
    if item["type"] == "message":
        return {**item, "content": [_shown_part(part, include) for part in item["content"]]}
    if item["type"] == "web_search_call" and "web_search_call.action.sources" not in include:
        return {**item, "action": {key: value for key, value in item["action"].items() if key != "sources"}}
    hidden = _ON_REQUEST.get(item["type"])
    if hidden is None or f"{item['type']}.{hidden}" in include:
        return item
    return {**item, hidden: None}


def _shown_part(part: Json, include: frozenset[str]) -> Json:
    if part["type"] != "input_image" or "message.input_image.image_url" in include:
        return part
    return {**part, "image_url": None}


def shown_response(response: Response, include: frozenset[str]) -> Json:
    """The response as the API sends it."""
    return {**response.wire(), "output": [shown(item, include) for item in response.output]}


_ON_REQUEST = {"code_interpreter_call": "outputs", "file_search_call": "results"}
"""Reference, "Create a model response", `include`."""


def resolve(items: Iterable[Json], known: dict[str, Json]) -> list[Json]:
    """The items, with references to stored items replaced by these; refuses unknown ones with 400."""
    return [_resolved(item, known) for item in items]


def _resolved(item: Json, known: dict[str, Json]) -> Json:
    if item["type"] != "item_reference":
        return item
    if item["id"] not in known:
        raise bad_request(f"Item with id '{item['id']}' not found.", param="input")
    return known[item["id"]]


def check_calls(items: Iterable[Json]) -> None:
    """Refuses a history in which a function call and its output do not come in pairs."""
    items = list(items)
    calls = [each["call_id"] for each in items if each["type"] == "function_call"]
    answered = [each["call_id"] for each in items if each["type"] == "function_call_output"]
    for call_id in calls:
        if call_id not in answered:
            raise bad_request(f"No tool output found for function call {call_id}.", param="input")
    for call_id in answered:
        if call_id not in calls:
            raise bad_request(f"No tool call found for function call output with call_id {call_id}.", param="input")


def check_repeats(given: str | list[Json] | None, history: Iterable[Json]) -> None:
    """Refuses items, unless they are references, that the conversation has already: the outputs are to come alone."""
    known = {each["id"] for each in history}
    for item in given if isinstance(given, list) else ():
        if item.get("type") != "item_reference" and item.get("id") in known:
            raise bad_request(
                f"Duplicate item found with id {item['id']}. Remove duplicate items from your input and try again.",
                param="input",
            )


def said(item: Json) -> tuple[str, str] | None:
    """The (role, text) of an item that says something."""
    if item["type"] == "message":
        return item["role"], _text(item["content"])
    if item["type"] == "function_call_output":
        return "tool", _text(item["output"])
    if item["type"] == "mcp_approval_response":
        return "tool", "approved" if item["approve"] else "denied"
    return None


def size(items: Iterable[Json]) -> int:
    """The characters of all that the items say."""
    return sum(len(pair[1]) for pair in map(said, items) if pair is not None)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or part.get("refusal") or "" for part in content)
