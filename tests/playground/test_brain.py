"""The offline brain as a person meets it, and the scripted one that tests use."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.playground.openai import CodeInterpreterCall, FunctionCall, OfflineBrain, Question, ScriptedBrain
from bot.playground.openai.brain import FileCitation, SeenFile, words
from bot.playground.openai.workshop import TookTooLong, Workshop
from tests.playground.openai_client import MODEL, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TUTOR = "You are a personal math tutor. When asked a question, write and run Python code."


class Conversation:
    """A thread with one brain, kept as a server would."""

    def __init__(self, brain: OfflineBrain, instructions: str = "", tools: tuple[str, ...] = ()) -> None:
        self.brain = brain
        self.instructions = instructions
        self.tools = tools
        self.messages: list[tuple[str, str]] = []
        self.calls: list[CodeInterpreterCall] = []

    async def say(self, text: str) -> str:
        self.messages.append(("user", text))
        question = Question(self.instructions, tuple(self.messages), self.tools, MODEL)
        pieces = [piece async for piece in self.brain.answer(question)]
        self.calls += [piece for piece in pieces if isinstance(piece, CodeInterpreterCall)]
        answer = "".join(piece for piece in pieces if isinstance(piece, str))
        self.messages.append(("assistant", answer))
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def brain() -> AsyncIterator[OfflineBrain]:
    brain = OfflineBrain()
    yield brain
    await brain.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_readmes_example(brain: OfflineBrain) -> None:
    thread = Conversation(brain, TUTOR, ("code_interpreter",))
    answer = await thread.say("I need to solve the equation `3x + 11 = 14`. Can you help me?")
    assert "not a language model" in answer
    assert "a personal math tutor" in answer
    assert answer.endswith("**`x = 1`**")
    assert thread.calls[0].logs == "[1]\n"
    assert "solve(Eq(3*x + 11, 14), x)" in thread.calls[0].code
    follow_up = await thread.say("and what is 2x + 1?")
    assert follow_up.endswith("**`2x + 1 = 3`**")
    assert "language model" not in follow_up


async def test_no_code_without_the_code_interpreter(brain: OfflineBrain) -> None:
    thread = Conversation(brain)
    await thread.say("3x = 9")
    assert not thread.calls


async def test_another_assistant_introduces_itself_again(brain: OfflineBrain) -> None:
    thread = Conversation(brain, TUTOR)
    assert "I play a personal math tutor." in await thread.say("hello")
    thread.instructions = "You are a careful writing editor. You improve texts."
    assert "I play a careful writing editor." in await thread.say("hello")
    assert "language model" not in await thread.say("hello")


async def test_it_knows_who_writes(brain: OfflineBrain) -> None:
    channel = Conversation(brain, "each message begins with its author's name and a colon.")
    assert "Hello, ada!" in await channel.say("ada: @Bobbin hi there!")
    assert await channel.say("Grace Hopper: what's my name?") == "You are Grace Hopper."
    direct = Conversation(brain, "The person asking is Ada Lovelace.")
    assert (await direct.say("who am I")).endswith("You are Ada Lovelace.")
    assert (await Conversation(brain).say("who am I")).endswith("Nobody told me your name.")


async def test_it_remembers_the_thread(brain: OfflineBrain) -> None:
    thread = Conversation(brain)
    assert "Nothing was said before" in await thread.say("what did I say before?")
    thread = Conversation(brain)
    await thread.say("Ada Lovelace: first things first")
    await thread.say("Grace Hopper: second thing")
    assert (await thread.say("Ada Lovelace: what did I ask first?")).endswith("> first things first")
    assert "- Grace Hopper: second thing" in await thread.say("Ada Lovelace: recap, please")


@pytest.mark.parametrize("text", ["What is the capital of France?", "Write me a poem about the sea"])
async def test_what_it_cannot_do_it_says(brain: OfflineBrain, text: str) -> None:
    answer = await Conversation(brain).say(text)
    assert "I cannot answer that" in answer
    assert "OPENAI_API_KEY" in answer


async def test_help_thanks_and_nothing(brain: OfflineBrain) -> None:
    thread = Conversation(brain)
    for text in ("", "help", "What can you do?"):
        assert "I can solve equations" in await thread.say(text)
    assert await thread.say("Thanks a lot!") == "You are welcome."


async def test_demonstrations(brain: OfflineBrain) -> None:
    thread = Conversation(brain)
    long = await thread.say("write 30,000 characters with code")
    assert 30_000 <= len(long) < 31_000
    assert long.count("```") % 2 == 0
    assert "demonstration text" in long
    assert len((await thread.say("write me 250 words")).split()) == 250
    assert len((await thread.say("Please write 3 paragraphs")).split("\n\n")) == 3
    assert (await thread.say("show a table with 4 rows")).count("\n|") == 6
    assert "```python\n" in await thread.say("show me some code")
    assert len(await thread.say("write 99999999 pages")) < 130_000


async def test_answers_are_deterministic(brain: OfflineBrain) -> None:
    answers = {await Conversation(brain, TUTOR).say("x^2 = 2") for _ in range(3)}
    assert len(answers) == 1


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "__import__('os').system('ls') + 1",
        "x" * 5_000 + " = 1",
        "=" * 300,
        "1" * 5_000 + "+1",
        "`" * 99,
        "\0",
    ],
)
async def test_hostile_posts_get_an_answer(brain: OfflineBrain, text: str) -> None:
    assert await Conversation(brain).say(text)


@settings(max_examples=60, deadline=None)
@given(text=st.one_of(st.text(max_size=80), st.text("0123456789xyIe+-*/^!%=<>().,` \nsqrtln", max_size=40)))
async def test_no_post_breaks_the_brain(brain: OfflineBrain, text: str) -> None:
    assert await Conversation(brain).say(text)


async def test_a_problem_that_takes_too_long_is_given_up() -> None:
    workshop = Workshop(deadline=0.3)
    slow = "integrate sin(x^3)*exp(x^2)*log(x)/(1+tan(x)^5)^7*cos(x^9)*sqrt(1+x^11)"
    assert await workshop.solve(["1 + 1"]) is not None
    started = time.monotonic()
    with pytest.raises(TookTooLong):
        await workshop.solve([slow])
    assert time.monotonic() - started < 5
    answer = await workshop.solve(["1 + 1"])
    assert answer is not None
    assert answer["result"] == "1 + 1 = 2"
    await workshop.close()


async def test_a_process_that_ends_is_started_again() -> None:
    workshop = Workshop(deadline=20)
    await workshop.solve(["1 + 1"])
    process = workshop._process
    assert process is not None
    process.kill()
    await process.wait()
    answer = await workshop.solve(["1 + 1"])
    assert answer is not None
    assert answer["result"] == "1 + 1 = 2"
    await workshop.close()


async def test_a_cancelled_problem_does_not_answer_the_next() -> None:
    workshop = Workshop(deadline=20)
    asking = asyncio.create_task(workshop.solve(["2 + 2"]))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    answer = await workshop.solve(["3 + 3"])
    assert answer is not None
    assert answer["result"] == "3 + 3 = 6"
    await workshop.close()


_FUNCTIONS: dict[str, Any] = {
    "clock": {"type": "object", "properties": {"time_zone": {"type": "string"}}},
    "draw_lots": {"properties": {"names": {"type": "array"}}, "required": ["names"]},
    "search_channel": {"properties": {"words": {"type": "string"}, "limit": {}}, "required": ["words"]},
    "set_volume": {
        "properties": {
            "level": {"type": "integer"}, "share": {"type": "number"}, "loud": {"type": "boolean"},
            "room": {"enum": ["hall", "kitchen"]}, "more": {"type": "object"},
        },
        "required": ["level", "share", "loud", "room", "more"],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("What does the clock say?", "clock", {}),
        ("draw lots among Ada, Grace and Linus.", "draw_lots", {"names": ["Ada", "Grace", "Linus"]}),
        ("Please use draw_lots: tea or coffee", "draw_lots", {"names": ["tea", "coffee"]}),
        ("Search the channel for “3x + 11”!", "search_channel", {"words": "3x + 11"}),
        ("search_channel", "search_channel", {"words": ""}),
        (
            "Set the volume to 11 in the kitchen",
            "set_volume",
            {"level": 11, "share": 11.0, "loud": True, "room": "kitchen", "more": {}},
        ),
    ],
)
async def test_a_function_that_a_post_names_is_called(
    brain: OfflineBrain, text: str, name: str, arguments: dict[str, Any]
) -> None:
    question = Question("", (("user", f"<@U0BOBBIN> {text}"),), tuple(_FUNCTIONS), MODEL, functions=_FUNCTIONS)
    [call] = [piece async for piece in brain.answer(question)]
    assert isinstance(call, FunctionCall)
    assert (call.name, json.loads(call.arguments)) == (name, arguments)


async def test_what_a_function_came_to_is_told_and_it_is_not_called_again(brain: OfflineBrain) -> None:
    said = (("user", "what does the clock say?"), ("tool", "Monday"), ("tool", "Denied.\nNothing was done."))
    question = Question("", said, ("clock",), MODEL, functions=_FUNCTIONS)
    answer = "".join([str(piece) async for piece in brain.answer(question)])
    assert answer.endswith("This is what came of it:\n\n> Monday\n\n> Denied.\n> Nothing was done.")


async def test_no_function_is_called_that_nobody_named_or_offered(brain: OfflineBrain) -> None:
    for text, functions in (("unlock it", _FUNCTIONS), ("draw a lot", _FUNCTIONS), ("what does the clock say?", {})):
        question = Question("", (("user", text),), tuple(functions), MODEL, functions=functions)
        assert not any([isinstance(piece, FunctionCall) async for piece in brain.answer(question)])


async def test_a_file_that_can_be_searched_is_cited_where_a_post_names_it(brain: OfflineBrain) -> None:
    files = (SeenFile("our-handbook.txt", "text/plain", 9, "searched", None),)
    question = Question("", (("user", "what does the handbook say?"),), ("file_search",), MODEL, files)
    assert FileCitation("our-handbook.txt") in [piece async for piece in brain.answer(question)]
    question = Question("", (("user", "what is 2 + 2?"),), ("file_search",), MODEL, files)
    assert "4" in "".join([str(piece) async for piece in brain.answer(question)])


async def test_the_server_solves_the_readmes_example() -> None:
    async with running(brain=None) as pair:
        assistant, thread = await pair.assistant_and_thread(
            "I need to solve the equation `3x + 11 = 14`. Can you help me?",
            instructions=TUTOR,
            tools=[{"type": "code_interpreter"}],
        )
        stream = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True)
        assert [event async for event in stream][-1].event == "thread.run.completed"
        assert "x = 1" in pair.server.messages(thread)[-1].text
        run = next(iter(pair.server.runs))
        assert [step.type for step in pair.server.steps(run)] == ["tool_calls", "message_creation"]


async def test_the_server_solves_it_as_a_response_too() -> None:
    async with running(brain=None) as pair:
        response = await pair.client.responses.create(
            model=MODEL,
            instructions=TUTOR,
            input="x^2 - 5x + 6 = 0",
            tools=[{"type": "code_interpreter", "container": {"type": "auto"}}],
        )
        assert [item.type for item in response.output] == ["code_interpreter_call", "message"]
        assert response.output_text.endswith("**`x = 2 or x = 3`**")


async def test_scripted_answers_are_found_whole_or_by_a_part() -> None:
    brain = ScriptedBrain({"ping": "pong", "weather": "sunny"})
    for asked, said in (("ping", "pong"), ("how is the weather?", "sunny")):
        pieces = [piece async for piece in brain.answer(Question("", (("user", asked),), (), MODEL))]
        assert pieces == [said]


async def test_scripted_function_calls_pass_through() -> None:
    call = FunctionCall("weather", "{}")
    brain = ScriptedBrain(lambda _: call)
    assert [piece async for piece in brain.answer(Question("", (), (), MODEL))] == [call]


@pytest.mark.parametrize("text", ["", " a  b\n\nc ", "one two", "\n"])
async def test_words_join_to_the_text(text: str) -> None:
    assert "".join(words(text)) == text
