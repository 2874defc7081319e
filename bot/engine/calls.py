"""Tool calls that a run waits for: made, or asked about first. Each is a row, so that a crash finds it as it was."""

import asyncio
import re
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

#: Characters of a tool's name in a line of ours.
_NAME = 100
_UNKNOWN = "There is no such tool. Nothing was done."
_INTERRUPTED = (
    "Bobbin was interrupted while this was being done. Nobody knows whether it was carried out: do not repeat it, but "
    "say so."
)
_WITHDRAWN = "The answer was stopped. Nothing was done."


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

    async def decide(self, run_id: str, call_id: str, person: str, *, approved: bool) -> bool:
        """Keep what a person decided, who may. Returns False where it was decided before, or is over."""
        if not await self._storage.decide_call(run_id, call_id, approved, person):
            return False
        if decision := self._decisions.get((run_id, call_id)):
            decision.set()
        return True

    async def withdraw(self, run: Run) -> None:
        """The run is over: what people were asked need not be decided any more."""
        for row in await self._storage.run_calls(run.id):
            if row.state is CallState.ASKED:
                await self._answered(row, _WITHDRAWN, failed=True)
                await self._say(row, run, "the answer was stopped, nothing was done.")

    async def _kept(self, wanted: Sequence[ToolCall], run: Run) -> list[RunCall]:
        known = {row.id: row for row in await self._storage.run_calls(run.id)}
        leg = 1 + max((row.leg for row in known.values()), default=0)
        new = [
            RunCall(run.id, call.id, leg, call.name, call.arguments, call.server)
            for call in wanted
            if call.id not in known
        ]
        await self._storage.add_calls(new)
        rows = known | {row.id: row for row in new}
        return [rows[call.id] for call in wanted]

    async def _output(self, row: RunCall, scene: Scene) -> ToolOutput:
        row = await self._decided(row, scene)
        if row.state is not CallState.ANSWERED:
            row = await self._made(row, scene)
        return ToolOutput(row.id, row.output, failed=row.failed, approved=row.approved)

    async def _decided(self, row: RunCall, scene: Scene) -> RunCall:
        """The call as it may be made, or answered where it may not."""
        call = _call_of(row)
        if row.state is CallState.WANTED:
            if row.server is None and row.name not in scene.offered:
                return await self._answered(row, _UNKNOWN, failed=True)
            if not self._toolbox.needs_approval(scene.assistant, call):
                return row
            # Before the question is there: whoever presses its button at once must be heard.
            row = replace(row, state=CallState.ASKED, asked_at=time.time())
            await self._storage.update_call(row)
        if row.state is CallState.ASKED:
            if row.asked_ts is None:
                row = await self._asked(row, scene)
            with scene.waiting():
                return await self._decision(row, scene)
        if row.state is CallState.APPROVED:  # just before a crash
            return await self._heard(row, scene)
        return row

    async def _asked(self, row: RunCall, scene: Scene) -> RunCall:
        who = approvers(scene.assistant, scene.target)
        ts = await self._notices.ask(scene.run.id, scene.target, _call_of(row), who)
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
            minutes = f"{self._patience / 60:g} minutes"
            await self._say(row, scene.run, f"nobody decided within {minutes}, so it was not used.")
            late = f"Nobody approved this within {minutes}. Nothing was done."
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
        task = Task(row.id, f"Uses {row.name}", TaskStatus.IN_PROGRESS, details=row.arguments)
        scene.reply.task(task)
        if row.state is CallState.RUNNING and not self._toolbox.repeatable(call):
            _log.warning("tool-call-interrupted", run=row.run, tool=row.name)
            output = ToolOutput(row.id, _INTERRUPTED, failed=True)
        else:
            await self._storage.update_call(replace(row, state=CallState.RUNNING))
            thread = scene.run.thread
            where = ToolScene(thread, scene.target.asker, scene.target.surface, scene.assistant.key)
            output = await self._toolbox.call(call, where)
        status = TaskStatus.ERROR if output.failed else TaskStatus.COMPLETE
        scene.reply.task(replace(task, status=status, output=output.text if output.failed else ""))
        return await self._answered(row, output.text, failed=output.failed)

    async def _answered(self, row: RunCall, text: str, *, failed: bool) -> RunCall:
        row = replace(row, state=CallState.ANSWERED, output=text, failed=failed)
        await self._storage.update_call(row)
        return row

    async def _row(self, row: RunCall) -> RunCall:
        return next(each for each in await self._storage.run_calls(row.run) if each.id == row.id)

    async def _say(self, row: RunCall, run: Run, text: str) -> None:
        if row.asked_ts is not None:
            await self._notices.asked(run.thread, row.asked_ts, f"`{_harmless(row.name)}`: {text}")


def approvers(assistant: Assistant, target: ReplyTarget) -> tuple[str, ...]:
    """Who may decide: those whom the assistant's file names, else whoever asked."""
    return assistant.approvers or (target.asker,)


def _harmless(name: str) -> str:
    """A tool's name as a line of ours may have it: a provider's server calls its tools what it likes."""
    return re.sub(r"[^\w.\-]", "_", name)[:_NAME]


def _call_of(row: RunCall) -> ToolCall:
    return ToolCall(row.id, row.name, row.arguments, row.server)
