"""What a response writes: its output items, kept in the response and told on its stream."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.playground.openai.events import Event, EventLog
from bot.playground.openai.items import output_text, shown, shown_response
from bot.playground.openai.records import Json, new_id

if TYPE_CHECKING:
    from bot.playground.openai.response_items import ToolItem
    from bot.playground.openai.state import State


class ResponseOutput:
    """One response's output items and events, numbered, in the order that the API documents."""

    def __init__(self, state: State, response_id: str, log: EventLog, include: frozenset[str]) -> None:
        """`include` names what the events hold besides the usual."""
        self._state = state
        self._id = response_id
        self._log = log
        self._include = include
        self._item: Json | None = None
        self._text = ""
        self._annotations: list[Json] = []
        self.characters = 0

    def tell(self, state: str) -> None:
        """An event that carries the whole response, such as `response.completed`."""
        self._emit(state, response=shown_response(self._state.responses[self._id], self._include))

    def write(self, text: str) -> None:
        """Adds text to the open message; opens one if there is none."""
        item = self._item or self._open_message()
        self._text += text
        self.characters += len(text)
        self._emit("output_text.delta", **self._part_of(item), delta=text, logprobs=[])

    def cite(self, text: str, annotation: Json, cited: str | None = None) -> None:
        """Adds text, and an annotation whose range is the `cited` part of it (all of it when not given)."""
        if text:
            self.write(text)
        cited = text if cited is None else cited
        start = len(self._text) - len(text) + text.index(cited) if text else 0
        self._annotate(annotation | {"start_index": start, "end_index": start + len(cited)})

    def cite_here(self, annotation: Json) -> None:
        """Adds an annotation of the place that the text has reached."""
        self._annotate(annotation | {"index": len(self._text)})

    def _annotate(self, annotation: Json) -> None:
        item = self._item or self._open_message()
        place = {**self._part_of(item), "annotation_index": len(self._annotations)}
        self._annotations.append(annotation)
        self._emit("output_text.annotation.added", **place, annotation=annotation)

    def add(self, tool: ToolItem) -> None:
        """A whole item of a tool."""
        self.close()
        index = self._index
        self._emit("output_item.added", output_index=index, item=tool.begun)
        for kind, fields in tool.events:
            self._emit(kind, item_id=tool.begun["id"], output_index=index, **fields)
        self._done(tool.done)

    def close(self, status: str = "completed") -> None:
        """Ends the open message, which is then `completed` or `incomplete`."""
        if self._item is None:
            return
        item = self._item
        part = output_text(self._text, self._annotations)
        self._emit("output_text.done", **self._part_of(item), text=self._text, logprobs=[])
        self._emit("content_part.done", **self._part_of(item), part=part)
        self._done({**item, "status": status, "content": [part]})
        self._item, self._text, self._annotations = None, "", []

    def _open_message(self) -> Json:
        item: Json = {
            "id": new_id("msg_"),
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        self._emit("output_item.added", output_index=self._index, item=item)
        self._item = item
        self._emit("content_part.added", **self._part_of(item), part=output_text(""))
        return item

    def _done(self, item: Json) -> None:
        response = self._state.responses[self._id]
        self._emit("output_item.done", output_index=self._index, item=shown(item, self._include))
        self._state.responses[self._id] = replace(response, output=[*response.output, item])
        self._state.changed()

    def _part_of(self, item: Json) -> Json:
        return {"item_id": item["id"], "output_index": self._index, "content_index": 0}

    @property
    def _index(self) -> int:
        return len(self._state.responses[self._id].output)

    def _emit(self, kind: str, **fields: Any) -> None:
        name = f"response.{kind}"
        self._log.append(Event(name, {"type": name, "sequence_number": len(self._log), **fields}))
        self._state.changed()
