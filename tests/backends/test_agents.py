"""The backend for OpenAI's Agents API, against the local server's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.backends.agents.backend import AgentsBackend
from bot.engine.assistants import problems_of
from bot.engine.ports import (
    Attachment,
    CallsWanted,
    FileMade,
    HostedMcp,
    Message,
    RunEvent,
    RunRequest,
    RunStatus,
    Task,
    TaskStatus,
    TextDelta,
    TextDone,
    ToolOutput,
    ToolSpec,
)
from bot.errors import BackendRefused, BackendUnsupported, ThreadGone, ThreadLocked
from bot.playground.openai import (
    CodeInterpreterCall,
    FunctionCall,
    MadeFile,
    McpCall,
    Question,
    Reasoning,
    ScriptedBrain,
    WebSearch,
)
from tests.backends.bench import (
    NO_PATIENCE,
    TUTOR,
    Bench,
    ended,
    message,
    remembering,
    request,
    started,
    text_of,
)
from tests.backends.contract import ModerationContract, ServerRunContract

WEATHER = ToolSpec("get_weather", "The weather of a town.", {"type": "object", "properties": {}})
PLAIN = replace(TUTOR, tools=())
POET = replace(PLAIN, key="poet", instructions="You rhyme.", model="gpt-6-luna")
WIKI = HostedMcp("wiki", "https://wiki.test/mcp")
EVENTS = "/agents/sessions/{s}/events"


def agents(**options: Any) -> AbstractAsyncContextManager[Bench[AgentsBackend]]:
    return remembering(AgentsBackend, **({"assistant": PLAIN} | options))


def turns(bench: Bench[AgentsBackend]) -> list[Any]:
    return [turn for session in bench.server.agent_sessions for turn in bench.server.agent_turns(session)]


def told(bench: Bench[AgentsBackend]) -> list[tuple[str, str]]:
    """(role, text) of what the newest session holds."""
    items = bench.server.agent_items(list(bench.server.agent_sessions)[-1])
    return [(item["role"], item["content"][0]["text"]) for item in items if item["type"] == "message"]


def users(bench: Bench[AgentsBackend]) -> list[str]:
    return [text for role, text in told(bench) if role == "user"]


class TestAgents(ServerRunContract, ModerationContract):
    run_path = making = "/agents/sessions"

    def connected(self, **options: Any) -> AbstractAsyncContextManager[Bench[Any]]:
        return agents(**options)

    async def said(self, bench: Bench[Any], thread: str) -> list[tuple[str, str]]:
        return told(bench)

    def runs_made(self, bench: Bench[Any]) -> int:
        return len(turns(bench))

    def unknown_thread(self) -> str:
        return "agents-gone"


def ask(thread: str, *messages: Message, **changes: Any) -> RunRequest:
    return request(thread, *messages, **({"assistant": PLAIN} | changes))


def forecaster(question: Question) -> Any:
    role, said = question.messages[-1]
    return f"It is {said}." if role == "tool" else looking_out()


async def looking_out() -> AsyncIterator[Any]:
    yield "Let me see."
    yield FunctionCall("get_weather", '{"town": "Oslo"}')


def listening(heard: list[Question], answer: str) -> ScriptedBrain:
    def listen(question: Question) -> str:
        heard.append(question)
        return answer

    return ScriptedBrain(listen)


async def leave_in_mid_air(bench: Bench[AgentsBackend], wanted: RunRequest) -> str:
    """Start a run and go away after its first word. Returns its mark."""
    events: Any = bench.backend.run(wanted)
    seen: list[RunEvent] = []
    while not seen or not isinstance(seen[-1], TextDelta):
        seen.append(await anext(events))
    await events.aclose()
    return started(seen)


# An answer


async def test_the_answer_comes_word_by_word_then_whole_in_every_turn() -> None:
    async with agents() as bench:
        thread = await bench.thread()
        for number in (1, 2):
            events = await bench.run(ask(thread, message(number, "ping"), run=f"run-{number}"))
            assert [event.text for event in events if isinstance(event, TextDelta)] == ["pong", " and", " more"]
            assert [event.text for event in events if isinstance(event, TextDone)][-1] == "pong and more"
            assert ended(events).status is RunStatus.COMPLETED
            assert set(ended(events).usage) >= {"input_tokens", "output_tokens"}
        [session] = bench.server.agent_sessions.values()
        assert session["environment"] == {"type": "none"}
        assert users(bench) == ["ping", "ping"]


async def test_instructions_and_context_are_the_sessions_and_another_context_is_said() -> None:
    heard: list[Question] = []
    async with agents(brain=listening(heard, "yes")) as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, message(1, "one")))
        await bench.run(ask(thread, message(2, "two"), run="run-2", context="The person asking is Bob."))
        await bench.run(ask(thread, message(3, "three"), run="run-3", context="The person asking is Bob."))
        assert heard[0].instructions == "You teach mathematics.\n\nThe person asking is Ada."
        assert users(bench) == [
            "one",
            "(This is from Bobbin, not from a person: The person asking is Bob.)",
            "two",
            "three",
        ]


async def test_history_is_written_into_the_first_message() -> None:
    async with agents() as bench:
        thread = await bench.thread(message(1, "hello"), message(2, " "), message(3, "hi there", "assistant"))
        await bench.run(ask(thread, message(4, "ping")))
        assert users(bench) == [
            "What was said in this conversation before, oldest first:\n\nPerson: hello\n\nYou: hi there",
            "ping",
        ]


async def test_another_assistant_gets_a_session_that_is_told_what_was_said() -> None:
    heard: list[Question] = []
    async with agents(brain=listening(heard, "pong")) as bench:
        thread = await bench.thread(message(1, "hello"))
        await bench.run(ask(thread, message(2, "one")))
        await bench.run(ask(thread, message(3, "two"), run="run-2", assistant=POET))
        await bench.run(ask(thread, message(4, "three"), run="run-3"))
        assert len(bench.server.agent_sessions) == 3
        said = ("Person: hello", "Person: one", "You: pong", "Person: two", "You: pong")
        before = "What was said in this conversation before, oldest first:\n\n" + "\n\n".join(said)
        assert users(bench) == [before, "three"]
        assert [question.model for question in heard] == [TUTOR.model, "gpt-6-luna", TUTOR.model]
        assert heard[1].instructions.startswith("You rhyme.")


async def test_other_tools_and_another_model_are_changed_in_the_session() -> None:
    heard: list[Question] = []
    async with agents(brain=listening(heard, "yes")) as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, message(1, "one")))
        changed = replace(PLAIN, tools=("web_search",), model="gpt-6-luna", reasoning_effort="low")
        await bench.run(ask(thread, message(2, "two"), run="run-2", assistant=changed, functions=(WEATHER,)))
        [session] = bench.server.agent_sessions.values()
        assert heard[1].tools == ("web_search", "get_weather")
        assert heard[1].model == "gpt-6-luna"
        assert session["agent"]["reasoning"] == {"effort": "low"}


async def test_what_tools_do_is_told_as_tasks() -> None:
    async def work(_: Question) -> AsyncIterator[Any]:
        yield Reasoning(("First I search.",))
        yield WebSearch("weather oslo")
        yield "Found."

    settings = replace(PLAIN, tools=("web_search",), reasoning_summary=True)
    async with agents(brain=ScriptedBrain(work)) as bench:
        events = await bench.ask("weather?", assistant=settings)
    tasks = [(event.title, event.status) for event in events if isinstance(event, Task)]
    assert ("Thinks", TaskStatus.COMPLETE) in tasks
    assert ("Searches the web", TaskStatus.IN_PROGRESS) in tasks
    assert tasks[-1] == ("Searches the web", TaskStatus.COMPLETE)
    assert len(set(tasks)) == len(tasks)


async def test_what_code_made_comes_as_files(tmp_path: Path) -> None:
    async def plot(_: Question) -> AsyncIterator[Any]:
        yield CodeInterpreterCall("plot()", "", (MadeFile("plot.png", b"\x89PNG...", "image/png"),))
        yield "Here."

    async with agents(brain=ScriptedBrain(plot)) as bench:
        thread = await bench.thread()
        for number in (1, 2):
            folder = tmp_path / str(number)
            wanted = ask(thread, message(number, "plot"), run=f"run-{number}", assistant=TUTOR, folder=folder)
            [made] = [event for event in await bench.run(wanted) if isinstance(event, FileMade)]
            assert (made.name, made.media_type, made.path.read_bytes()) == ("plot.png", "image/png", b"\x89PNG...")
        [session] = bench.server.agent_sessions.values()
        assert session["environment"]["network"]["access"] == "disabled"


async def test_pictures_and_texts_go_along_and_the_rest_is_refused(tmp_path: Path) -> None:
    heard: list[Question] = []
    (tmp_path / "p").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    (tmp_path / "t").write_text("a,b")
    files = (
        Attachment("p.png", "image/png", 28, tmp_path / "p"),
        Attachment("rows.csv", "text/csv", 3, tmp_path / "t"),
    )
    async with agents(brain=listening(heard, "yes")) as bench:
        await bench.run(ask(await bench.thread(), Message("1", "user", "look", files)))
        assert "File rows.csv" in heard[0].last
        assert [(file.media_type, file.size) for file in heard[0].files] == [("image/png", 28)]
        assert "cannot use" in str(bench.backend.file_problem(PLAIN, "x.zip", "application/zip", 5))


# Tools


async def test_functions_are_wanted_and_their_outputs_go_on() -> None:
    async with agents(brain=ScriptedBrain(forecaster)) as bench:
        first = ask(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
        events = await bench.run(first)
        assert isinstance(events[-1], CallsWanted)
        [call] = events[-1].calls
        assert (call.name, call.arguments, call.server) == ("get_weather", '{"town": "Oslo"}', None)
        mark = replace(first, backend_run=started(events))
        again = await bench.run(replace(mark, attempt=2))
        assert isinstance(again[-1], CallsWanted)
        assert again[-1].calls == (call,)
        with_output = replace(mark, outputs=(ToolOutput(call.id, "sunny"),))
        rest = await bench.run(with_output)
        assert "".join(each.text for each in rest if isinstance(each, TextDelta)).strip() == "It is sunny."
        assert text_of(rest) == "Let me see.\n\nIt is sunny."
        # Handed in, and then the process died: it is not handed in again.
        taken_up = await bench.run(replace(with_output, attempt=2))
        assert text_of(taken_up) == "Let me see.\n\nIt is sunny."
        assert len(turns(bench)) == 1


async def test_a_failed_call_is_told_as_one() -> None:
    async with agents(brain=ScriptedBrain(forecaster)) as bench:
        first = ask(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
        events = await bench.run(first)
        assert isinstance(events[-1], CallsWanted)
        output = ToolOutput(events[-1].calls[0].id, "no such town", failed=True)
        rest = await bench.run(replace(first, backend_run=started(events), outputs=(output,)))
        assert text_of(rest).endswith("It is Error: no such town.")


def librarian(question: Question) -> Any:
    if question.last == "denied":
        return "Then not."
    return asking_the_wiki()


async def asking_the_wiki() -> AsyncIterator[Any]:
    yield McpCall("wiki", "search", '{"q": "x"}', "found")
    yield "Found it."


@pytest.mark.parametrize(("approved", "answer"), [(True, "Found it."), (False, "Then not.")])
async def test_an_mcp_servers_call_waits_for_an_approval(approved: bool, answer: str) -> None:
    async with agents(brain=ScriptedBrain(librarian)) as bench:
        first = ask(await bench.thread(), message(1, "x?"), assistant=replace(PLAIN, hosted_mcp=(WIKI,)))
        events = await bench.run(first)
        assert isinstance(events[-1], CallsWanted)
        [call] = events[-1].calls
        assert (call.name, call.server, call.arguments) == ("search", "wiki", '{"q": "x"}')
        output = ToolOutput(call.id, "…", failed=not approved, approved=approved)
        rest = await bench.run(replace(first, backend_run=started(events), outputs=(output,)))
        assert text_of(rest) == answer
        assert any(isinstance(event, Task) and event.title == "Asks wiki: search" for event in rest) == approved


async def test_a_server_that_needs_no_approval_is_not_asked_about() -> None:
    free = replace(PLAIN, hosted_mcp=(replace(WIKI, approval=False),))
    async with agents(brain=ScriptedBrain(librarian)) as bench:
        events = await bench.ask("x?", assistant=free)
    assert text_of(events) == "Found it."
    assert ended(events).status is RunStatus.COMPLETED


# How a turn can end


async def test_a_failed_turn_keeps_its_text_and_says_why() -> None:
    failure = {"code": "server_overloaded", "message": "secret words of the server"}
    async with agents() as bench:
        fault: dict[str, Any] = {"run_status": "failed", "last_error": failure}
        bench.server.faults.add(method="POST", path="/agents/sessions", **fault)
        events = await bench.ask("ping")
    assert ended(events).status is RunStatus.FAILED
    assert "rate limit" in (ended(events).reason or "")
    assert "secret" not in (ended(events).reason or "")
    assert text_of(events) == "pong and more"


@pytest.mark.parametrize(
    "fault", [{"cut_after_events": 9}, {"cut_after_events": 1}, {"no_terminal": True}, {"error_event": "nested"}]
)
@pytest.mark.parametrize("turn", [1, 2])
async def test_a_stream_that_breaks_is_made_up_for_by_the_items(turn: int, fault: dict[str, Any]) -> None:
    async with agents(token_delay=0.001) as bench:
        thread = await bench.thread()
        if turn == 2:
            await bench.run(ask(thread, message(1, "ping")))
        method, path = ("POST", "/agents/sessions") if turn == 1 else ("GET", EVENTS)
        bench.server.faults.add(method=method, path=path, **fault)
        events = await bench.run(ask(thread, message(2, "ping"), run="run-2"))
        assert len(turns(bench)) == turn
    assert ended(events).status is RunStatus.COMPLETED
    assert text_of(events) == "pong and more"


# Never twice


@pytest.mark.parametrize("fault", [{"cut": True}, {"status": 500}, {"status": 503}])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("turn", [1, 2])
async def test_what_may_have_been_accepted_is_not_asked_twice(turn: int, when: str, fault: dict[str, Any]) -> None:
    async with agents() as bench:
        thread = await bench.thread()
        if turn == 2:
            await bench.run(ask(thread, message(1, "ping")))
        path = "/agents/sessions" if turn == 1 else EVENTS
        bench.server.faults.add(method="POST", path=path, when=when, **fault)
        events = await bench.run(ask(thread, message(2, "ping"), run="run-2"))
        assert len(turns(bench)) == turn
    assert text_of(events) == "pong and more"


@pytest.mark.parametrize(("turn", "known"), [(1, "turn"), (1, "session"), (1, "nothing"), (2, "turn"), (2, "session")])
async def test_a_run_that_went_on_without_us_is_found_again(turn: int, known: str) -> None:
    gate = asyncio.Event()
    gate.set()
    async with agents(brain=ScriptedBrain(lambda _: "one two three", gate=gate)) as bench:
        thread = await bench.thread()
        if turn == 2:
            await bench.run(ask(thread, message(1, "count")))
        gate.clear()
        first = ask(thread, message(2, "count"), run="run-2")
        session, after, own = (await leave_in_mid_air(bench, first)).split("/")
        mark = {"turn": f"{session}/{after}/{own}", "session": f"{session}/{after}/", "nothing": "//"}[known]
        gate.set()
        events = await bench.run(replace(first, attempt=2, backend_run=mark))
        assert len(turns(bench)) == turn
    assert started(events) == f"{session}/{after}/{own}"
    assert (text_of(events), ended(events).status) == ("one two three", RunStatus.COMPLETED)


async def test_a_run_that_never_reached_the_server_begins() -> None:
    async with agents() as bench:
        thread = await bench.thread()
        first = ask(thread, message(1, "ping"))
        assert text_of(await bench.run(replace(first, attempt=2, backend_run="//"))) == "pong and more"
        [session] = bench.server.agent_sessions
        [turn] = turns(bench)
        mark = f"{session}/{turn['id']}/"
        second = ask(thread, message(2, "ping"), run="run-2", attempt=2, backend_run=mark)
        assert text_of(await bench.run(second)) == "pong and more"
        assert users(bench) == ["ping", "ping"]


async def test_a_run_that_was_cancelled_is_made_again_when_it_is_taken_up() -> None:
    gate = asyncio.Event()
    async with agents(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as bench:
        first = ask(await bench.thread(), message(1, "count"))
        mark = await leave_in_mid_air(bench, first)
        await bench.backend.cancel(replace(first, backend_run=mark))
        gate.set()
        events = await bench.run(replace(first, attempt=2, backend_run=mark))
        assert [turn["status"] for turn in turns(bench)] == ["cancelled", "completed"]
    assert text_of(events) == "one two"


# What is left behind


async def test_a_cancel_ends_what_waits_and_the_next_run_is_a_turn_of_its_own() -> None:
    async with agents(brain=ScriptedBrain(forecaster)) as bench:
        thread = await bench.thread()
        first = ask(thread, message(1, "weather?"), functions=(WEATHER,))
        await bench.backend.cancel(first)
        mark = started(await bench.run(first))
        for _ in range(2):
            await bench.backend.cancel(replace(first, backend_run=mark), "Let me see.")
        assert [turn["status"] for turn in turns(bench)] == ["cancelled"]
        events = await bench.run(ask(thread, message(2, "weather?"), run="run-2", functions=(WEATHER,)))
        assert isinstance(events[-1], CallsWanted)
        await bench.backend.cancel(replace(first, backend_run="sess_gone//"))


async def test_what_calls_came_to_is_known_though_the_run_was_stopped_then() -> None:
    heard: list[Question] = []

    def answer(question: Question) -> Any:
        heard.append(question)
        return forecaster(question)

    async with agents(brain=ScriptedBrain(answer)) as bench:
        first = ask(await bench.thread(), message(1, "weather?"), functions=(WEATHER,))
        events = await bench.run(first)
        wanted = events[-1]
        assert isinstance(wanted, CallsWanted)
        outputs = (ToolOutput(wanted.calls[0].id, "sunny"),)
        await bench.backend.cancel(replace(first, backend_run=started(events), outputs=outputs))
        assert [turn["status"] for turn in turns(bench)] == ["cancelled"]
        await bench.run(ask(first.backend_thread, message(2, "so?"), run="run-2"))
    assert ("tool", "sunny") in heard[-1].messages


async def test_a_turn_that_an_earlier_run_left_is_ended_and_not_steered() -> None:
    async with agents(brain=ScriptedBrain(forecaster)) as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, message(1, "weather?"), functions=(WEATHER,)))
        events = await bench.run(ask(thread, message(2, "again?"), run="run-2", functions=(WEATHER,)))
        assert isinstance(events[-1], CallsWanted)
        assert [turn["status"] for turn in turns(bench)] == ["cancelled", "waiting"]


async def test_a_turn_that_cannot_be_ended_is_said() -> None:
    async with agents(brain=ScriptedBrain(forecaster), lock_patience=NO_PATIENCE) as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, message(1, "weather?"), functions=(WEATHER,)))
        [session] = bench.server.agent_sessions
        bench.server.agent_sessions[session]["status"] = "in_progress"
        bench.server._state.agent_turns[session].clear()
        with pytest.raises(ThreadLocked):
            await bench.run(ask(thread, message(2, "again?"), run="run-2", functions=(WEATHER,)))


async def test_a_session_that_failed_is_replaced_by_one_that_knows_what_was_said() -> None:
    async with agents() as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, message(1, "one")))
        [session] = bench.server.agent_sessions
        bench.server.agent_sessions[session]["status"] = "failed"
        await bench.run(ask(thread, message(2, "two"), run="run-2"))
        before, asked = users(bench)
        assert "Person: one\n\nYou: pong and more" in before
        assert asked == "two"


async def test_a_session_that_is_gone_is_a_thread_that_is_gone() -> None:
    async with agents() as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, message(1, "one")))
        bench.server._state.agent_sessions.clear()
        with pytest.raises(ThreadGone):
            await bench.run(ask(thread, message(2, "two"), run="run-2"))


# Refusals and checks


async def test_refusals_have_their_sentences() -> None:
    async with agents() as bench:
        with pytest.raises(BackendRefused) as caught:
            await bench.ask("ping", assistant=replace(PLAIN, model="gpt-9"))
        assert "gpt-9" in caught.value.sentence
        not_there: dict[str, Any] = {"status": 404, "message": "Invalid URL (POST /v1/agents/sessions)"}
        bench.server.faults.add(method="POST", path="/agents/sessions", **not_there)
        with pytest.raises(BackendUnsupported) as unsupported:
            await bench.ask("ping")
        assert "BOBBIN_BACKEND" in unsupported.value.sentence
    async with agents(key="sk-wrong") as bench:
        with pytest.raises(BackendRefused):
            await bench.ask("ping")


async def test_checks() -> None:
    async with agents() as bench:
        checks = await bench.backend.check([TUTOR.model, "gpt-9"])
        assert [bool(check.problem) for check in checks] == [False, False, True]
        bench.server.faults.add(method="GET", path="/agents/sessions", status=404)
        [only] = await bench.backend.check([])
        assert "Agents API" in str(only.problem)


def test_json_without_a_schema_is_refused_at_the_start() -> None:
    wanted = replace(PLAIN, response_format="json_object", source="tutor.md")
    [line] = problems_of(wanted, "agents", AgentsBackend.abilities, frozenset(), frozenset())
    assert line == (
        "tutor.md: response_format.json_object cannot be used with BOBBIN_BACKEND=agents; write a `name` and a JSON "
        "`schema` instead, or choose another backend (docs/backends.md)."
    )


async def test_the_form_of_the_answer_is_the_sessions() -> None:
    schema = {"name": "verdict", "schema": {"type": "object"}}
    async with agents() as bench:
        await bench.ask("fair?", assistant=replace(PLAIN, response_format=schema))
        [made] = bench.calls("POST", "/agents/sessions")
    assert made.body["agent"]["text"] == {"format": {"type": "json_schema", "schema": schema["schema"]}}
