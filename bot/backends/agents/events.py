"""A turn's events and items, as run events.

openai/types/beta/agent_session_event.py. A stream tells only what happens while it is open: what was missed is in the
turn's items.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from openai.types.beta import AgentSession
from openai.types.beta.agents.sessions import Turn

from bot.backends.failures import cut_off, raised_in_run
from bot.backends.fields import arguments, field, listed
from bot.backends.transcript import joined
from bot.backends.usage import counted, detailed
from bot.engine.ports import RunEnded, RunEvent, RunStatus, Task, TaskStatus, TextDelta, TextDone, ToolCall
from bot.errors import BackendError, RunBroken

ENDED = frozenset({"completed", "failed", "cancelled"})
#: Characters of a task's title and details; Slack takes 256.
_LINE = 200
#: What sessions wait for: what somebody here can answer, and what nobody can (a sandbox of one's own, a browser).
_OURS = ("function_call", "mcp_approval_request")
_NOBODYS = ("computer_use_approval_request", "environment_connection")
_STUCK = (
    "The agent waits for something that Bobbin cannot give it: a decision in its browser, or a connection of its "
    "sandbox. So I ended this answer. Please try again, or ask in other words."
)
_FAILED = frozenset({"failed", "incomplete"})
#: Codes of failed turns (openai/types/beta/session_turn_error.py) that mean what another code of ours means.
_CODES = {
    **dict.fromkeys(
        (
            "usage_limit_exceeded", "project_spend_limit_exceeded", "organization_spend_limit_exceeded",
            "organization_usage_limit_exceeded", "billing_not_active", "credit_balance_exhausted",
            "session_budget_exceeded",
        ),
        "insufficient_quota",
    ),
    **dict.fromkeys(("flex_unavailable", "server_overloaded"), "rate_limit_exceeded"),
    **dict.fromkeys(("cyber_policy", "misalignment_policy_violation"), "invalid_prompt"),
    "authentication_error": "invalid_api_key",
}  # fmt: skip


class TurnProgress:
    """What is known of a turn: its id, what it said, what it waits for, and the turn as it ended."""

    def __init__(self, turn: str | None = None) -> None:
        self.turn = turn
        self.ended: Turn | None = None
        self.usage: object = None
        self.required: list[Any] = []
        #: Sentence-worthy ends that are not the turn's own.
        self.error: BackendError | None = None
        #: Whether the turn would go on waiting, although nothing can come of it.
        self.stuck = False
        self._said: dict[str, str] = {}
        self._missed: set[str] = set()
        self._told: set[tuple[str, str]] = set()

    @property
    def text(self) -> str:
        return joined(list(self._said.values()))

    def hear(self, event: Any) -> list[RunEvent]:
        """One event of the session's stream; what it means for people."""
        kind = event.type.removeprefix("agent.session.")
        if kind == "turn.created" and self.turn is None and event.turn.subagent_id is None:
            self.turn = event.turn.id
        if kind in ("requires_action", "failed", "budget_reached"):
            self.look(event.session)
        if self.turn is None or getattr(event, "turn_id", self.turn) not in (None, self.turn):
            return []
        match kind:
            case "turn.completed" | "turn.failed" | "turn.cancelled":
                self.ended, self.usage = event.turn, event.usage or event.turn.usage
            case "turn.output_text.delta":
                return self._grown(event.item_id, event.delta)
            case "turn.item.added":
                return self._task(event.item)
            case "turn.item.done":
                return self._done(event.item)
        return []

    def look(self, session: AgentSession) -> None:
        """The session as it is: what it waits for, and whether anything can come of it."""
        waits = listed(session, "required_actions") if session.status == "requires_action" else []
        self.required = [each for each in waits if self._mine(each)]
        if session.status == "failed":
            self.error = raised_in_run(None, session.error)
        elif session.status == "budget_reached":
            self.error = raised_in_run("insufficient_quota", None)
        elif any(each.type in _NOBODYS and field(each, "turn_id") in (None, self.turn) for each in waits):
            self.stuck, self.error = True, RunBroken(_STUCK)

    def catch_up(self, items: Iterable[Any]) -> list[RunEvent]:
        """All items of the turn as they are now, oldest first."""
        before, told = self.text, []
        for item in items:
            if item.type != "message":
                told += self._task(item)
            elif item.role == "assistant":
                self._said[item.id] = _text(item)
                if item.status == "in_progress":
                    self._missed.add(item.id)
        return [*told, TextDone(self.text)] if self.text != before else told

    def _mine(self, action: Any) -> bool:
        return action.type in _OURS and action.turn_id == self.turn

    def _grown(self, item: str, delta: str) -> list[RunEvent]:
        # Of a message that was going on while the items were read, nobody knows which deltas are in it already.
        if item in self._missed or not delta:
            return []
        new = item not in self._said and bool(self.text)
        self._said[item] = self._said.get(item, "") + delta
        return [TextDelta(f"\n\n{delta}" if new else delta)]

    def _done(self, item: Any) -> list[RunEvent]:
        if item.type != "message":
            return self._task(item)
        self._missed.discard(item.id)
        self._said[item.id] = _text(item)
        return [TextDone(self.text)]

    def _task(self, item: Any) -> list[RunEvent]:
        status = getattr(item, "status", None) or ""
        task = _task(item, status)
        if task is None or (item.id, task.status) in self._told:
            return []
        self._told.add((item.id, task.status))
        return [task]


