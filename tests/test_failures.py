"""What goes wrong at the backend becomes one clear sentence, and nothing is lost."""

import asyncio
from typing import Any

import pytest

from bot.playground.openai import LocalOpenAI
from tests.conftest import RUN_PATHS, House, bot_messages

#: How an answer that is longer than it may be ends, where the reason is not called `max_output_tokens`.
_TOO_LONG: dict[str, dict[str, Any]] = {
    "agents": {"run_status": "failed", "last_error": {"code": "max_output_tokens", "message": "x"}},
    "assistants": {"run_status": "incomplete", "incomplete_reason": "max_completion_tokens"},
}


def general(house: House) -> str:
    return house.slack.channels["general"].id


async def sentence_after(house: House, **fault: Any) -> str:
    """What a person reads when starting a run goes wrong in this way."""
    house.brain(lambda _: "Fine.")
    house.openai.faults.add(method="POST", path=RUN_PATHS[house.settings["bobbin_backend"]], **fault)
    async with house.bobbin():
        ts = await house.ask("hello")
        answers = await house.answers(ts)
    return answers[-1]


async def test_a_used_up_quota_is_said_and_not_tried_again(house: House) -> None:
    said = await sentence_after(house, status=429, code="insufficient_quota", type="insufficient_quota")
    assert "quota is used up" in said


async def test_a_wrong_key_is_said(house: House) -> None:
    house.settings["openai_api_key"] = "sk-wrong"
    async with house.bobbin():
        ts = await house.ask("hello")
        assert "refuses Bobbin's key" in (await house.answers(ts))[0]
    assert "sk-wrong" not in str(bot_messages(house.slack, general(house), ts))


async def test_a_busy_server_is_tried_again(house: House) -> None:
    assert await sentence_after(house, status=429, code="rate_limit_exceeded", headers={"retry-after": "1"}) == "Fine."


async def test_a_run_whose_start_got_lost_on_the_way_is_not_made_twice(house: House) -> None:
    said = await sentence_after(house, cut=True, when="after")
    backend = house.settings["bobbin_backend"]
    end = RUN_PATHS[backend].rpartition("/")[2]
    made = [each for each in house.openai.requests if each.method == "POST" and each.path.endswith(end)]
    assert len(made) == 1
    if backend == "assistants":
        assert said == "Fine."


async def test_a_stream_that_breaks_is_looked_up(house: House) -> None:
    """The server had made the whole answer; the break must not lose it."""
    house.brain(lambda _: "One two three four five six.")
    path = RUN_PATHS[house.settings["bobbin_backend"]]
    house.openai.faults.add(method="POST", path=path, no_terminal=True)
    async with house.bobbin():
        ts = await house.ask("hello")
        assert await house.answers(ts) == ["One two three four five six."]


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        ({"run_status": "failed", "last_error": {"code": "server_error", "message": "x"}}, "failed"),
        ({"run_status": "failed", "last_error": {"code": "rate_limit_exceeded", "message": "x"}}, "busy"),
        ({"run_status": "incomplete", "incomplete_reason": "max_completion_tokens"}, "cut off"),
    ],
)
async def test_every_ending_of_a_run_is_said_and_its_text_kept(house: House, fault: dict[str, Any], part: str) -> None:
    await ending_is_said(house, fault, part)


@pytest.mark.parametrize("backend", ["assistants", "responses"])
async def test_a_run_that_somebody_cancels_on_the_server_is_said(house: House) -> None:
    await ending_is_said(house, {"run_status": "cancelled"}, "cancelled")


async def ending_is_said(house: House, fault: dict[str, Any], part: str) -> None:
    if fault["run_status"] == "incomplete":
        fault = _TOO_LONG.get(house.settings["bobbin_backend"], fault | {"incomplete_reason": "max_output_tokens"})
    house.brain(lambda _: "What there is.")
    house.openai.faults.add(method="POST", path=RUN_PATHS[house.settings["bobbin_backend"]], **fault)
    async with house.bobbin():
        ts = await house.ask("hello")
        text, said = await house.answers(ts, 2)
    assert text.strip().startswith("What there")
    assert part in said


@pytest.mark.parametrize("backend", ["assistants"])
async def test_a_run_that_expires_is_said(house: House) -> None:
    house.brain(lambda _: "Text.")
    house.openai.faults.add(method="POST", path="/threads/{t}/runs", run_status="expired")
    async with house.bobbin():
        ts = await house.ask("hello")
        await house.slack.wait_for(
            lambda slack: any("gave up" in m.get("text", "") for m in bot_messages(slack, general(house), ts))
        )
        again = await house.ask("again", thread=ts)
        await house.slack.wait_for(lambda slack: len(bot_messages(slack, general(house), ts)) >= 3)
    assert again


