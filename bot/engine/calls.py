"""Tool calls that a run waits for: made, or asked about first. Each is a row, so that a crash finds it as it was."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import structlog

from bot.engine.ports import (
    Assistant,
    CallState,
    Notices,
    Reply,
    ReplyTarget,
    Run,
    RunCall,
    Storage,
    Task,
    TaskStatus,
    Toolbox,
    ToolCall,
    ToolOutput,
    ToolScene,
)

_log = structlog.get_logger()

_UNKNOWN = "There is no such tool. Nothing was done."
_INTERRUPTED = (
    "Bobbin was interrupted while this was being done. Nobody knows whether it was carried out: do not repeat it, but "
    "say so."
)
_OVER = "The answer ended before this was done. Nothing was done."
#: What is told to whoever presses a button that decides nothing any more.
_LATE = "That was decided already, or is over."


@dataclass(frozen=True, slots=True)
class Scene:
    """Around a run's calls: who asks, who answers, where it is shown, what may be called; `waiting` holds the run's
    deadline while people are asked."""

    run: Run
    assistant: Assistant
    target: ReplyTarget
    reply: Reply
    offered: frozenset[str]
    waiting: Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Decision:
    """Somebody pressed Approve or Deny: under which message (its ts), and for which call of which run."""

    run: str
    call: str
    ts: str
    person: str
    approved: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to tell whoever pressed a button. With `over` that takes the place of the message they pressed it under,
    else only they see it."""

    text: str
    over: bool


