"""The backend that keeps conversations itself, against a server that keeps nothing."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backends.local.backend import LocalBackend
from bot.backends.local.exchanges import Exchange, trimmed
from bot.backends.retries import Patience
from bot.engine.ports import (
    Attachment,
    CallsWanted,
    Message,
    RunRequest,
    RunStatus,
    TextDelta,
    ToolOutput,
    ToolSpec,
)
from bot.errors import BackendUnsupported, ContextOverflow, PostTooLong, RunBroken
from bot.playground.openai import FunctionCall, Lean, Question, ScriptedBrain
from storage.sqlite import SqliteStorage
from tests.backends.bench import TUTOR, Bench, ended, message, remembering, request, text_of
from tests.backends.contract import MessagesContract

WEATHER = ToolSpec("get_weather", "The weather of a town.", {"type": "object", "properties": {}})
#: What Ollama, vLLM, llama.cpp and LM Studio share.
PORTABLE = {
    "input", "instructions", "max_output_tokens", "model", "store", "stream", "temperature", "tool_choice", "tools",
    "top_p",
}  # fmt: skip
LEAN = Lean()
PLAIN = replace(TUTOR, tools=())


@asynccontextmanager
async def local(
    *, context_tokens: int = 32_000, lean: Lean = LEAN, **options: Any
) -> AsyncIterator[Bench[LocalBackend]]:
    """At a server that refuses what small ones do."""

    def make(
        client: openai.AsyncOpenAI, storage: SqliteStorage, *, patience: Patience, silence: float, **_: Any
    ) -> LocalBackend:
        return LocalBackend(client, storage, context_tokens=context_tokens, patience=patience, silence=silence)

    async with remembering(make, **options) as bench:
        bench.server.switches.lean = lean
        yield bench


async def kept(bench: Bench[LocalBackend], thread: str) -> list[dict[str, Any]]:
    assert bench.storage
    return [json.loads(item.item) for item in await bench.storage.items(thread)]


def sent(bench: Bench[LocalBackend]) -> list[dict[str, Any]]:
    return [each.body for each in bench.calls("POST", "/responses")]


class TestLocal(MessagesContract):
    run_path = making = "/responses"
    tutor = PLAIN

    def connected(self, **options: Any) -> AbstractAsyncContextManager[Bench[Any]]:
        return local(**options)

    async def said(self, bench: Bench[Any], thread: str) -> list[tuple[str, str]]:
        """As Bobbin keeps it: what people said as text, what the server said in its own parts."""
        return [(item["role"], _text(item["content"])) for item in await kept(bench, thread) if "role" in item]

    def runs_made(self, bench: Bench[Any]) -> int:
        return len(bench.server.responses)

    def unknown_thread(self) -> str:
        return "local-gone"


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def ask(thread: str, *messages: Message, **changes: Any) -> RunRequest:
    return request(thread, *messages, **({"assistant": PLAIN} | changes))


def forecaster(question: Question) -> Any:
    role, said = question.messages[-1]
    return f"It is {said}." if role == "tool" else FunctionCall("get_weather", "{}")


async def test_the_answer_comes_word_by_word_and_is_kept() -> None:
    async with local() as bench:
        thread = await bench.thread()
        events = await bench.run(ask(thread, message(1, "ping")))
        assert [event.text for event in events if isinstance(event, TextDelta)] == ["pong", " and", " more"]
        assert ended(events).status is RunStatus.COMPLETED
        assert await kept(bench, thread) == [
            {"role": "user", "content": "ping"},
            {"role": "assistant", "content": "pong and more"},
        ]


async def test_the_whole_conversation_is_sent_each_time_and_nothing_that_is_not_shared() -> None:
    heard: list[Question] = []

    def listen(question: Question) -> str:
        heard.append(question)
        return f"I hear {len(question.messages)}."

    async with local(brain=ScriptedBrain(listen)) as bench:
        thread = await bench.thread(message(1, "hello"), message(2, "hi", "assistant"))
        settings = replace(PLAIN, temperature=0.5, top_p=0.9, max_output_tokens=200)
        await bench.run(ask(thread, message(3, "one"), assistant=settings))
        await bench.run(ask(thread, message(4, "two"), run="run-2", functions=(WEATHER,)))
        assert [text for _, text in heard[1].messages] == ["hello", "hi", "one", "I hear 3.", "two"]
        for body in sent(bench):
            assert set(body) <= PORTABLE
            assert body["store"] is False
        assert not bench.server.conversations


async def test_a_run_that_is_taken_up_is_not_made_twice() -> None:
    async with local() as bench:
        thread = await bench.thread()
        first = ask(thread, message(1, "ping"))
        await bench.run(first)
        again = await bench.run(replace(first, attempt=2, backend_run="run-1"))
        assert text_of(again) == "pong and more"
        assert len(sent(bench)) == 1


async def test_a_run_that_died_before_its_answer_is_made_again_without_doubling_its_question() -> None:
    async with local() as bench:
        thread = await bench.thread()
        bench.server.faults.add(method="POST", path="/responses", status=400, code="invalid_prompt")
        first = ask(thread, message(1, "ping"))
        with pytest.raises(Exception, match="refused"):
            await bench.run(first)
        again = await bench.run(replace(first, attempt=2, backend_run="run-1"))
        assert text_of(again) == "pong and more"
        assert [item["content"] for item in await kept(bench, thread)] == ["ping", "pong and more"]


async def test_calls_and_outputs_are_kept_and_go_on() -> None:
    async with local(brain=ScriptedBrain(forecaster)) as bench:
        thread = await bench.thread()
        first = ask(thread, message(1, "weather?"), functions=(WEATHER,))
        events = await bench.run(first)
        assert isinstance(events[-1], CallsWanted)
        again = await bench.run(replace(first, attempt=2))
        assert isinstance(again[-1], CallsWanted)
        [call] = again[-1].calls
        rest = await bench.run(replace(first, outputs=(ToolOutput(call.id, "sunny"),)))
        assert text_of(rest) == "It is sunny."
        kinds = [item.get("type") or item["role"] for item in await kept(bench, thread)]
        assert kinds == ["user", "function_call", "function_call_output", "assistant"]


async def test_a_cancel_leaves_no_call_unanswered_and_keeps_what_was_shown() -> None:
    async with local(brain=ScriptedBrain(forecaster)) as bench:
        thread = await bench.thread()
        first = ask(thread, message(1, "weather?"), functions=(WEATHER,))
        await bench.run(first)
        await bench.backend.cancel(first, "Let me")
        items = await kept(bench, thread)
        assert [item.get("type") or item["role"] for item in items][-2:] == ["function_call_output", "assistant"]
        await bench.run(ask(thread, message(2, "weather?"), run="run-2", functions=(WEATHER,)))


async def test_a_call_that_an_earlier_run_left_is_answered_before_the_next() -> None:
    async with local(brain=ScriptedBrain(forecaster)) as bench:
        thread = await bench.thread()
        await bench.run(ask(thread, message(1, "weather?"), functions=(WEATHER,)))
        await bench.run(ask(thread, message(2, "weather now?"), run="run-2", functions=(WEATHER,)))
        items = sent(bench)[-1]["input"]
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    assert calls == [item["call_id"] for item in items if item.get("type") == "function_call_output"]


@pytest.mark.parametrize("streaming", ["ignored", "refused"])
async def test_a_server_that_does_not_stream(streaming: Any) -> None:
    async with local(streaming=streaming) as bench:
        events = await bench.run(ask(await bench.thread(), message(1, "ping")))
    assert text_of(events) == "pong and more"


async def test_a_stream_without_its_end_counts_where_it_was_not_cut() -> None:
    async with local() as bench:
        bench.server.faults.add(method="POST", path="/responses", no_terminal=True)
        events = await bench.run(ask(await bench.thread(), message(1, "ping")))
        assert text_of(events) == "pong and more"
        bench.server.faults.add(method="POST", path="/responses", cut_after_events=5)
        with pytest.raises(RunBroken):
            await bench.run(ask(await bench.thread(), message(1, "ping"), run="run-2"))


async def test_a_conversation_that_is_too_long_is_cut_from_its_beginning() -> None:
    async with local(context_tokens=3_000) as bench:
        thread = await bench.thread()
        for number in range(6):
            await bench.run(ask(thread, message(number, f"{number} " + "word " * 200), run=f"run-{number}"))
        last = sent(bench)[-1]["input"]
    assert last[-1]["content"].startswith("5 ")
    assert last[0]["role"] == "user"
    assert 1 < len(last) < 11


async def test_a_server_that_reads_less_than_it_was_said_gets_less() -> None:
    async with local() as bench:
        thread = await bench.thread()
        for number in range(4):
            await bench.run(ask(thread, message(number, "word " * 500), run=f"run-{number}"))
        refusal = {"status": 400, "code": "context_length_exceeded", "message": "the request exceeds the context size"}
        bench.server.faults.add(method="POST", path="/responses", times=4, **refusal)
        with pytest.raises(ContextOverflow):
            await bench.run(ask(thread, message(9, "one more"), run="run-9"))


async def test_a_post_that_is_too_long_alone_is_said() -> None:
    async with local(context_tokens=2_100) as bench:
        with pytest.raises(PostTooLong):
            await bench.run(ask(await bench.thread(), message(1, "word " * 1_000)))


async def test_pictures_and_texts_go_along_and_the_rest_is_refused(tmp_path: Any) -> None:
    (tmp_path / "p").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    (tmp_path / "t").write_text("a,b")
    files = (
        Attachment("p.png", "image/png", 28, tmp_path / "p"),
        Attachment("rows.csv", "text/csv", 3, tmp_path / "t"),
    )
    async with local() as bench:
        await bench.run(ask(await bench.thread(), Message("1", "user", "look", files)))
        [text, image] = sent(bench)[-1]["input"][-1]["content"]
        assert "File rows.csv" in text["text"]
        assert image["image_url"].startswith("data:image/png;base64,")
        assert "cannot use" in str(bench.backend.file_problem(PLAIN, "x.zip", "application/zip", 5))
        with pytest.raises(BackendUnsupported):
            await bench.backend.transcribe(files[0])


_EXCHANGES = st.lists(st.integers(1, 300), min_size=1, max_size=12)


@given(_EXCHANGES, st.integers(10, 2_000))
def test_trimming_keeps_whole_exchanges_the_newest_first_and_never_more_than_fits(sizes: list[int], room: int) -> None:
    exchanges = [
        Exchange(
            (
                {"role": "user", "content": f"{n} " + "x" * size},
                {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": f"c{n}", "output": "y"},
                {"role": "assistant", "content": "z"},
            )
        )
        for n, size in enumerate(sizes)
    ]
    kept = trimmed(exchanges, room)
    if kept is None:
        assert exchanges[-1].tokens > room
        return
    whole = [item for exchange in exchanges for item in exchange.items]
    assert kept == whole[len(whole) - len(kept) :]
    assert len(kept) % 4 == 0
    assert sum(each.tokens for each in exchanges[len(exchanges) - len(kept) // 4 :]) <= room
    assert kept[-4:] == list(exchanges[-1].items)
