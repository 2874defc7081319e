"""/threads/{thread}/runs: https://developers.openai.com/api/reference, "Runs" and "Run steps"."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.playground.openai import schemas
from bot.playground.openai.calls import Call, changes, page, polled, stream
from bot.playground.openai.errors import bad_request
from bot.playground.openai.events import Event, EventLog
from bot.playground.openai.parameters import array, one_of
from bot.playground.openai.records import Json, Run, Thread, new_id
from bot.playground.openai.run_execution import RunExecution
from bot.playground.openai.run_output import FOUND_CONTENT, shown_step
from bot.playground.openai.threads import ThreadEndpoints, attach, new_message
from bot.playground.openai.vector_store_files import check_there, stores_of_resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import web

    from bot.playground.openai.brain import Brain
    from bot.playground.openai.records import Assistant
    from bot.playground.openai.router import Route
    from bot.playground.openai.state import Options, State

_COPIED = (
    "metadata", "temperature", "top_p", "max_prompt_tokens", "max_completion_tokens", "truncation_strategy",
    "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort",
)  # fmt: skip
"""Parameters of a run that become its fields unchanged."""


class RunEndpoints:
    """Starts runs, shows them, cancels them, takes their tools' outputs."""

    def __init__(self, state: State, options: Options, brain: Brain, threads: ThreadEndpoints) -> None:
        self._state = state
        self._options = options
        self._brain = brain
        self._threads = threads
        self._executions: dict[str, RunExecution] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        run = "/threads/{thread}/runs/{run}"
        yield "POST", "/threads/runs", self.create_with_thread
        yield "POST", "/threads/{thread}/runs", self.create
        yield "GET", "/threads/{thread}/runs", self.list
        yield "GET", run, self.retrieve
        yield "POST", run, self.update
        yield "POST", f"{run}/cancel", self.cancel
        yield "POST", f"{run}/submit_tool_outputs", self.submit
        yield "GET", f"{run}/steps", self.list_steps
        yield "GET", f"{run}/steps/{{step}}", self.retrieve_step

    async def create(self, call: Call) -> Json | web.StreamResponse:
        thread = self._state.find(self._state.threads, call.path("thread"), "thread")
        body = call.checked(schemas.RUN_CREATE)
        active = self._state.active_run(thread.id)
        if active is not None:
            raise bad_request(f"Thread {thread.id} already has an active run {active.id}.")
        run = self._new_run(thread, body)
        messages = [new_message(self._state, thread.id, each) for each in body.get("additional_messages") or ()]
        self._state.messages[thread.id] |= {each.id: each for each in messages}
        for message in messages:
            attach(self._state, message)
        return await self._answer(call, self._start(run, call))

    async def create_with_thread(self, call: Call) -> Json | web.StreamResponse:
        body = call.checked(schemas.THREAD_AND_RUN)
        # The run is made for a thread that is not kept yet: a refused run leaves no thread behind.
        draft = self._new_run(Thread(id="", created_at=0), body)
        given = body.get("thread") or {}
        resources = (given.get("tool_resources") or {}) | (body.get("tool_resources") or {})
        thread = self._threads.make({**given, "tool_resources": resources})
        execution = self._start(replace(draft, thread_id=thread.id), call)
        return await self._answer(call, execution, thread)

    async def list(self, call: Call) -> Json:
        thread = self._state.find(self._state.threads, call.path("thread"), "thread")
        runs = self._state.runs.items()
        return page(call, {key: run.wire() for key, run in runs if run.thread_id == thread.id}, "run")

    async def retrieve(self, call: Call) -> Json | web.Response:
        return polled(self._find(call).wire(), self._options.poll_after_ms)

    async def update(self, call: Call) -> Json:
        run = replace(self._find(call), **changes(call.checked(schemas.RUN_UPDATE)))
        self._state.runs[run.id] = run
        return run.wire()

    async def cancel(self, call: Call) -> Json:
        run = self._find(call)
        if not run.active or run.id not in self._executions:
            raise bad_request(f"Cannot cancel run with status '{run.status}'.")
        execution = self._executions[run.id]
        if run.status != "cancelling":
            lost = call.fault is not None and call.fault.run_status == "completed"
            (execution.lose_cancel_race if lost else execution.cancel)()
        return execution.run.wire()

    async def submit(self, call: Call) -> Json | web.StreamResponse:
        run = self._find(call)
        body = call.checked(schemas.TOOL_OUTPUTS)
        if run.status != "requires_action" or run.required_action is None:
            raise bad_request(f'Runs in status "{run.status}" do not accept tool outputs.')
        given = {each["tool_call_id"]: each.get("output") or "" for each in body["tool_outputs"]}
        wanted = [each["id"] for each in run.required_action["submit_tool_outputs"]["tool_calls"]]
        if set(given) != set(wanted):
            raise bad_request(f"Expected tool outputs for call_ids {wanted}, got {list(given)}")
        execution = self._executions[run.id]
        execution.submit(given)
        return await self._answer(call, execution)

    async def list_steps(self, call: Call) -> Json:
        steps = self._state.steps[self._find(call).id]
        include = _step_include(call)
        return page(call, {key: shown_step(step, include) for key, step in steps.items()}, "run step")

    async def retrieve_step(self, call: Call) -> Json:
        steps = self._state.steps[self._find(call).id]
        return shown_step(self._state.find(steps, call.path("step"), "run step"), _step_include(call))

    def expire_overdue(self) -> None:
        """Ends the runs whose time is over, and forgets how the finished ones were made."""
        for run in list(self._state.runs.values()):
            if run.active and run.expires_at is not None and run.expires_at <= self._state.clock():
                execution = self._executions.get(run.id)
                if execution is not None:
                    execution.expire()
        for key in [key for key in self._executions if not self._state.runs[key].active]:
            del self._executions[key]
            self._deadlines.pop(key).cancel()

    async def stop(self) -> None:
        """Drops all runs where they are."""
        for deadline in self._deadlines.values():
            deadline.cancel()
        await asyncio.gather(*(each.stop() for each in self._executions.values()))

    def _new_run(self, thread: Thread, body: Json) -> Run:
        assistant = self._state.find(self._state.assistants, body["assistant_id"], "assistant")
        model = body.get("model") or assistant.model
        if any(tool["type"] == "file_search" for tool in body.get("tools") or assistant.tools):
            check_there(self._state, stores_of_resources(assistant.tool_resources, thread.tool_resources))
        self._options.check_model(model)
        if "stream" in body and self._options.streaming == "refuse":
            raise bad_request("Unrecognized request argument supplied: stream")
        now = self._state.now
        return Run(
            id=new_id("run_"),
            created_at=now,
            thread_id=thread.id,
            assistant_id=assistant.id,
            model=model,
            instructions=_instructions(assistant, body),
            tools=assistant.tools if body.get("tools") is None else body["tools"],
            expires_at=int(now + self._options.run_expiry),
            **_inherited(assistant, body),
        )

    def _start(self, run: Run, call: Call) -> RunExecution:
        self._state.runs[run.id] = run
        self._state.steps[run.id] = {}
        include = _step_include(call)
        execution = RunExecution(self._state, self._options, self._brain, run, call.fault, include=include)
        self._executions[run.id] = execution
        execution.start()
        # Somebody who only follows the stream makes no request at which the run could be found overdue.
        deadline = asyncio.get_running_loop().call_later(self._options.run_expiry, self.expire_overdue)
        self._deadlines[run.id] = deadline
        return execution

    async def _answer(
        self, call: Call, execution: RunExecution, thread: Thread | None = None
    ) -> Json | web.StreamResponse:
        if not call.body.get("stream") or self._options.streaming is not True or call.lost:
            return execution.run.wire()
        return await stream(call, _preceded(thread, execution.log))

    def _find(self, call: Call) -> Run:
        thread = self._state.find(self._state.threads, call.path("thread"), "thread")
        runs = {key: run for key, run in self._state.runs.items() if run.thread_id == thread.id}
        return self._state.find(runs, call.path("run"), "run")


def _step_include(call: Call) -> bool:
    """Whether the query asks for what a file search found, word for word."""
    asked = call.request.query.getall("include[]", call.request.query.getall("include", []))
    array(one_of(FOUND_CONTENT))(list(asked), "include")
    return bool(asked)


async def _preceded(thread: Thread | None, log: EventLog) -> AsyncIterator[Event]:
    if thread is not None:
        yield Event("thread.created", thread.wire())
    async for event in log.follow():
        yield event


def _instructions(assistant: Assistant, body: Json) -> str:
    own = body.get("instructions")
    base = (assistant.instructions or "") if own is None else own
    return "\n\n".join(part for part in (base, body.get("additional_instructions")) if part)


def _inherited(assistant: Assistant, body: Json) -> dict[str, Any]:
    of_assistant = {
        name: getattr(assistant, name) for name in ("temperature", "top_p", "response_format", "reasoning_effort")
    }
    return of_assistant | {name: body[name] for name in _COPIED if body.get(name) is not None}
