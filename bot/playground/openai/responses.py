"""/responses: https://developers.openai.com/api/reference, "Responses".

Choices where the reference is silent: a response that ends incomplete adds its items to its conversation like a
completed one, a failed or cancelled one adds nothing; a response in the foreground whose client goes away is
cancelled, unless the server was told `foreground_survives_disconnect`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.playground.openai import limits, schemas
from bot.playground.openai.brain import Brain, Question, SeenFile, functions_of
from bot.playground.openai.calls import Call, page, stream
from bot.playground.openai.containers import check_container
from bot.playground.openai.errors import ApiError, bad_request, conversation_locked
from bot.playground.openai.items import (
    check_calls,
    check_repeats,
    input_items,
    resolve,
    said,
    shown,
    shown_response,
    size,
)
from bot.playground.openai.mcp_approvals import check_approvals
from bot.playground.openai.parameters import integer, missing, one_of
from bot.playground.openai.records import Json, Response, new_id
from bot.playground.openai.response_execution import ResponseExecution
from bot.playground.openai.seen_files import check_items, seen_in, seen_in_containers
from bot.playground.openai.tool_schemas import check_choice
from bot.playground.openai.vector_store_files import check_stores, seen_in_stores, stores_of_tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aiohttp import web

    from bot.playground.openai.router import Route
    from bot.playground.openai.state import Options, State

_COPIED = (
    "background", "instructions", "previous_response_id", "max_output_tokens", "max_tool_calls", "metadata",
    "parallel_tool_calls", "prompt_cache_key", "safety_identifier", "service_tier", "store", "temperature",
    "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
)  # fmt: skip
"""Parameters that become fields of the response unchanged."""

_MERGED = ("reasoning", "text")
"""Parameters that become fields of the response together with their defaults."""


class ResponseEndpoints:
    """Makes responses, shows them, streams them again, cancels and deletes them."""

    def __init__(self, state: State, options: Options, brain: Brain) -> None:
        self._state = state
        self._options = options
        self._brain = brain
        self._executions: dict[str, ResponseExecution] = {}
        self._streamed: set[str] = set()

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "POST", "/responses", self.create
        yield "GET", "/responses/{response}", self.retrieve
        yield "DELETE", "/responses/{response}", self.delete
        yield "POST", "/responses/{response}/cancel", self.cancel
        yield "GET", "/responses/{response}/input_items", self.list_input

    async def create(self, call: Call) -> Json | web.StreamResponse:
        body = call.checked(schemas.RESPONSE_CREATE)
        self._check(body)
        response = self._new_response(body)
        history = self._history(response)
        check_repeats(body.get("input"), history)
        check_calls([*history, *response.input])
        check_approvals([*history, *response.input])
        self._check_thoughts(response.input)
        heard = self._fit(response, history)
        execution = self._start(response, heard, call)
        return await self._answer(call, execution)

    async def retrieve(self, call: Call) -> Json | web.StreamResponse:
        response = self._find(call)
        query = call.query(
            stream=one_of("true", "false"), starting_after=integer(0), include_obfuscation=one_of("true", "false")
        )
        if query.get("stream") != "true":
            return shown_response(response, call.include())
        execution = self._resumable(response)
        return await stream(call, execution.log.follow(query.get("starting_after", -1) + 1))

    async def delete(self, call: Call) -> Json:
        response = self._find(call)
        if response.active:
            self._executions[response.id].cancel()
        del self._state.responses[response.id]
        return {"id": response.id, "object": "response.deleted", "deleted": True}

    async def cancel(self, call: Call) -> Json:
        response = self._find(call)
        if not response.background:
            raise bad_request("Cannot cancel a synchronous response.")
        if response.active:
            self._executions[response.id].cancel()
        elif response.status != "cancelled":
            raise bad_request(f"Cannot cancel a {response.status} response.")
        return shown_response(self._state.responses[response.id], frozenset())

    async def list_input(self, call: Call) -> Json:
        include = call.include()
        items = {item["id"]: shown(item, include) for item in self._find(call).input}
        return page(call, items, "item", backwards=False)

    def forget_finished(self) -> None:
        """Forgets how responses were made that nobody can stream again."""
        for key in list(self._executions):
            response = self._state.responses.get(key)
            done = response is None or not response.active
            if done and (response is None or not response.background or self._is_old(response)):
                del self._executions[key]
                self._streamed.discard(key)

    async def stop(self) -> None:
        """Drops all responses where they are."""
        await asyncio.gather(*(each.stop() for each in self._executions.values()))

    def _check(self, body: Json) -> None:
        self._options.check_model(body["model"])
        self._options.switches.check_load(body["model"])
        if self._options.switches.lean:
            self._options.switches.lean.check(body)
        check_choice(body.get("tool_choice"), body.get("tools") or [])
        check_container(self._state, body.get("tools") or ())
        check_stores(self._state, body.get("tools") or ())
        check_items(self._state, body["input"] if isinstance(body.get("input"), list) else (), "input")
        if body.get("conversation") and body.get("previous_response_id"):
            raise bad_request(
                "Mutually exclusive parameters: 'conversation' and 'previous_response_id'. "
                "Ensure you are only providing one of them.",
                code="mutually_exclusive_parameters",
            )
        if not any(body.get(name) for name in ("input", "conversation", "previous_response_id")):
            raise missing("input")
        if "stream" in body and self._options.streaming == "refuse":
            raise bad_request("Unrecognized request argument supplied: stream")
        if body.get("background"):
            self._check_background(body)

    def _check_background(self, body: Json) -> None:
        if not self._options.background_allowed:
            raise bad_request("Background mode is not supported.", "unsupported_parameter", "background")
        if body.get("store") is False:
            raise bad_request("Background responses require 'store' to be true.", param="background")

    def _check_thoughts(self, items: Iterable[Json]) -> None:
        """Refuses a thought that is neither kept here nor sent along whole, in its encrypted form."""
        kept = self._known()
        for item in items:
            if item["type"] == "reasoning" and not item.get("encrypted_content") and item["id"] not in kept:
                raise ApiError(
                    404,
                    f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false. "
                    "Try again with `store` set to true, or remove this item from your input.",
                    param="input",
                )

    def _new_response(self, body: Json) -> Response:
        fields: dict[str, Any] = {name: body[name] for name in _COPIED if body.get(name) is not None}
        blank = Response(id=new_id("resp_"), created_at=self._state.now, model=body["model"])
        fields |= {name: getattr(blank, name) | body[name] for name in _MERGED if body.get(name)}
        return replace(
            blank,
            **fields,
            conversation=self._conversation(body),
            status="queued" if body.get("background") else "in_progress",
            input=resolve(input_items(body.get("input")), self._known()),
        )

    def _conversation(self, body: Json) -> Json | None:
        given = body.get("conversation")
        if not given:
            return None
        key = given if isinstance(given, str) else given["id"]
        conversation = self._state.find(self._state.conversations, key, "conversation")
        if conversation.id in self._state.locked:
            raise conversation_locked()
        return {"id": conversation.id}

    def _known(self) -> dict[str, Json]:
        stored = {key: item for items in self._state.items.values() for key, item in items.items()}
        kept = (each for each in self._state.responses.values() if each.store)
        made = (item for each in kept for item in (*each.input, *each.output))
        return stored | {item["id"]: item for item in made}

    def _history(self, response: Response) -> list[Json]:
        if response.conversation is not None:
            return list(self._state.items[response.conversation["id"]].values())
        history: list[Json] = []
        previous = response.previous_response_id
        while previous is not None:
            before = self._previous(previous)
            history = [*before.input, *before.output, *history]
            previous = before.previous_response_id
        return history

    def _previous(self, key: str) -> Response:
        before = self._state.responses.get(key)
        if before is None or not before.store:
            raise ApiError(
                400,
                f"Previous response with id '{key}' not found.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return before

    def _fit(self, response: Response, history: list[Json]) -> Sequence[Json]:
        """The items that the brain hears: all of them, or with `truncation` auto the newest that fit."""
        items = [*history, *response.input]
        limit = self._options.context_characters
        if limit is None:
            return items
        room = limit - len(response.instructions or "")
        if response.truncation == "auto":
            while size(items) > room and len(items) > len(response.input):
                items.pop(0)
        if size(items) > room:
            raise bad_request(
                "Your input exceeds the context window of this model. Please adjust your input and try again.",
                code="context_length_exceeded",
                param="input",
            )
        return items

    def _question(self, response: Response, heard: Sequence[Json]) -> Question:
        messages: list[tuple[str, str]] = []
        files: list[SeenFile] = []
        for item in heard:
            pair = said(item)
            if pair is not None:
                files += seen_in(self._state, item, len(messages))
                messages.append(pair)
        files += seen_in_containers(self._state, response.tools)
        files += seen_in_stores(self._state, stores_of_tools(response.tools))
        tools = tuple(str(tool.get("name") or tool["type"]) for tool in response.tools)
        return Question(
            response.instructions or "",
            tuple(messages),
            tools,
            response.model,
            tuple(files),
            functions_of(response.tools),
        )

    def _start(self, response: Response, heard: Sequence[Json], call: Call) -> ResponseExecution:
        self._state.responses[response.id] = response
        question = self._question(response, heard)
        execution = ResponseExecution(self._state, self._options, self._brain, response, question, heard, call)
        self._executions[response.id] = execution
        if call.body.get("stream"):
            self._streamed.add(response.id)
        execution.start()
        return execution

    async def _answer(self, call: Call, execution: ResponseExecution) -> Json | web.StreamResponse:
        streamed = call.body.get("stream") and self._options.streaming is True
        background = execution.response.background
        include = frozenset(call.body.get("include") or ())
        if background and not streamed:
            return shown_response(execution.response, include)
        try:
            if streamed and not call.lost:
                return await stream(call, execution.log.follow())
            await execution.log.ended()
            return shown_response(execution.response, include)
        finally:
            # Reached with a response still under way only when the client went away.
            if not background and not self._options.foreground_survives_disconnect:
                execution.cancel()

    def _find(self, call: Call) -> Response:
        kept = {key: each for key, each in self._state.responses.items() if each.store}
        return self._state.find(kept, call.path("response"), "response")

    def _resumable(self, response: Response) -> ResponseExecution:
        if not response.background:
            raise bad_request("This response cannot be streamed because it was not created with background=true.")
        execution = self._executions.get(response.id)
        if execution is None or self._is_old(response):
            raise bad_request("This response can no longer be streamed because it is more than 5 minutes old")
        if response.id not in self._streamed:
            raise bad_request("This response cannot be streamed because it was not created with stream=true.")
        return execution

    def _is_old(self, response: Response) -> bool:
        return self._state.clock() - response.created_at > limits.RESUME_WINDOW_SECONDS
