"""A session's turns: what the agent does, as items, told to whoever listens at that moment.

Choices where the reference is silent: a message that comes during a turn is the next turn's; every call of an MCP
server asks for an approval; what a turn made is published as artifacts when it completes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from bot.playground.openai import limits
from bot.playground.openai.brain import (
    Brain,
    CodeInterpreterCall,
    FileLink,
    FunctionCall,
    MadeFile,
    McpCall,
    Piece,
    Question,
    Reasoning,
    SeenFile,
    UrlCitation,
    WebSearch,
    functions_of,
)
from bot.playground.openai.errors import bad_request
from bot.playground.openai.events import Event, EventLog
from bot.playground.openai.mcp_approvals import is_allowed, server_of
from bot.playground.openai.records import Json, new_id
from bot.playground.openai.seen_files import seen_in_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from bot.playground.openai.faults import Fault
    from bot.playground.openai.state import Options, State

logger = logging.getLogger(__name__)

FOLDER = "/workspace/"
DECISION = "decision"
"""The kind of an item that nobody is shown: what was decided on an MCP call."""
_GOING = {"queued", "in_progress", "waiting"}


class SessionTurns:
    """The turns of one session, one after the other."""

    def __init__(self, state: State, options: Options, brain: Brain, session: str) -> None:
        self._state = state
        self._options = options
        self._brain = brain
        self._id = session
        self._waiting: list[tuple[list[Json], Fault | None]] = []
        self._fault: Fault | None = None
        self._task: asyncio.Task[None] | None = None
        self._message: Json | None = None
        self._written = 0
        self._made: list[MadeFile] = []
        self.log = EventLog()

    # What clients do

    def say(self, messages: list[Json], fault: Fault | None) -> None:
        """Begin a turn with messages, or keep them for the next."""
        self._waiting.append((messages, fault))
        if self._turn is None:
            self._next()

    def cancel(self) -> None:
        """End the turn that is going, if any."""
        if self._turn is not None:
            self._stop_task()
            self._end("cancelled")

    def hand_in(self, call: str, turn: str, output: Json) -> None:
        """The result of a function that the turn waits for."""
        if not any(each["type"] == "function_call" and each["call_id"] == call for each in self._required):
            raise bad_request(f"Unknown pending tool call: {call}", code="invalid_request_error")
        done = {"status": "completed" if output["success"] else "failed"}
        fields = {"output": output.get("output"), "error": output.get("error"), "call_id": call, **done}
        self._add({"id": new_id("fco_"), "type": "function_call_output", "turn_id": turn, **fields}, told=False)
        self._settled("call_id", call)

    def decide(self, request: str, decision: str) -> None:
        """The answer to a request for approval."""
        asked = next((each for each in self._required if each.get("request_id") == request), None)
        if asked is None:
            raise bad_request(f"Unknown pending approval request: {request}", code="invalid_request_error")
        wanted = [asked["request"][name] for name in ("server_label", "name", "arguments")]
        item = {"id": new_id("dec_"), "type": DECISION, "turn_id": asked["turn_id"], "call": wanted}
        self._add({**item, "approved": decision == "approve", "used": False}, told=False)
        self._settled("request_id", request)

    async def stop(self) -> None:
        """Drop the turn where it is: the server stops."""
        task = self._stop_task()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)
        self.log.close()

    def _stop_task(self) -> asyncio.Task[None] | None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    # What the agent does

    def _next(self) -> None:
        if not self._waiting:
            return
        messages, self._fault = self._waiting.pop(0)
        turn: Json = {
            "id": new_id("turn_"),
            "object": "agent.session.turn",
            "agent_id": self._session["agent"]["id"],
            "session_id": self._id,
            "created_at": self._state.now,
            "started_at": self._state.now,
            "completed_at": None,
            "error": None,
            "status": "in_progress",
            "subagent_id": None,
            "usage": None,
        }
        self._state.agent_turns[self._id][turn["id"]] = turn
        self._written, self._made = 0, []
        self._tell("turn.created", turn_id=turn["id"], turn={**turn, "status": "queued"})
        self._become("in_progress")
        self._tell("turn.in_progress", turn_id=turn["id"], turn=turn)
        for message in messages:
            fields = {"type": "message", "role": "user", "status": "completed", "phase": None}
            self._add({"id": new_id("msg_"), **fields, "content": message["content"], "turn_id": turn["id"]})
        self._go_on()

    def _go_on(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._perform())

    async def _perform(self) -> None:
        try:
            if await self._answer():
                self._become("requires_action")
                return
            forced = self._fault.run_status if self._fault else None
            self._end(forced or "completed")
        except Exception as error:
            # Whatever a brain raises is a failed turn to the client, as a model's failure is.
            logger.exception("the brain failed on %s", self._id)
            self._end("failed", {"code": "server_error", "message": str(error)})

    async def _answer(self) -> bool:
        """Write what the brain says. Returns whether it waits for something."""
        required: list[Json] = []
        answer = cast("AsyncGenerator[Piece]", self._brain.answer(self._question()))
        async with aclosing(answer) as pieces:
            async for piece in pieces:
                if required and not isinstance(piece, FunctionCall | McpCall):
                    break
                if wanted := self._write(piece):
                    required.append(wanted)
                await asyncio.sleep(self._options.token_delay)
        self._close("final_answer")
        if required:
            self._change_turn(status="waiting")
            self._change(required_actions=required)
        return bool(required)

    def _write(self, piece: Piece) -> Json | None:
        """Put a piece on the wire. Returns what the turn has to wait for."""
        if isinstance(piece, str | FileLink | UrlCitation):
            self._say(_text(piece))
            return None
        self._close("commentary")
        match piece:
            case FunctionCall():
                call = {"name": piece.name, "call_id": new_id("call_"), "arguments": json.loads(piece.arguments)}
                self._item("fc_", "function_call", call)
                return {"type": "function_call", "turn_id": self._turn_id, **call}
            case McpCall():
                return self._mcp(piece)
            case CodeInterpreterCall():
                if self._session["environment"]["type"] == "none":
                    raise LookupError("this session has no environment to run code in")
                ran = {"command": piece.code, "output": piece.logs, "exit_code": 0, "cwd": FOLDER, "duration_ms": 1}
                self._item("cmd_", "command_execution", ran)
                self._made += piece.files
            case WebSearch():
                self._tool("web_search")
                self._item("ws_", "web_search_call", {"action": {"type": "search", "query": piece.query}})
            case Reasoning():
                shown = piece.summary if self._session["agent"]["reasoning"].get("summary") else ()
                self._item("rs_", "reasoning", {"summary": [{"type": "summary_text", "text": each} for each in shown]})
            case _:
                raise LookupError(f"agents have no {type(piece).__name__}")
        return None

    def _mcp(self, call: McpCall) -> Json | None:
        server = server_of(self._session["agent"]["tools"], call.server_label)
        if not is_allowed(server, call.name):
            raise LookupError(f"this session may not call {call.name!r} of {call.server_label!r}")
        arguments = json.loads(call.arguments)
        wanted = [call.server_label, call.name, arguments]
        for item in self._items.values():
            if item["type"] == DECISION and item["call"] == wanted and item["approved"] and not item["used"]:
                self._items[item["id"]] = {**item, "used": True}
                made = {"output": call.output, "error": call.error, "name": call.name, "arguments": arguments}
                status = "failed" if call.error else "completed"
                self._item("mcp_", "mcp_call", {**made, "server_label": call.server_label}, status)
                return None
        request = {
            "type": "mcp_tool_call",
            "server_label": call.server_label,
            "name": call.name,
            "arguments": arguments,
            "message": f"Allow {call.server_label} to run {call.name}?",
        }
        about = {"type": "mcp_approval_request", "turn_id": self._turn_id}
        return {**about, "request_id": new_id("apr_"), "request": request}

    def _say(self, text: str) -> None:
        if self._message is None:
            fields: Json = {
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "phase": None,
                "content": [],
            }
            self._message = {"id": new_id("msg_"), **fields, "turn_id": self._turn_id}
            self._add(self._message)
            self._part("content_part.added", part={"type": "output_text", "text": ""})
        said = _said(self._message) + text
        self._written += len(text)
        self._message = {**self._message, "content": [{"type": "output_text", "text": said}]}
        self._items[self._message["id"]] = self._message
        self._part("output_text.delta", delta=text)

    def _close(self, phase: str, status: str = "completed") -> None:
        """End the open message."""
        if self._message is None:
            return
        text = _said(self._message)
        self._part("output_text.done", text=text)
        self._part("content_part.done", part={"type": "output_text", "text": text})
        done = {**self._message, "status": status, "phase": phase}
        self._items[done["id"]] = done
        self._message = None
        self._tell("turn.item.done", turn_id=self._turn_id, output_index=self._index(done), item=done)

    def _item(self, prefix: str, kind: str, fields: Json, status: str = "completed") -> None:
        begun = {"id": new_id(prefix), "type": kind, "turn_id": self._turn_id, **fields, "status": "in_progress"}
        self._add(begun)
        done = {**begun, "status": status}
        self._items[done["id"]] = done
        self._tell("turn.item.done", turn_id=self._turn_id, output_index=self._index(done), item=done)

    def _add(self, item: Json, *, told: bool = True) -> None:
        self._items[item["id"]] = item
        if told:
            index = None if item.get("role") == "user" else self._index(item)
            self._tell("turn.item.added", turn_id=item["turn_id"], output_index=index, item=item)

    def _part(self, kind: str, **fields: Any) -> None:
        message = cast("Json", self._message)
        place = {"item_id": message["id"], "output_index": self._index(message), "content_index": 0}
        self._tell(f"turn.{kind}", turn_id=self._turn_id, **place, **fields)

    def _index(self, item: Json) -> int:
        same = [each["id"] for each in self._items.values() if each["turn_id"] == item["turn_id"]]
        return same.index(item["id"])

    def _settled(self, name: str, value: str) -> None:
        """What the turn waited for is there; once nothing is left to wait for, it goes on."""
        left = [each for each in self._required if each.get(name) != value]
        self._change(required_actions=left)
        if not left:
            self._change_turn(status="in_progress")
            self._become("in_progress")
            self._go_on()

    def _end(self, status: str, error: Json | None = None) -> None:
        self._close("final_answer", "completed" if status == "completed" else "incomplete")
        if status == "failed" and error is None:
            fault = cast("Fault", self._fault)
            error = fault.last_error or {"code": "server_error", "message": fault.message}
        if status == "completed":
            self._publish()
        turn = self._change_turn(status=status, error=error, completed_at=self._state.now, usage=self._usage())
        self._change(required_actions=[])
        if error is not None:
            told = {"type": "server_error", "param": None, **error}
            self._log("error", {"type": "error", "session_id": self._id, "error": told})
        self._tell(f"turn.{status}", turn_id=turn["id"], turn=turn, usage=turn["usage"])
        self._become("idle")
        self._next()

    def _publish(self) -> None:
        for made in self._made:
            artifact = {
                "id": new_id("artifact_"),
                "object": "agent.session.artifact",
                "created_at": self._state.now,
                "environment_id": self._session["environment"]["id"],
                "path": FOLDER + made.name,
                "session_id": self._id,
                "size_bytes": len(made.content),
                "turn_id": self._turn_id,
                "content": base64.b64encode(made.content).decode(),
            }
            self._state.artifacts[self._id][artifact["id"]] = artifact

    def _usage(self) -> Json:
        asked = sum(len(text) for _, text in self._question().messages)
        tokens = [size // limits.CHARACTERS_PER_TOKEN + 1 for size in (asked, self._written)]
        return {
            "input_tokens": tokens[0],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": tokens[1],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(tokens),
        }

    def _question(self) -> Question:
        agent = self._session["agent"]
        pairs = [pair for pair in map(_pair, self._items.values()) if pair]
        spoken = [each for each in self._items.values() if _pair(each)]
        files = (*_images(spoken), *seen_in_sandbox(self._state, self._session["environment"]))
        tools = [str(tool.get("name") or tool["type"]) for tool in agent["tools"]]
        if self._session["environment"]["type"] != "none":
            tools.append("code_interpreter")
        return Question(
            agent["instructions"] or "", tuple(pairs), tuple(tools), agent["model"], files, functions_of(agent["tools"])
        )

    def _tool(self, kind: str) -> None:
        if not any(tool["type"] == kind for tool in self._session["agent"]["tools"]):
            raise LookupError(f"this session was not given {kind}")

    # What there is

    @property
    def _session(self) -> Json:
        return self._state.agent_sessions[self._id]

    @property
    def _items(self) -> dict[str, Json]:
        return self._state.agent_items[self._id]

    @property
    def _required(self) -> Sequence[Json]:
        required: list[Json] = self._session["required_actions"]
        return required

    @property
    def _turn(self) -> Json | None:
        return next((each for each in self._state.agent_turns[self._id].values() if each["status"] in _GOING), None)

    @property
    def _turn_id(self) -> str:
        return str(cast("Json", self._turn)["id"])

    def _change(self, **fields: Any) -> None:
        self._state.agent_sessions[self._id] = {**self._session, **fields}
        self._state.changed()

    def _change_turn(self, **fields: Any) -> Json:
        turn = {**cast("Json", self._turn), **fields}
        self._state.agent_turns[self._id][turn["id"]] = turn
        return turn

    def _become(self, status: str) -> None:
        self._change(status=status, last_active_at=self._state.now)
        self._log(f"agent.session.{status}", {"session": self._session})

    def _tell(self, kind: str, **fields: Any) -> None:
        self._log(f"agent.session.{kind}", {"session_id": self._id, **fields})

    def _log(self, name: str, fields: Json) -> None:
        self.log.append(Event(name, {"type": name, "event_id": new_id("evt_"), **fields}))
        self._state.changed()


def _text(piece: str | FileLink | UrlCitation) -> str:
    match piece:
        case FileLink():
            return f"[{piece.name}](sandbox:{FOLDER}{piece.name})" if piece.text else ""
        case UrlCitation():
            return f"([{piece.title}]({piece.url}))"
        case str():
            return piece


def _said(message: Json) -> str:
    return "".join(part.get("text", "") for part in message["content"])


def _pair(item: Json) -> tuple[str, str] | None:
    match item["type"]:
        case "message":
            return item["role"], _said(item)
        case "function_call_output":
            return "tool", item["output"] if item["error"] is None else f"Error: {item['error']}"
        case "decision":
            return "tool", "approved" if item["approved"] else "denied"
    return None


def _images(spoken: Iterable[Json]) -> Iterable[SeenFile]:
    for place, item in enumerate(spoken):
        for part in item.get("content") or ():
            if part["type"] == "input_image":
                kind, _, data = part["image_url"].removeprefix("data:").partition(";base64,")
                yield SeenFile("", kind, len(base64.b64decode(data)) if data else 0, "image", place)