class Calls:
    """Makes calls."""

    def __init__(self, storage: Storage, toolbox: Toolbox, notices: Notices, *, patience: float) -> None:
        """`patience` is how many seconds people have to approve a call."""
        self._storage = storage
        self._toolbox = toolbox
        self._notices = notices
        self._patience = patience
        self._decisions: dict[tuple[str, str], asyncio.Event] = {}

    async def outputs(self, wanted: Sequence[ToolCall], scene: Scene) -> tuple[ToolOutput, ...]:
        """What calls come to, in their order; every one of them gets an output. Raises SlackRefused where people
        cannot be asked, StorageError."""
        rows = await self._kept(wanted, scene.run)
        making = [asyncio.create_task(self._output(row, scene)) for row in rows]
        try:
            return tuple(await asyncio.gather(*making))
        finally:
            # Where one of them ended the run, the others must not go on behind its back.
            for each in making:
                each.cancel()

    async def decide(self, decision: Decision) -> Verdict | None:
        """Keep what a person decided. Returns what to tell them; None where the question itself says what came of
        it."""
        run = await self._storage.run(decision.run)
        calls = await self._storage.run_calls(decision.run) if run and run.ended_at is None else ()
        # An earlier call may have had the same id, and other approvers.
        asked = next((each for each in latest_leg(calls) if each.id == decision.call), None)
        if asked is None or not asked.approvers:
            return Verdict(_LATE, over=True)
        # The row may not know of the question yet: whoever is quick presses before it does.
        copy = asked.asked_ts not in (None, decision.ts)
        if decision.person not in asked.approvers:
            return Verdict(f"Only {_mentioned(asked.approvers)} may decide this.", over=False)
        late = time.time() > (asked.asked_at or 0.0) + self._patience
        if late or not await self._storage.decide_call(asked.run, asked.id, decision.approved, decision.person):
            return Verdict(_LATE, over=copy)
        if event := self._decisions.get((asked.run, asked.id)):
            event.set()
        said = "Approved" if decision.approved else "Denied"
        return Verdict(f"{said} by <@{decision.person}>.", over=True) if copy else None

    async def withdraw(self, run: Run, why: str) -> None:
        """The run is over, and `why` says how: "was stopped". Every call of it is answered with the truth, and what
        people were asked need not be decided any more."""
        for row in await self._storage.run_calls(run.id):
            if row.state is CallState.RUNNING:
                await self._answered(row, _INTERRUPTED, failed=True)
            elif row.state is not CallState.ANSWERED:
                row = await self._located(row, run)  # noqa: PLW2901 - the same row, known better
                await self._answered(row, _OVER, failed=True)
                await self._say(row, run, f"the answer {why}, nothing was done.")

    async def known(self, wanted: Sequence[ToolCall], run: Run) -> bool:
        """Whether these calls are kept already: by an earlier attempt, that did not get to the end of them."""
        open_leg = _open_leg(await self._storage.run_calls(run.id))
        return any(row.id in {call.id for call in wanted} for row in open_leg)

    async def _kept(self, wanted: Sequence[ToolCall], run: Run) -> list[RunCall]:
        """The calls' rows. Some servers number calls anew each time: the same id is the same call only in a leg that an
        earlier attempt did not get to the end of."""
        rows = await self._storage.run_calls(run.id)
        known = {row.id: row for row in _open_leg(rows)}
        leg = next(iter(known.values())).leg if known else 1 + max([0, *(row.leg for row in rows)])
        new = {call.id: self._new(call, run, leg, rows) for call in wanted if call.id not in known}
        await self._storage.add_calls(list(new.values()))
        return [(known | new)[call.id] for call in wanted]

    def _new(self, call: ToolCall, run: Run, leg: int, rows: Sequence[RunCall]) -> RunCall:
        """A call's row. What was done for the run that this one retries is not done again."""
        row = RunCall(run.id, call.id, leg, call.name, call.arguments, call.server)
        if call.server is not None or self._toolbox.repeatable(call):
            return row
        alike = [each for each in rows if each.name == call.name and _same(each.arguments, call.arguments)]
        done = [each for each in alike if each.leg < 1]
        taken = len(alike) - len(done)
        if taken >= len(done):
            return row
        _log.info("tool-call-known", run=run.id, tool=call.name)
        return replace(row, state=CallState.ANSWERED, output=done[taken].output)

    async def _output(self, row: RunCall, scene: Scene) -> ToolOutput:
        if row.state is not CallState.ANSWERED:
            row = await self._decided(row, scene)
            if row.state is not CallState.ANSWERED:
                row = await self._made(row, scene)
            # The provider shows for itself what it does.
            if row.server is None or row.failed:
                _show(row, scene, TaskStatus.ERROR if row.failed else TaskStatus.COMPLETE)
        return ToolOutput(row.id, row.output, failed=row.failed, approved=row.approved)

    async def _decided(self, row: RunCall, scene: Scene) -> RunCall:
        """The call as it may be made, or answered where it may not."""
        call = _call_of(row)
        row = await self._located(row, scene.run)
        if row.server is None and row.name not in scene.offered and row.state is not CallState.RUNNING:
            # Never offered, or taken out of the assistant's file before it was decided.
            await self._say(row, scene.run, "there is no such tool any more, nothing was done.")
            return await self._answered(row, _UNKNOWN, failed=True)
        if row.state is CallState.WANTED:
            if problem := self._toolbox.problem(call):
                return await self._answered(row, problem, failed=True)
            if not self._toolbox.needs_approval(scene.assistant, call):
                return row
            # Before the question is there: whoever presses its button at once must be heard.
            who = approvers(scene.assistant, scene.target)
            row = replace(row, state=CallState.ASKED, asked_at=time.time(), approvers=who)
            await self._storage.update_call(row)
        if row.state is CallState.ASKED:
            _show(row, scene, TaskStatus.IN_PROGRESS)
            row = await self._asked(row, scene)
            with scene.waiting():
                return await self._decision(row, scene)
        if row.state is CallState.APPROVED:  # just before a crash
            return await self._heard(row, scene)
        return row

    async def _located(self, row: RunCall, run: Run) -> RunCall:
        """A call with the question that an earlier process asked about it and had no time to keep."""
        if row.state is not CallState.ASKED or row.asked_ts is not None:
            return row
        found = await self._notices.found(run.id, run.thread, _call_of(row), row.asked_at or 0.0)
        return replace(row, asked_ts=found)

    async def _asked(self, row: RunCall, scene: Scene) -> RunCall:
        ts = row.asked_ts or await self._notices.ask(scene.run.id, scene.target, _call_of(row), row.approvers)
        row = replace(row, asked_ts=ts)
        await self._storage.update_call(row)
        return row

    async def _decision(self, row: RunCall, scene: Scene) -> RunCall:
        """Wait until a call that was asked about is decided, or it is too late."""
        decision = self._decisions[(row.run, row.id)] = asyncio.Event()
        try:
            decided = await self._row(row)
            if decided.decided_by is None:
                async with asyncio.timeout((row.asked_at or 0.0) + self._patience - time.time()):
                    await decision.wait()
                decided = await self._row(row)
        except TimeoutError:
            within = _in_words(self._patience)
            await self._say(row, scene.run, f"nobody decided within {within}, so it was not used.")
            late = f"Nobody approved this within {within}. Nothing was done."
            return await self._answered(replace(row, approved=False), late, failed=True)
        finally:
            del self._decisions[(row.run, row.id)]
        return await self._heard(decided, scene)

    async def _heard(self, row: RunCall, scene: Scene) -> RunCall:
        """People have decided."""
        if row.approved:
            await self._say(row, scene.run, f"approved by <@{row.decided_by}>.")
            if row.server is not None:  # the provider makes the call
                return await self._answered(row, "Approved.", failed=False)
            row = replace(row, state=CallState.APPROVED)
            await self._storage.update_call(row)
            return row
        await self._say(row, scene.run, f"denied by <@{row.decided_by}>, nothing was done.")
        return await self._answered(row, "The people asked denied this. Nothing was done.", failed=True)

    async def _made(self, row: RunCall, scene: Scene) -> RunCall:
        call = _call_of(row)
        if row.state is CallState.RUNNING and not self._toolbox.repeatable(call):
            _log.warning("tool-call-interrupted", run=row.run, tool=row.name)
            return await self._answered(row, _INTERRUPTED, failed=True)
        row = replace(row, state=CallState.RUNNING)
        _show(row, scene, TaskStatus.IN_PROGRESS)
        await self._storage.update_call(row)
        where = ToolScene(scene.run.thread, scene.target.asker, scene.target.surface, scene.assistant.key)
        output = await self._toolbox.call(call, where)
        return await self._answered(row, output.text, failed=output.failed)

    async def _answered(self, row: RunCall, text: str, *, failed: bool) -> RunCall:
        row = replace(row, state=CallState.ANSWERED, output=text, failed=failed)
        await self._storage.update_call(row)
        return row

    async def _row(self, row: RunCall) -> RunCall:
        rows = await self._storage.run_calls(row.run)
        return next(each for each in rows if (each.leg, each.id) == (row.leg, row.id))

    async def _say(self, row: RunCall, run: Run, text: str) -> None:
        if row.asked_ts is not None:
            await self._notices.asked(run.thread, row.asked_ts, text, _call_of(row))


