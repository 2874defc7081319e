"""One request as the endpoints see it, lists cut into pages, and streams."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.playground.openai import limits, schemas
from bot.playground.openai.errors import bad_request, not_found
from bot.playground.openai.events import Event
from bot.playground.openai.parameters import Check, array, integer, one_of, shape, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from bot.playground.openai.faults import Fault
    from bot.playground.openai.records import Json


_WHOLE = re.compile(r"-?[0-9]{1,18}")


class Cut(Exception):
    """The socket is to be closed now."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed authentication: its JSON body, and the fault that waits for it."""

    request: web.Request
    body: Json
    fault: Fault | None

    @property
    def lost(self) -> bool:
        """Whether a fault replaces the answer once the request is carried out."""
        return self.fault is not None and self.fault.loses_answer

    def path(self, name: str) -> str:
        """A placeholder of the path, such as the thread's id."""
        return self.request.match_info[name]

    def checked(self, check: Check) -> Json:
        """The body, after it passed the check."""
        check(self.body, "")
        return self.body

    def query(self, **known: Check) -> dict[str, Any]:
        """The query's parameters, after they passed their checks; `include` may come in its bracket form."""
        given: dict[str, Any] = {}
        for name, value in self.request.query.items():
            given[name.removesuffix("[]")] = int(value) if _WHOLE.fullmatch(value) else value
        self.include()
        shape(optional={"include": text(), **known})(given, "")
        return given

    def include(self) -> frozenset[str]:
        """What the query's `include` asks for besides the usual."""
        query = self.request.query
        asked = [*query.getall("include", ()), *query.getall("include[]", ())]
        array(schemas.INCLUDABLE)(asked, "include")
        return frozenset(asked)


_CLEARED: Json = {"metadata": {}, "tools": [], "tool_resources": {}}
"""What null means in an update, where the object has no null."""


def changes(body: Json) -> Json:
    """The fields that an update sets."""
    set_to = {name: _CLEARED.get(name) if value is None else value for name, value in body.items()}
    return {name: value for name, value in set_to.items() if value is not None or name != "model"}


def polled(body: Json, after_ms: int | None) -> Json | web.Response:
    """The answer to somebody who polls; `after_ms` is when to ask again."""
    if after_ms is None:
        return body
    return web.json_response(body, headers={"openai-poll-after-ms": str(after_ms)})


def page(call: Call, objects: Mapping[str, Json], kind: str, *, backwards: bool = True, **filters: Check) -> Json:
    """One page of `objects` (oldest first), as the query's `limit`, `order`, `after` and `before` ask for it.

    Not every list goes `backwards`, that is, knows `before`.
    """
    if backwards:
        filters["before"] = text()
    query = call.query(limit=integer(1, limits.PAGE_MAXIMUM), order=one_of("asc", "desc"), after=text(), **filters)
    ordered = list(objects.values()) if query.get("order") == "asc" else list(objects.values())[::-1]
    ids = [each["id"] for each in ordered]
    start = _position(ids, query["after"], kind) + 1 if "after" in query else 0
    end = _position(ids, query["before"], kind) if "before" in query else len(ids)
    limit = query.get("limit", limits.PAGE)
    window = ordered[start:end]
    if "before" in query and "after" not in query:
        return _listed(window[-limit:], more=len(window) > limit)
    return _listed(window[:limit], more=len(window) > limit)


def _position(ids: Sequence[str], key: str, kind: str) -> int:
    if key not in ids:
        raise not_found(kind, key)
    return ids.index(key)


def _listed(data: list[Json], *, more: bool) -> Json:
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


async def stream(call: Call, events: AsyncIterator[Event]) -> web.StreamResponse:
    """Sends the events as they come, with the faults that a test asked for."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    )
    await response.prepare(call.request)
    async for event in _with_faults(events, call.fault):
        await response.write(event.encode())
    await response.write_eof()
    return response


async def _with_faults(events: AsyncIterator[Event], fault: Fault | None) -> AsyncIterator[Event]:
    """The events, less what the fault takes away. The source is always read to its end, so that its run ends."""
    sent, muted = 0, False
    async for event in events:
        if fault is not None and fault.cut_after_events == sent:
            raise Cut
        if fault is not None and event.terminal and (fault.no_terminal or fault.error_event):
            if fault.error_event and not muted:
                yield _error_event(fault, event)
            muted = True
        if not muted:
            yield event
            sent += 1


def _error_event(fault: Fault, instead_of: Event) -> Event:
    fields = {"code": fault.code or "server_error", "message": fault.message, "param": None}
    if fault.error_event == "nested":
        return Event("error", {"type": "error", "error": {"type": fault.type, **fields}})
    number = instead_of.data.get("sequence_number", 0) if isinstance(instead_of.data, dict) else 0
    return Event("error", {"type": "error", **fields, "sequence_number": number})


def require_text(value: str, path: str) -> None:
    """Refuses empty text, as Assistants messages do."""
    if not value.strip():
        raise bad_request(f"Invalid '{path}': message content must be non-empty.", param=path)