def calls_of(actions: Sequence[Any]) -> tuple[ToolCall, ...]:
    """What a session waits for, as calls of tools, and as calls that want an approval."""
    return tuple(map(_call, actions))


def _call(action: Any) -> ToolCall:
    if action.type == "function_call":
        return ToolCall(action.call_id, action.name, arguments(action, "arguments"))
    asked = action.request
    return ToolCall(action.request_id, asked.name or "a tool", arguments(asked, "arguments"), asked.server_label)


def id_of(action: Any) -> str:
    """The id by which what a session waits for is answered."""
    return str(action.call_id if action.type == "function_call" else action.request_id)


def failure_of(turn: Turn) -> BackendError:
    """Why a turn failed."""
    if turn.error is None:
        return raised_in_run(None, None)
    return raised_in_run(_CODES.get(turn.error.code, turn.error.code), turn.error.message)


def ended_event(turn: Turn, usage: object, model: str) -> RunEnded:
    """How a turn ended, with a sentence where it did not complete. Often nobody counted its tokens."""
    counts = {
        **counted(usage, input_tokens="input_tokens", output_tokens="output_tokens"),
        **detailed(usage, "input_tokens_details", cached_tokens="cached_tokens"),
        **detailed(usage, "output_tokens_details", reasoning_tokens="reasoning_tokens"),
    }
    if turn.status == "completed":
        return RunEnded(RunStatus.COMPLETED, None, counts, model)
    if turn.status == "cancelled":
        return RunEnded(RunStatus.CANCELLED, "This answer was cancelled on the server.", counts, model)
    if turn.error is not None and turn.error.code == "max_output_tokens":
        return RunEnded(RunStatus.INCOMPLETE, cut_off("max_output_tokens"), counts, model)
    return RunEnded(RunStatus.FAILED, failure_of(turn).sentence, counts, model)


def _task(item: Any, status: str) -> Task | None:
    match item.type:
        case "command_execution":
            title, details = "Runs code", item.command or ""
        case "web_search_call":
            title, details = "Searches the web", str(getattr(item.action, "query", None) or "")
        case "mcp_call":
            title, details = f"Asks {item.server_label}: {item.name}", arguments(item, "arguments")
        case "reasoning":
            said = " ".join(part.text for part in item.summary or [])
            return Task(item.id, "Thinks", TaskStatus.COMPLETE, output=_line(said)) if said else None
        case _:
            return None
    error = getattr(item, "error", None)
    if error or status in _FAILED:
        return Task(item.id, _line(title), TaskStatus.ERROR, details=_line(details), output=_line(str(error or "")))
    going = TaskStatus.COMPLETE if status == "completed" else TaskStatus.IN_PROGRESS
    return Task(item.id, _line(title), going, details=_line(details))


def _text(message: Any) -> str:
    return "".join(part.text or "" for part in message.content or [] if part.type == "output_text")


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LINE else text[: _LINE - 1] + "…"