def approvers(assistant: Assistant, target: ReplyTarget) -> tuple[str, ...]:
    """Who may decide: those whom the assistant's file names, else whoever asked."""
    return assistant.approvers or (target.asker,)


def latest_leg(rows: Sequence[RunCall]) -> list[RunCall]:
    """The calls that the run wanted last."""
    leg = max((row.leg for row in rows), default=0)
    return [row for row in rows if row.leg == leg and leg > 0]


def _open_leg(rows: Sequence[RunCall]) -> list[RunCall]:
    """The calls of the latest leg, where not all of them are answered."""
    latest = latest_leg(rows)
    return latest if any(row.state is not CallState.ANSWERED for row in latest) else []


def _show(row: RunCall, scene: Scene, status: TaskStatus) -> None:
    """A call, as a task in the reply."""
    doing = "Asks whether it may use" if row.state is CallState.ASKED else "Uses"
    output = row.output if row.failed else ""
    scene.reply.task(Task(row.id, f"{doing} {row.name}", status, details=row.arguments, output=output))


def _same(arguments: str, others: str) -> bool:
    """Whether two calls' arguments are the same JSON."""
    try:
        return bool(json.loads(arguments or "{}") == json.loads(others or "{}"))
    except (ValueError, RecursionError):
        return arguments == others


def _mentioned(people: Sequence[str]) -> str:
    return " or ".join(f"<@{person}>" for person in people)


def _in_words(seconds: float) -> str:
    number, unit = (seconds / 60, "minute") if seconds >= 60 else (seconds, "second")
    return f"{number:g} {unit}{'' if number == 1 else 's'}"


def _call_of(row: RunCall) -> ToolCall:
    return ToolCall(row.id, row.name, row.arguments, row.server)
