"""One response's life: from queued to its end, and into its conversation."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from bot.playground.openai import limits
from bot.playground.openai.brain import Brain, FunctionCall, McpCall, Piece, Question
from bot.playground.openai.events import EventLog
from bot.playground.openai.response_output import ResponseOutput
from bot.playground.openai.response_pieces import PieceWriter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from bot.playground.openai.calls import Call
    from bot.playground.openai.faults import Fault
    from bot.playground.openai.records import Json, Response
    from bot.playground.openai.state import Options, State

logger = logging.getLogger(__name__)


class ResponseExecution:
    """Asks the brain, writes the output items, and adds them to the conversation at the end."""

    def __init__(
        self,
        state: State,
        options: Options,
        brain: Brain,
        response: Response,
        question: Question,
        heard: Sequence[Json],
        call: Call,
    ) -> None:
        """`heard` are the items behind the question; `call` asked for the response."""
        self._state = state
        self._options = options
        self._brain = brain
        self._id = response.id
        self._question = question
        self._fault = call.fault
        self._task: asyncio.Task[None] | None = None
        self.log = EventLog()
        self._output = ResponseOutput(state, response.id, self.log, frozenset(call.body.get("include") or ()))
        self._pieces = PieceWriter(state, response, self._output, heard)

    @property
    def response(self) -> Response:
        """The response as it is now."""
        return self._state.responses[self._id]

    def start(self) -> None:
        """Locks the conversation and lets the response go."""
        if self.response.conversation is not None:
            self._state.locked.add(self.response.conversation["id"])
        self._output.tell("created")
        if self.response.background:
            self._output.tell("queued")
        self._task = asyncio.get_running_loop().create_task(self._perform())

    def cancel(self) -> None:
        """Ends the response as cancelled; nothing reaches the conversation."""
        if self._task is not None:
            self._task.cancel()
        self._end("cancelled")

    async def stop(self) -> None:
        """Drops the response where it is: the server stops."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _perform(self) -> None:
        try:
            self._change(status="in_progress")
            self._output.tell("in_progress")
            await self._answer()
            self._conclude()
        except Exception as error:
            # Whatever a brain raises is a failed response to the client, as a model's failure is.
            logger.exception("the brain failed on %s", self._id)
            self._end("failed", error={"code": "server_error", "message": str(error)})

    async def _answer(self) -> None:
        answer = cast("AsyncGenerator[Piece]", self._brain.answer(self._question))
        async with aclosing(answer) as pieces:
            async for piece in pieces:
                if self._pieces.waiting and not isinstance(piece, McpCall):
                    break
                self._pieces.write(piece)
                await asyncio.sleep(self._options.token_delay)
                if self._overlong:
                    break

    @property
    def _overlong(self) -> bool:
        tokens = self.response.max_output_tokens
        return tokens is not None and self._output.characters > tokens * limits.CHARACTERS_PER_TOKEN

    def _conclude(self) -> None:
        forced = self._fault.run_status if self._fault is not None else None
        if self._overlong:
            self._end("incomplete", incomplete_details={"reason": "max_output_tokens"})
        elif forced == "requires_action":
            self._pieces.write(FunctionCall("unknown_function", "{}"))
            self._end("completed")
        elif forced is not None:
            self._end_by_fault(cast("Fault", self._fault))
        else:
            self._end("completed")

    def _end_by_fault(self, fault: Fault) -> None:
        details: Json = {}
        if fault.run_status == "failed":
            details["error"] = fault.last_error or {"code": "server_error", "message": fault.message}
        if fault.run_status == "incomplete":
            details["incomplete_details"] = {"reason": fault.incomplete_reason or "max_output_tokens"}
        self._end(str(fault.run_status), **details)

    def _end(self, status: str, **details: Any) -> None:
        if not self.response.active:
            return
        self._output.close("completed" if status == "completed" else "incomplete")
        if status == "completed":
            details["completed_at"] = self._state.now
        self._change(status=status, usage=self._usage(), **details)
        self._release()
        # The API has no event for a cancelled response: its stream just ends.
        if status != "cancelled":
            self._output.tell(status)
        self.log.close()

    def _release(self) -> None:
        response = self.response
        if response.conversation is None:
            return
        self._state.locked.discard(response.conversation["id"])
        items = self._state.items[response.conversation["id"]]
        if response.status in {"completed", "incomplete"}:
            items |= {item["id"]: item for item in (*response.input, *response.output)}

    def _usage(self) -> Json:
        asked = len(self._question.instructions) + sum(len(each) for _, each in self._question.messages)
        thought = self._pieces.thought_characters
        written = self._output.characters + thought
        tokens = [size // limits.CHARACTERS_PER_TOKEN + 1 for size in (asked, written)]
        return {
            "input_tokens": tokens[0],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": tokens[1],
            "output_tokens_details": {"reasoning_tokens": thought // limits.CHARACTERS_PER_TOKEN},
            "total_tokens": sum(tokens),
        }

    def _change(self, **changes: Any) -> None:
        self._state.responses[self._id] = replace(self.response, **changes)
        self._state.changed()
