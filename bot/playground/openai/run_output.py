"""What a run writes: its messages and steps, in the thread and on its stream."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.playground.openai.containers import FOLDER
from bot.playground.openai.events import Event, EventLog
from bot.playground.openai.records import File, Json, Message, Run, RunStep, new_id
from bot.playground.openai.vector_store_files import searchable, stores_of_resources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.playground.openai.brain import (
        CodeInterpreterCall,
        FileCitation,
        FileLink,
        FileSearch,
        FunctionCall,
        MadeFile,
    )
    from bot.playground.openai.state import State


FOUND_CONTENT = "step_details.tool_calls[*].file_search.results[*].content"
"""What `include` may hold for run steps: reference, "List run steps"."""


def shown_step(step: RunStep, include: bool) -> Json:
    """The step as the API sends it: what a search found is only there for who asks with `include`."""
    shown = step.wire()
    calls = step.step_details.get("tool_calls") or ()
    if include or not any(call["type"] == "file_search" for call in calls):
        return shown
    return shown | {"step_details": {**step.step_details, "tool_calls": [_without_content(call) for call in calls]}}


def _without_content(call: Json) -> Json:
    if call["type"] != "file_search":
        return call
    results = [
        {key: value for key, value in found.items() if key != "content"} for found in call["file_search"]["results"]
    ]
    return {**call, "file_search": {**call["file_search"], "results": results}}


class RunOutput:
    """One run's messages and steps, opened and closed in the order that the API documents."""

    def __init__(self, state: State, run: Run, log: EventLog, *, include: bool) -> None:
        """`include` says whether the stream holds what a search found, word for word."""
        self._include = include
        self._state = state
        self._run = run
        self._log = log
        self._step: RunStep | None = None
        self._message: Message | None = None
        self._text = ""
        self._annotations: list[Json] = []
        self._images: list[str] = []
        """Ids of images that the next message opens with."""
        self._made: dict[str, str] = {}
        """The id of each file that code made, by its name."""
        self.characters = 0

    def write(self, text: str, annotation: Json | None = None) -> None:
        """Adds text, with an annotation where it has one, to the open message; opens one if there is none."""
        message = self._message or self._open_message()
        self._text += text
        self.characters += len(text)
        place = len(message.content) - (1 if self._has_text(message) else 0)
        delta: Json = {"value": text, "annotations": []}
        if annotation is not None:
            delta["annotations"] = [{"index": len(self._annotations), **annotation}]
            self._annotations.append(annotation)
        block = {"type": "text", "text": {"value": self._text, "annotations": list(self._annotations)}}
        self._keep_message(replace(message, content=[*message.content[:place], block]))
        self._message_delta(message, {"index": place, "type": "text", "text": delta})

    def cite(self, text: str, cited: str, annotation: Json) -> None:
        """Adds text with an annotation of the `cited` part of it."""
        start = len(self._text) + text.index(cited)
        self.write(text, {**annotation, "text": cited, "start_index": start, "end_index": start + len(cited)})

    def run_code(self, call: CodeInterpreterCall) -> None:
        """A finished code interpreter step: its input in lines, then its output. Its images open the next message."""
        self.close()
        key = new_id("call_")
        self._open_step("tool_calls", {"type": "tool_calls", "tool_calls": []})
        self._code_delta(key, {"input": "", "outputs": []})
        for line in call.code.splitlines(keepends=True):
            self._code_delta(None, {"input": line})
        outputs: list[Json] = [{"type": "logs", "logs": call.logs}] if call.logs else []
        images = [self._keep_made(made) for made in call.files if made.is_image]
        outputs += [{"type": "image", "image": {"file_id": image.id}} for image in images]
        for index, output in enumerate(outputs):
            self._code_delta(None, {"outputs": [{"index": index, **output}]})
        for made in call.files:
            if not made.is_image:
                self._keep_made(made)
        self._images += [image.id for image in images]
        interpreter = {"input": call.code, "outputs": outputs}
        whole = {"id": key, "type": "code_interpreter", "code_interpreter": interpreter}
        self._end_step("completed", {"type": "tool_calls", "tool_calls": [whole]})

    def link(self, link: FileLink) -> None:
        """A link to a file that code of this run made."""
        if link.name not in self._made:
            raise LookupError(f"no code made a file {link.name!r}")
        path = f"sandbox:{FOLDER}{link.name}"
        if link.text:
            annotation = {"type": "file_path", "file_path": {"file_id": self._made[link.name]}}
            self.cite(f"[{link.name}]({path})", path, annotation)

    def search(self, search: FileSearch) -> None:
        """A finished file search step."""
        self.close()
        key = new_id("call_")
        self._open_step("tool_calls", {"type": "tool_calls", "tool_calls": []})
        self._step_delta({"index": 0, "id": key, "type": "file_search", "file_search": {}})
        results = [
            {
                "file_id": self._searched(passage.filename).id,
                "file_name": passage.filename,
                "score": passage.score,
                "content": [{"type": "text", "text": passage.text}],
            }
            for passage in search.passages
        ]
        ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
        found = {"ranking_options": ranking, "results": results}
        whole = {"id": key, "type": "file_search", "file_search": found}
        self._end_step("completed", {"type": "tool_calls", "tool_calls": [whole]})

    def cite_file(self, citation: FileCitation) -> None:
        """The mark of a file that was found, with its annotation."""
        file = self._searched(citation.filename)
        mark = f"【4:{len(self._annotations)}†{file.filename}】"
        self.cite(mark, mark, {"type": "file_citation", "file_citation": {"file_id": file.id}})

    def _searched(self, name: str) -> File:
        assistant = self._state.assistants.get(self._run.assistant_id)
        own = None if assistant is None else assistant.tool_resources
        stores = stores_of_resources(own, self._state.threads[self._run.thread_id].tool_resources)
        ready = searchable(self._state, stores)
        if name not in ready:
            raise LookupError(f"no vector store of this run has {name!r} ready")
        return ready[name]

    def ask(self, calls: Sequence[FunctionCall]) -> list[Json]:
        """Opens a step that waits for these functions; returns the tool calls, as `required_action` holds them."""
        self.close()
        self._open_step("tool_calls", {"type": "tool_calls", "tool_calls": []})
        wanted = [self._function(index, call) for index, call in enumerate(calls)]
        details = {
            "type": "tool_calls",
            "tool_calls": [{**each, "function": {**each["function"], "output": None}} for each in wanted],
        }
        assert self._step is not None
        self._keep_step(replace(self._step, step_details=details))
        return wanted

    def redirect(self, log: EventLog) -> None:
        """What follows goes to another stream."""
        self._log = log

    def take(self, outputs: dict[str, str]) -> None:
        """Closes the step that `ask` opened with the functions' outputs."""
        assert self._step is not None
        calls = self._step.step_details["tool_calls"]
        filled = [{**each, "function": {**each["function"], "output": outputs[each["id"]]}} for each in calls]
        self._end_step("completed", {"type": "tool_calls", "tool_calls": filled})

    def close(self) -> None:
        """Completes the open message and its step."""
        if self._message is not None:
            self._keep_message(replace(self._message, status="completed", completed_at=self._state.now))
            self._emit("thread.message.completed", self._message.wire())
            self._forget_message()
            self._end_step("completed")

    def finish(self) -> None:
        """Completes what is open; images that no message showed get one of their own."""
        if self._images and self._message is None:
            self._open_message()
        self.close()

    def abort(self, status: str, reason: str) -> None:
        """Ends what is open because the run ends in `status`; `reason` is the message's `incomplete_details`."""
        if self._message is not None:
            details = {"reason": reason}
            message = replace(
                self._message,
                status="incomplete",
                incomplete_at=self._state.now,
                incomplete_details=details,
            )
            self._keep_message(message)
            self._emit("thread.message.incomplete", message.wire())
            self._forget_message()
        if self._step is not None:
            self._end_step("completed" if status == "incomplete" else status)

    def _open_message(self) -> Message:
        key, now = new_id("msg_"), self._state.now
        run = self._run
        self._open_step("message_creation", {"type": "message_creation", "message_creation": {"message_id": key}})
        message = Message(
            id=key,
            created_at=now,
            thread_id=run.thread_id,
            role="assistant",
            status="in_progress",
            assistant_id=run.assistant_id,
            run_id=run.id,
        )
        self._keep_message(message)
        self._emit("thread.message.created", message.wire())
        self._emit("thread.message.in_progress", message.wire())
        return self._show_images(message)

    def _show_images(self, message: Message) -> Message:
        for index, key in enumerate(self._images):
            block = {"type": "image_file", "image_file": {"file_id": key, "detail": "auto"}}
            message = replace(message, content=[*message.content, block])
            self._keep_message(message)
            self._message_delta(message, {"index": index, **block})
        self._images = []
        return message

    def _forget_message(self) -> None:
        self._message, self._text, self._annotations = None, "", []

    def _has_text(self, message: Message) -> bool:
        return bool(message.content) and message.content[-1]["type"] == "text"

    def _keep_made(self, made: MadeFile) -> File:
        file = File(
            id=new_id("file-"),
            created_at=self._state.now,
            bytes=len(made.content),
            filename=FOLDER + made.name,
            purpose="assistants_output",
            content=base64.b64encode(made.content).decode(),
        )
        self._state.files[file.id] = file
        self._made[made.name] = file.id
        return file

    def _open_step(self, kind: str, details: Json) -> None:
        run = self._run
        step = RunStep(
            id=new_id("step_"),
            created_at=self._state.now,
            run_id=run.id,
            assistant_id=run.assistant_id,
            thread_id=run.thread_id,
            type=kind,
            step_details=details,
        )
        self._keep_step(step)
        self._emit("thread.run.step.created", shown_step(step, self._include))
        self._emit("thread.run.step.in_progress", shown_step(step, self._include))

    def _end_step(self, status: str, details: Json | None = None) -> None:
        assert self._step is not None
        changes: dict[str, Any] = {"status": status, f"{status}_at": self._state.now}
        step = replace(self._step, **changes, step_details=details or self._step.step_details)
        self._keep_step(step)
        self._step = None
        self._emit(f"thread.run.step.{status}", shown_step(step, self._include))

    def _code_delta(self, key: str | None, interpreter: Json) -> None:
        call: Json = {"index": 0, "type": "code_interpreter", "code_interpreter": interpreter}
        self._step_delta(call if key is None else {**call, "id": key})

    def _function(self, index: int, call: FunctionCall) -> Json:
        key = new_id("call_")
        first = {"name": call.name, "arguments": "", "output": None}
        self._step_delta({"index": index, "id": key, "type": "function", "function": first})
        self._step_delta({"index": index, "type": "function", "function": {"arguments": call.arguments}})
        return {"id": key, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}

    def _message_delta(self, message: Message, part: Json) -> None:
        delta = {"id": message.id, "object": "thread.message.delta", "delta": {"content": [part]}}
        self._emit("thread.message.delta", delta)

    def _step_delta(self, call: Json) -> None:
        assert self._step is not None
        details = {"type": "tool_calls", "tool_calls": [call]}
        delta = {
            "id": self._step.id,
            "object": "thread.run.step.delta",
            "delta": {"step_details": details},
        }
        self._emit("thread.run.step.delta", delta)

    def _keep_message(self, message: Message) -> None:
        self._message = message
        self._state.messages[message.thread_id][message.id] = message

    def _keep_step(self, step: RunStep) -> None:
        self._step = step
        self._state.steps[step.run_id][step.id] = step

    def _emit(self, name: str, data: Json) -> None:
        self._log.append(Event(name, data))
        self._state.changed()
