"""What a response writes: its output items, kept in the response and told on its stream."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.playground.openai.events import Event, EventLog
from bot.playground.openai.items import output_text
from bot.playground.openai.records import Json, new_id

if TYPE_CHECKING:
    from bot.playground.openai.brain import CodeInterpreterCall, FunctionCall
    from bot.playground.openai.state import State


class ResponseOutput:
    """One response's output items and events, numbered, in the order that the API documents."""

    def __init__(self, state: State, response_id: str, log: EventLog) -> None:
        self._state = state
        self._id = response_id
        self._log = log
        self._item: Json | None = None
        self._text = ""
        self.characters = 0

    def tell(self, state: str) -> None:
        """An event that carries the whole response, such as `response.completed`."""
        self._emit(state, response=self._state.responses[self._id].wire())

    def write(self, text: str) -> None:
        """Adds text to the open message; opens one if there is none."""
        item = self._item or self._open_message()
        self._text += text
        self.characters += len(text)
        self._emit("output_text.delta", **self._part_of(item), delta=text, logprobs=[])

    def run_code(self, call: CodeInterpreterCall) -> None:
        """A finished code interpreter call: its code in lines, then its output."""
        self.close()
        item = {
            "id": new_id("ci_"),
            "type": "code_interpreter_call",
            "status": "in_progress",
            "code": "",
            "container_id": new_id("cntr_"),
            "outputs": None,
        }
        place = self._open(item)
        self._emit("code_interpreter_call.in_progress", **place)
        for line in call.code.splitlines(keepends=True):
            self._emit("code_interpreter_call_code.delta", **place, delta=line)
        self._emit("code_interpreter_call_code.done", **place, code=call.code)
        self._emit("code_interpreter_call.interpreting", **place)
        self._emit("code_interpreter_call.completed", **place)
        logs = [{"type": "logs", "logs": call.logs}]
        self._done({**item, "status": "completed", "code": call.code, "outputs": logs})

    def ask(self, call: FunctionCall) -> None:
        """A function call for the client to run."""
        self.close()
        item = {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": new_id("call_"),
            "name": call.name,
            "arguments": "",
        }
        place = self._open(item)
        self._emit("function_call_arguments.delta", **place, delta=call.arguments)
        self._emit("function_call_arguments.done", **place, name=call.name, arguments=call.arguments)
        self._done({**item, "status": "completed", "arguments": call.arguments})

    def close(self, status: str = "completed") -> None:
        """Ends the open message, which is then `completed` or `incomplete`."""
        if self._item is None:
            return
        item = self._item
        part = output_text(self._text)
        self._emit("output_text.done", **self._part_of(item), text=self._text, logprobs=[])
        self._emit("content_part.done", **self._part_of(item), part=part)
        self._done({**item, "status": status, "content": [part]})
        self._item, self._text = None, ""

    def _open_message(self) -> Json:
        item: Json = {
            "id": new_id("msg_"),
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        self._open(item)
        self._item = item
        self._emit("content_part.added", **self._part_of(item), part=output_text(""))
        return item

    def _open(self, item: Json) -> Json:
        place = {"item_id": item["id"], "output_index": self._index}
        self._emit("output_item.added", output_index=self._index, item=item)
        return place

    def _done(self, item: Json) -> None:
        response = self._state.responses[self._id]
        self._emit("output_item.done", output_index=self._index, item=item)
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
