"""/threads and their messages: https://developers.openai.com/api/reference, "Threads" and "Messages"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bot.playground.openai import schemas
from bot.playground.openai.calls import Call, changes, page, require_text
from bot.playground.openai.errors import bad_request
from bot.playground.openai.parameters import text
from bot.playground.openai.records import Json, Message, Thread, new_id
from bot.playground.openai.seen_files import check_message
from bot.playground.openai.vector_store_files import attach_to_search, resolve_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.playground.openai.router import Route
    from bot.playground.openai.state import State


class ThreadEndpoints:
    """Creates, shows, changes and deletes threads."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "POST", "/threads", self.create
        yield "GET", "/threads/{thread}", self.retrieve
        yield "POST", "/threads/{thread}", self.update
        yield "DELETE", "/threads/{thread}", self.delete

    async def create(self, call: Call) -> Json:
        return self.make(call.checked(schemas.THREAD_CREATE)).wire()

    async def retrieve(self, call: Call) -> Json:
        return self._find(call).wire()

    async def update(self, call: Call) -> Json:
        thread, body = self._find(call), call.checked(schemas.THREAD_UPDATE)
        if body.get("tool_resources"):
            body = {**body, "tool_resources": resolve_resources(self._state, body["tool_resources"])}
        thread = replace(thread, **changes(body))
        self._state.threads[thread.id] = thread
        return thread.wire()

    async def delete(self, call: Call) -> Json:
        thread = self._find(call)
        refuse_if_active(self._state, thread.id, f"delete {thread.id}")
        del self._state.threads[thread.id]
        del self._state.messages[thread.id]
        return {"id": thread.id, "object": "thread.deleted", "deleted": True}

    def make(self, body: Json) -> Thread:
        """A thread with its initial messages; `body` passed its check."""
        messages = [new_message(self._state, "", message) for message in body.get("messages") or ()]
        thread = Thread(
            id=new_id("thread_"),
            created_at=self._state.now,
            metadata=body.get("metadata") or {},
            tool_resources=resolve_resources(self._state, body.get("tool_resources")),
        )
        self._state.threads[thread.id] = thread
        self._state.messages[thread.id] = {each.id: replace(each, thread_id=thread.id) for each in messages}
        for message in self._state.messages[thread.id].values():
            attach(self._state, message)
        return self._state.threads[thread.id]

    def _find(self, call: Call) -> Thread:
        return self._state.find(self._state.threads, call.path("thread"), "thread")


class MessageEndpoints:
    """The messages of a thread."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "POST", "/threads/{thread}/messages", self.create
        yield "GET", "/threads/{thread}/messages", self.list
        yield "GET", "/threads/{thread}/messages/{message}", self.retrieve
        yield "POST", "/threads/{thread}/messages/{message}", self.update
        yield "DELETE", "/threads/{thread}/messages/{message}", self.delete

    async def create(self, call: Call) -> Json:
        messages = self._messages(call)
        body = call.checked(schemas.MESSAGE)
        refuse_if_active(self._state, call.path("thread"), f"add messages to {call.path('thread')}")
        message = new_message(self._state, call.path("thread"), body)
        messages[message.id] = message
        attach(self._state, message)
        return message.wire()

    async def list(self, call: Call) -> Json:
        run_id = call.request.query.get("run_id")
        shown = {key: each.wire() for key, each in self._messages(call).items() if run_id in {None, each.run_id}}
        return page(call, shown, "message", run_id=text())

    async def retrieve(self, call: Call) -> Json:
        return self._find(call).wire()

    async def update(self, call: Call) -> Json:
        message = replace(self._find(call), **changes(call.checked(schemas.MESSAGE_UPDATE)))
        self._messages(call)[message.id] = message
        return message.wire()

    async def delete(self, call: Call) -> Json:
        message = self._find(call)
        refuse_if_active(self._state, call.path("thread"), f"delete messages of {call.path('thread')}")
        del self._messages(call)[message.id]
        return {"id": message.id, "object": "thread.message.deleted", "deleted": True}

    def _messages(self, call: Call) -> dict[str, Message]:
        return self._state.find(self._state.messages, call.path("thread"), "thread")

    def _find(self, call: Call) -> Message:
        return self._state.find(self._messages(call), call.path("message"), "message")


def refuse_if_active(state: State, thread_id: str, what: str) -> None:
    """HTTP 400 while a run locks the thread; `what` is what cannot be done then."""
    run = state.active_run(thread_id)
    if run is not None:
        raise bad_request(f"Can't {what} while a run {run.id} is active.")


def new_message(state: State, thread_id: str, body: Json) -> Message:
    """A message from a body that passed its check; empty text and files that cannot be read are refused."""
    check_message(state, body)
    return Message(
        id=new_id("msg_"),
        created_at=state.now,
        thread_id=thread_id,
        role=body["role"],
        content=_blocks(body["content"]),
        attachments=body.get("attachments") or [],
        metadata=body.get("metadata") or {},
    )


def attach(state: State, message: Message) -> None:
    """Gives the message's attachments to its thread's tools, as the reference says of `attachments`."""
    thread = state.threads[message.thread_id]
    resources: Json = dict(thread.tool_resources or {})
    for_code = [key for key, tool in _attached(message) if tool == "code_interpreter"]
    if for_code:
        own = resources.get("code_interpreter", {}).get("file_ids") or []
        resources["code_interpreter"] = {"file_ids": [*own, *(key for key in for_code if key not in own)]}
    for_search = [key for key, tool in _attached(message) if tool == "file_search"]
    if for_search:
        resources = attach_to_search(state, resources, for_search)
    state.threads[thread.id] = replace(thread, tool_resources=resources)


def _attached(message: Message) -> Iterator[tuple[str, str]]:
    for attachment in message.attachments:
        for tool in attachment.get("tools") or ():
            yield attachment["file_id"], tool["type"]


def _blocks(content: str | list[Json]) -> list[Json]:
    written = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_block(each, f"content[{index}].text") for index, each in enumerate(written)]


def _block(written: Json, path: str) -> Json:
    if written["type"] != "text":
        return written
    require_text(written["text"], path)
    return {"type": "text", "text": {"value": written["text"], "annotations": []}}
