"""One run's life: from queued to its end, whether or not anybody follows its stream."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from bot.playground.openai import limits
from bot.playground.openai.brain import (
    Brain,
    CodeInterpreterCall,
    FileCitation,
    FileLink,
    FileSearch,
    FunctionCall,
    Piece,
    Question,
    Reasoning,
    functions_of,
)
from bot.playground.openai.errors import ApiError
from bot.playground.openai.events import Event, EventLog
from bot.playground.openai.run_output import RunOutput
from bot.playground.openai.seen_files import seen_in_message
from bot.playground.openai.vector_store_files import seen_in_stores, stores_of_resources

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from bot.playground.openai.faults import Fault
    from bot.playground.openai.records import Json, Run
    from bot.playground.openai.state import Options, State

logger = logging.getLogger(__name__)

_REASONS = {"cancelled": "run_cancelled", "expired": "run_expired", "failed": "run_failed"}
"""Why a message is incomplete, by how its run ended."""


class RunExecution:
    """Asks the brain, writes the run's output and moves the run through its states."""

    def __init__(
        self,
        state: State,
        options: Options,
        brain: Brain,
        run: Run,
        fault: Fault | None = None,
        *,
        include: bool = False,
    ) -> None:
        """`include` says whether the stream holds what a search found, word for word."""
        self._state = state
        self._options = options
        self._brain = brain
        self._id = run.id
        self._fault = fault
        self._outputs: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self.log = EventLog()
        self._output = RunOutput(state, run, self.log, include=include)

    @property
    def run(self) -> Run:
        """The run as it is now."""
        return self._state.runs[self._id]

    def start(self) -> None:
        """Queues the run and lets it go."""
        self._emit("thread.run.created")
        self._queue()

    def submit(self, outputs: dict[str, str]) -> None:
        """Goes on after a required action, on a new stream."""
        self._reopen_stream()
        self._outputs += outputs.values()
        self._output.take(outputs)
        self._change(status="queued", required_action=None)
        self._queue()

    def cancel(self) -> None:
        """Moves the run to cancelling and, in the next turn of the loop, to cancelled."""
        self._reopen_stream()
        self._move("cancelling")
        self._stop_task()
        asyncio.get_running_loop().call_soon(self._end, "cancelled")

    def lose_cancel_race(self) -> None:
        """Moves the run to cancelling, yet lets it go on to its end."""
        self._move("cancelling")

    def expire(self) -> None:
        """Ends the run because its time is over."""
        self._reopen_stream()
        self._stop_task()
        self._end("expired")

    async def stop(self) -> None:
        """Drops the run where it is: the server stops."""
        self._stop_task()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _queue(self) -> None:
        self._emit("thread.run.queued")
        self._task = asyncio.get_running_loop().create_task(self._perform())

    def _stop_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _perform(self) -> None:
        try:
            self._move("in_progress", started_at=self.run.started_at or self._state.now)
            self._options.switches.check_load(self.run.model)
            calls = await self._answer()
            self._conclude(calls)
        except ApiError as error:
            # A run waits for its model, so it is the run that fails, not the request for it.
            code = "rate_limit_exceeded" if error.status == 429 else "server_error"
            self._end("failed", last_error={"code": code, "message": error.message})
        except Exception as error:
            # Whatever a brain raises is a failed run to the client, as a model's failure is.
            logger.exception("the brain failed on %s", self._id)
            self._end("failed", last_error={"code": "server_error", "message": str(error)})

    async def _answer(self) -> list[FunctionCall]:
        calls: list[FunctionCall] = []
        answer = cast("AsyncGenerator[Piece]", self._brain.answer(self._question()))
        async with aclosing(answer) as pieces:
            async for piece in pieces:
                if isinstance(piece, FunctionCall):
                    calls.append(piece)
                else:
                    self._write(piece)
                    await asyncio.sleep(self._options.token_delay)
                if self._overlong:
                    break
        return calls

    def _write(self, piece: Piece) -> None:
        match piece:
            case str():
                self._output.write(piece)
            case CodeInterpreterCall():
                self._output.run_code(piece)
            case FileLink():
                self._output.link(piece)
            case FileSearch():
                self._output.search(piece)
            case FileCitation():
                self._output.cite_file(piece)
            case Reasoning():
                pass  # The Assistants API never shows what a model thought.
            case _:
                raise TypeError(f"the Assistants API has no {type(piece).__name__}")

    @property
    def _overlong(self) -> bool:
        tokens = self.run.max_completion_tokens
        return tokens is not None and self._output.characters > tokens * limits.CHARACTERS_PER_TOKEN

    def _conclude(self, calls: list[FunctionCall]) -> None:
        forced = self._fault.run_status if self._fault is not None else None
        if forced == "requires_action" and not calls:
            calls = [FunctionCall("unknown_function", "{}")]
        if self._overlong:
            self._end("incomplete", incomplete_details={"reason": "max_completion_tokens"})
        elif forced not in {None, "requires_action"}:
            self._end_by_fault(cast("Fault", self._fault))
        elif calls:
            self._require_action(calls)
        else:
            self._end("completed")

    def _end_by_fault(self, fault: Fault) -> None:
        details: Json = {}
        if fault.run_status == "failed":
            details["last_error"] = fault.last_error or {"code": "server_error", "message": fault.message}
        if fault.run_status == "incomplete":
            details["incomplete_details"] = {"reason": fault.incomplete_reason or "max_completion_tokens"}
        self._end(str(fault.run_status), **details)

    def _require_action(self, calls: list[FunctionCall]) -> None:
        self._fault = None
        wanted = self._output.ask(calls)
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": wanted}}
        self._move("requires_action", required_action=action)
        self._close_stream()

    def _end(self, status: str, **details: Any) -> None:
        if not self.run.active:
            return
        if status == "completed":
            self._output.finish()
        else:
            self._output.abort(status, _REASONS.get(status, "max_tokens"))
        if status in {"completed", "failed", "cancelled"}:
            details[f"{status}_at"] = self._state.now
        self._move(status, required_action=None, expires_at=None, usage=self._usage(), **details)
        self._close_stream()

    def _usage(self) -> Json:
        prompt = sum(len(each.text) for each in self._state.messages[self.run.thread_id].values())
        tokens = [size // limits.CHARACTERS_PER_TOKEN + 1 for size in (prompt, self._output.characters)]
        return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}

    def _move(self, status: str, **changes: Any) -> None:
        self._change(status=status, **changes)
        self._emit(f"thread.run.{status}")

    def _change(self, **changes: Any) -> None:
        self._state.runs[self._id] = replace(self.run, **changes)
        self._state.changed()

    def _emit(self, name: str) -> None:
        self.log.append(Event(name, self.run.wire()))
        self._state.changed()

    def _reopen_stream(self) -> None:
        if self.log.closed:
            self.log = EventLog()
            self._output.redirect(self.log)

    def _close_stream(self) -> None:
        self.log.append(Event("done", "[DONE]"))
        self.log.close()

    def _question(self) -> Question:
        run = self.run
        thread = list(self._state.messages[run.thread_id].values())
        if run.truncation_strategy["type"] == "last_messages":
            thread = thread[-run.truncation_strategy["last_messages"] :]
        files = [file for index, each in enumerate(thread) for file in seen_in_message(self._state, each, index)]
        files += seen_in_stores(self._state, self._stores())
        said = [(each.role, each.text) for each in thread]
        said += [("tool", output) for output in self._outputs]
        tools = tuple(tool["function"]["name"] if "function" in tool else tool["type"] for tool in run.tools)
        return Question(run.instructions, tuple(said), tools, run.model, tuple(files), functions_of(run.tools))

    def _stores(self) -> Iterator[str]:
        assistant = self._state.assistants.get(self.run.assistant_id)
        own = None if assistant is None else assistant.tool_resources
        return stores_of_resources(own, self._state.threads[self.run.thread_id].tool_resources)