@pytest.mark.parametrize("backend", ["assistants"])
async def test_a_server_without_the_assistants_api_says_what_to_set(house: House) -> None:
    async with LocalOpenAI(assistants_api=False) as server, house.bobbin(openai_base_url=server.url):
        ts = await house.ask("hello")
        [said] = await house.answers(ts)
    assert "this server no longer offers the Assistants API; set BOBBIN_BACKEND=responses" in said


@pytest.mark.parametrize("backend", ["assistants", "responses"])
async def test_a_backend_thread_that_is_gone_is_filled_again_from_slack(house: House) -> None:
    house.brain(lambda question: " / ".join(text for _, text in question.messages))
    async with house.bobbin():
        ts = await house.ask("one")
        await house.answers(ts)
    async with LocalOpenAI(brain=house.stage) as fresh, house.bobbin(openai_base_url=fresh.url):
        await house.slack.post("ada", general(house), "two", thread_ts=ts)
        _, notice, answer = await house.answers(ts, 3)
    assert "gone from the server" in notice
    assert answer == "Ada Lovelace: one / Ada Lovelace: one / Ada Lovelace: two"


async def test_retry_runs_again_what_failed_once(house: House) -> None:
    house.brain(lambda _: "Fine.")
    path = RUN_PATHS[house.settings["bobbin_backend"]]
    house.openai.faults.add(method="POST", path=path, status=429, code="insufficient_quota")
    async with house.bobbin():
        ts = await house.ask("hello")
        await house.answers(ts)
        [notice] = bot_messages(house.slack, general(house), ts)
        await house.slack.click("ada", general(house), notice["ts"], "retry_run")
        answers = await house.answers(ts, 2)
        await house.slack.wait_for(lambda slack: "Tried again" in slack.messages(general(house), ts)[1]["text"])
    assert answers[1] == "Fine."
    users = [text for role, text in house.heard() if role == "user"]
    assert users == ["Ada Lovelace: hello"]


async def test_a_run_that_hangs_is_ended_and_said(house: House) -> None:
    house.brain(lambda _: "One two three.", gate=asyncio.Event(), open_words=2)
    async with house.bobbin(bobbin_run_timeout=1):
        ts = await house.ask("hello")
        _, said = await house.answers(ts, 2)
    assert said == "This took longer than 1 seconds, so I ended it."


@pytest.mark.parametrize("backend", ["responses"])
async def test_a_conversation_over_the_context_goes_on(house: House) -> None:
    """The Assistants API leaves the oldest out by itself; Responses may refuse."""
    house.brain(lambda _: "Fine.")
    house.openai.faults.add(
        method="POST", path="/responses", status=400, code="context_length_exceeded", type="invalid_request_error"
    )
    async with house.bobbin():
        ts = await house.ask("hello")
        notice, answer = await house.answers(ts, 2)
    assert "outgrew the model's memory" in notice
    assert answer == "Fine."


@pytest.mark.parametrize("backend", ["assistants", "responses"])
async def test_a_conversation_that_is_locked_is_waited_for(house: House) -> None:
    house.brain(lambda question: str(len(question.messages)))
    async with house.bobbin():
        ts = await house.ask("one")
        await house.answers(ts)
        held = house.openai.threads or house.openai.conversations
        [thread] = list(held)
        house.openai.lock(thread)
        await house.slack.post("ada", general(house), "two", thread_ts=ts)
        await house.openai.wait_for(lambda server: any(request.status == 400 for request in server.requests))
        house.openai.unlock(thread)
        assert (await house.answers(ts, 2))[0] == "1"


async def test_a_post_over_the_limit_is_said(house: House) -> None:
    async with house.bobbin():
        ts = await house.ask("x" * 1_100_000)
        [said] = await house.answers(ts)
    assert "characters" in said
    assert "shorten" in said


@pytest.mark.parametrize("backend", ["assistants"])
@pytest.mark.parametrize("streaming", [False, "refuse"])
async def test_a_server_that_does_not_stream_is_polled(house: House, streaming: Any) -> None:
    house.brain(lambda _: "Fine.")
    quiet = LocalOpenAI(brain=house.stage, streaming=streaming, poll_after_ms=20)
    async with quiet as server, house.bobbin(openai_base_url=server.url):
        ts = await house.ask("hello")
        assert await house.answers(ts) == ["Fine."]


@pytest.mark.parametrize("backend", ["assistants"])
async def test_assistants_are_made_once_and_updated_when_their_file_changes(house: House, tmp_path: Any) -> None:
    house.brain(lambda question: question.instructions.partition("\n")[0])
    folder = tmp_path / "assistants"
    folder.mkdir()
    file = folder / "general.md"
    for instructions in ("First.", "First.", "Second."):
        file.write_text(f"---\nname: A\nmodel: gpt-6.1-terra\n---\n{instructions}\n")
        async with house.bobbin(bobbin_assistants=folder):
            threads = [await house.ask("hello") for _ in range(3)]
            for ts in threads:
                assert (await house.answers(ts))[0].startswith(instructions)
    assert len(house.openai.assistants) == 1
