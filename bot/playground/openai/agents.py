"""/agents/sessions: https://developers.openai.com/api/docs/guides/agents-api, as far as a chat needs it."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.playground.openai import agent_schemas as schemas
from bot.playground.openai.agent_turns import DECISION, SessionTurns
from bot.playground.openai.calls import Call, page, stream
from bot.playground.openai.errors import ApiError
from bot.playground.openai.events import Event, EventLog
from bot.playground.openai.parameters import one_of, text
from bot.playground.openai.records import Json, new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from bot.playground.openai.brain import Brain
    from bot.playground.openai.faults import Fault
    from bot.playground.openai.records import File
    from bot.playground.openai.router import Route
    from bot.playground.openai.state import Options, State

_FLAG = one_of("true", "false")


class AgentEndpoints:
    """Creates sessions, takes their input, and shows what comes of it."""

    def __init__(self, state: State, options: Options, brain: Brain) -> None:
        self._state = state
        self._options = options
        self._brain = brain
        self._turns: dict[str, SessionTurns] = {}
        self._heard: set[tuple[str, str]] = set()

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        session = "/agents/sessions/{session}"
        yield "POST", "/agents/sessions", self.create
        yield "GET", "/agents/sessions", self.list_sessions
        yield "GET", session, self.retrieve
        yield "POST", session, self.update
        yield "POST", f"{session}/events", self.submit
        yield "GET", f"{session}/events", self.listen
        yield "GET", f"{session}/items", self.list_items
        yield "GET", f"{session}/turns", self.list_turns
        yield "GET", f"{session}/turns/{{turn}}", self.retrieve_turn
        yield "GET", f"{session}/turns/{{turn}}/items", self.list_turn_items
        yield "GET", f"{session}/artifacts", self.list_artifacts
        yield "GET", f"{session}/artifacts/{{artifact}}/content", self.content
        yield "POST", "/agents/environments/{environment}/files", self.place

    async def create(self, call: Call) -> Json | web.StreamResponse:
        body = call.checked(schemas.session_create)
        self._options.check_model(body["agent"]["model"])
        self._options.switches.check_load(body["agent"]["model"])
        for file in body["environment"].get("files") or ():
            self._check_file(file)
        session = self._new(body)
        self._state.agent_sessions[session["id"]] = session
        for kind in (self._state.agent_turns, self._state.agent_items, self._state.artifacts):
            kind[session["id"]] = {}
        turns = self._of(session["id"])
        told = {"type": "agent.session.created", "event_id": new_id("evt_"), "session": session}
        turns.log.append(Event("agent.session.created", told))
        if given := body.get("input"):
            turns.say(_messages(given), call.fault)
        if body.get("stream") and not call.lost:
            return await stream(call, _live(turns.log, 0, call.fault))
        return self._state.agent_sessions[session["id"]]

    async def list_sessions(self, call: Call) -> Json:
        filters: dict[str, Any] = {name: text() for name in call.request.query if name.startswith("metadata[")}
        wanted = {name[len("metadata[") : -1]: call.request.query[name] for name in filters}
        found = {
            key: each
            for key, each in self._state.agent_sessions.items()
            if all(each["metadata"].get(name) == value for name, value in wanted.items())
        }
        return page(call, found, "session", backwards=False, **filters)

    async def retrieve(self, call: Call) -> Json:
        return self._find(call)

    async def update(self, call: Call) -> Json:
        session, body = self._find(call), call.checked(schemas.SESSION_UPDATE)
        changes = body.get("agent") or {}
        if "model" in changes:
            self._options.check_model(changes["model"])
        agent = {**session["agent"], **changes}
        agent["reasoning"] = session["agent"]["reasoning"] | (changes.get("reasoning") or {})
        metadata = body["metadata"] or {} if "metadata" in body else session["metadata"]
        self._state.agent_sessions[session["id"]] = {**session, "agent": agent, "metadata": metadata}
        return self._find(call)

    async def submit(self, call: Call) -> web.StreamResponse:
        session, body = self._find(call), call.checked(schemas.SESSION_EVENTS)
        key = (session["id"], call.request.headers.get("Idempotency-Key", new_id("once_")))
        if key not in self._heard:
            turns = self._of(session["id"])
            for event in body["events"]:
                self._take(turns, event, call.fault)
            self._heard.add(key)
        return web.Response(status=202)

    async def listen(self, call: Call) -> web.StreamResponse:
        session = self._find(call)
        call.query(include_obfuscation=_FLAG)
        log = self._of(session["id"]).log
        # What was told before is never told again.
        return await stream(call, _live(log, len(log), call.fault))

    async def list_items(self, call: Call) -> Json:
        return page(call, self._items(call), "item", backwards=False)

    async def list_turns(self, call: Call) -> Json:
        return page(call, self._state.agent_turns[self._find(call)["id"]], "turn", backwards=False)

    async def retrieve_turn(self, call: Call) -> Json:
        return self._state.find(self._state.agent_turns[self._find(call)["id"]], call.path("turn"), "turn")

    async def list_turn_items(self, call: Call) -> Json:
        turn = await self.retrieve_turn(call)
        items = {key: each for key, each in self._items(call).items() if each["turn_id"] == turn["id"]}
        return page(call, items, "item", backwards=False)

    async def list_artifacts(self, call: Call) -> Json:
        artifacts = self._state.artifacts[self._find(call)["id"]]
        shown = {key: {name: each[name] for name in each if name != "content"} for key, each in artifacts.items()}
        return page(call, shown, "artifact", backwards=False, environment_id=text())

    async def content(self, call: Call) -> web.StreamResponse:
        artifacts = self._state.artifacts[self._find(call)["id"]]
        artifact = self._state.find(artifacts, call.path("artifact"), "artifact")
        return web.Response(body=base64.b64decode(artifact["content"]))

    async def place(self, call: Call) -> Json:
        """A file into a sandbox, between two turns; it takes the place of one that was there."""
        environments = {each["environment"].get("id"): each for each in self._state.agent_sessions.values()}
        session = self._state.find(environments, call.path("environment"), "environment")
        file = call.checked(schemas.HOSTED_FILE)
        size = self._check_file(file)
        if session["status"] != "idle":
            raise ApiError(409, "Files are uploaded between turns.")
        environment = session["environment"]
        others = [each for each in environment["files"] if each["path"] != file["path"]]
        changed = {**environment, "files": [*others, file]}
        self._state.agent_sessions[session["id"]] = {**session, "environment": changed}
        place = {"path": file["path"], "size_bytes": size, "environment_id": environment["id"]}
        return {"object": "agent.environment.file", **place}

    async def stop(self) -> None:
        """Drops all turns where they are."""
        await asyncio.gather(*(each.stop() for each in self._turns.values()))
        self._turns.clear()

    def _take(self, turns: SessionTurns, event: Json, fault: Fault | None) -> None:
        match event["type"].rpartition(".")[2]:
            case "message":
                turns.say(event["input"], fault)
            case "cancel":
                turns.cancel()
            case "tool_result":
                turns.hand_in(event["call_id"], event["turn_id"], event)
            case _:
                turns.decide(event["request_id"], event["response"]["decision"])

    def _check_file(self, file: Json) -> int:
        """Refuses an upload that there is not. Returns the file's size."""
        if file["type"] == "inline":
            return len(base64.b64decode(file["data"]))
        found: File = self._state.find(self._state.files, file["file_id"], "file")
        return found.bytes

    def _new(self, body: Json) -> Json:
        given = {name: value for name, value in body["agent"].items() if value is not None}
        fresh: Json = {
            "id": new_id("agent_"),
            "instructions": None,
            "multi_agent": {"enabled": False, "max_concurrent_subagents": None},
            "name": None,
            "reasoning": {},
            "service_tier": "auto",
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tools": [],
        }
        environment = dict(body["environment"])
        if environment["type"] != "none":
            lists: Json = {name: [] for name in ("capability_directories", "files", "plugins", "skills")}
            closed = {"access": "disabled", "allowed_domains": []}
            packages: Json = {"npm": [], "python": [], "system": []}
            environment = {**lists, "network": closed, "packages": packages, **environment, "id": new_id("env_")}
        return {
            "id": new_id("sess_"),
            "object": "agent.session",
            "agent": {**fresh, **given},
            "created_at": self._state.now,
            "environment": environment,
            "error": None,
            "last_active_at": self._state.now,
            "metadata": body.get("metadata") or {},
            "required_actions": [],
            "status": "idle",
            "usage": None,
            "vault_ids": body.get("vault_ids") or [],
        }

    def _find(self, call: Call) -> Json:
        return self._state.find(self._state.agent_sessions, call.path("session"), "session")

    def _items(self, call: Call) -> dict[str, Json]:
        items = self._state.agent_items[self._find(call)["id"]]
        return {key: each for key, each in items.items() if each["type"] != DECISION}

    def _of(self, session: str) -> SessionTurns:
        if session not in self._turns:
            self._turns[session] = SessionTurns(self._state, self._options, self._brain, session)
        return self._turns[session]


def _messages(given: str | list[Json]) -> list[Json]:
    if isinstance(given, str):
        return [{"role": "user", "content": [{"type": "input_text", "text": given}]}]
    return given


async def _live(log: EventLog, start: int, fault: Fault | None) -> AsyncIterator[Event]:
    """Events as they come. They end with the server, or where a fault ends them."""
    async for event in log.follow(start):
        yield event
        if fault is not None and event.terminal and (fault.no_terminal or fault.error_event):
            return
