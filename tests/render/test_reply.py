"""Replies: what a growing answer becomes in Slack. Real slack_sdk, local Slack."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.engine.ports import (
    Answered,
    Ending,
    FileMade,
    Recovery,
    ReplyMessage,
    ReplyTarget,
    Source,
    Task,
    TaskStatus,
    ThreadKey,
)
from bot.errors import SlackRefused, StoppedByUser
from bot.playground.slack import LocalSlack
from bot.render.governor import Governor
from bot.render.notices import RETRY, SlackNotices
from bot.render.reply import SlackReplies
from bot.render.uploads import SlackUploads
from tests.conftest import bot_messages, text_of


class Desk:
    """A local Slack with one post in #general, and replies to it."""

    def __init__(
        self, slack: LocalSlack, client: AsyncWebClient, session: aiohttp.ClientSession, ts: str, **options: Any
    ) -> None:
        self.slack = slack
        self.channel = slack.channels["general"].id
        self.ts = ts
        governor = Governor(client)
        uploads = SlackUploads(governor, session, slack.api_url)
        self.replies = SlackReplies(governor, SlackNotices(governor), uploads, slack.bot_user_id, **options)
        self.target = ReplyTarget(
            ThreadKey(slack.team_id, self.channel, ts), slack.users["ada"].id, slack.team_id, "channel"
        )
        self.kept: list[ReplyMessage] = []
        self.posted: set[str] = set()
        self.has_kept = asyncio.Event()

    def open(self, shown: tuple[ReplyMessage, ...] = (), *, taken_up: bool = False) -> Any:
        recovery = Recovery(self.ts, frozenset(message.ts for message in shown), taken_up=taken_up)
        return self.replies.open("run-1", self.target, shown, self, recovery)

    async def add_reply_message(self, message: ReplyMessage) -> None:
        self.kept.append(message)
        self.has_kept.set()

    async def add_posted_files(self, run_id: str, digests: Sequence[str]) -> None:
        self.posted |= set(digests)

    async def posted_files(self, run_id: str) -> frozenset[str]:
        return frozenset(self.posted)

    @property
    def said(self) -> list[dict[str, Any]]:
        return bot_messages(self.slack, self.channel, self.ts)

    def methods(self) -> list[str]:
        return [call.method for call in self.slack.calls if call.method.startswith("chat.")]


@contextlib.asynccontextmanager
async def desk(**options: Any) -> AsyncIterator[Desk]:
    slack_options = {name: options.pop(name) for name in ("enforce_rate_limits",) if name in options}
    async with LocalSlack(**slack_options) as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])
        ts = await slack.post("ada", slack.channels["general"].id, "question")
        yield Desk(slack, client, session, ts, **options)
        slack.delivery.acks.clear()


def shows(room: Desk, characters: int) -> Callable[[LocalSlack], bool]:
    return lambda _: sum(len(text_of(message)) for message in room.said) >= characters


async def test_a_short_answer_needs_few_calls() -> None:
    async with desk() as room:
        reply = room.open()
        reply.show("Forty")
        reply.show("Forty-two.")
        await reply.finish("Forty-two.", Answered)
        assert [text_of(message) for message in room.said] == ["Forty-two."]
        assert len(room.methods()) <= 3
        assert [(message.seq, message.start, message.stream) for message in room.kept] == [(0, 0, True)]


async def test_a_stream_older_than_its_life_goes_on_in_the_next_message() -> None:
    """https://github.com/slackapi/python-slack-sdk/issues/1859"""
    async with desk(stream_lifetime=1.0) as room:
        reply = room.open()
        text = ""
        for number in range(12):
            text += f"Sentence number {number} is here.\n\n"
            reply.show(text)
            await room.slack.wait_for(shows(room, len(text) - 40), 5)
        await reply.finish(text, Answered)
        assert len(room.said) >= 2
        assert "".join(text_of(message) for message in room.said).split() == text.split()
        assert not any(call.response.get("error") for call in room.slack.calls)
        assert [message.start for message in room.kept] == sorted({message.start for message in room.kept})


async def test_a_stream_that_ends_in_mid_air_keeps_its_text_and_the_rest_follows() -> None:
    async with desk() as room:
        reply = room.open()
        reply.show("The first part is here and ")
        await room.slack.wait_for(lambda _: room.said)
        room.slack.expire_streams()
        reply.show("The first part is here and so is the second, ")
        await room.slack.wait_for(lambda slack: any(call.method == "chat.update" for call in slack.calls))
        await reply.finish("The first part is here and so is the second, and the third.", Answered)
        said = " ".join(text_of(message).strip() for message in room.said)
        assert said == "The first part is here and so is the second, and the third."


async def test_an_append_of_which_nobody_knows_whether_it_arrived_is_mended_not_doubled() -> None:
    async with desk() as room:
        reply = room.open()
        reply.show("One two three ")
        await room.slack.wait_for(lambda _: room.said)
        room.slack.faults.add(method="chat.appendStream", drop=True, when="after")
        reply.show("One two three four five six ")
        await room.slack.wait_for(lambda slack: any(call.method == "chat.update" for call in slack.calls))
        text = "One two three four five six seven."
        await reply.finish(text, Answered)
        assert "".join(text_of(m) for m in room.said).split() == text.split()


async def test_a_reply_that_was_begun_before_is_finished_in_the_same_message() -> None:
    async with desk() as room:
        first = room.open()
        first.show("Half of the answer is ")
        await room.has_kept.wait()
        first.abandon()
        second = room.open(tuple(room.kept))
        second.show("Half of")
        await second.finish("Half of the answer is here, and the rest too.", Answered)
        assert [text_of(m) for m in room.said] == ["Half of the answer is here, and the rest too."]


async def test_a_message_that_was_begun_but_not_stored_is_found_and_finished() -> None:
    """The process was killed between Slack's answer and the database."""
    async with desk() as room:
        first = room.open()
        first.show("Half of the answer is ")
        await room.slack.wait_for(lambda _: room.said)
        first.abandon()
        second = room.open(taken_up=True)
        await second.finish("Half of the answer is here, and the rest too.", Answered)
        assert [text_of(m) for m in room.said] == ["Half of the answer is here, and the rest too."]
        assert room.kept[-1].ts == room.said[0]["ts"]


async def test_what_was_shown_stays_when_the_run_breaks_and_retry_is_offered() -> None:
    async with desk() as room:
        reply = room.open()
        reply.show("So far so good, but ")
        await room.slack.wait_for(lambda _: room.said)
        await reply.finish("So far so good, but ", Ending("The model server failed.", retry=True))
        answer, notice = room.said
        assert text_of(answer).strip() == "So far so good, but"
        assert notice["text"] == "The model server failed."
        button = notice["blocks"][-1]["elements"][0]
        assert (button["action_id"], button["value"]) == (RETRY, "run-1")
        assert not room.slack.statuses


async def test_slacks_stop_is_told_to_the_run() -> None:
    async with desk() as room:
        reply = room.open()
        reply.show("One two three ")
        await room.slack.wait_for(lambda _: room.said)
        room.slack.people.stop_stream("ada", room.channel, room.ts)
        reply.show("One two three four five six ")
        await room.slack.wait_for(lambda slack: slack.calls[-1].response.get("error") == "stopped_by_user")
        with pytest.raises(StoppedByUser):
            await show_until_it_raises(reply)
        await reply.finish("One two three four five", Ending("Stopped."))
        assert [text_of(m).strip() for m in room.said] == ["One two", "Stopped."]


async def show_until_it_raises(reply: Any) -> None:
    """The refusal is in Slack's answer; the reply hears it some turns of the loop later."""
    for _ in range(1000):
        reply.show("One two three four five six ")
        await asyncio.sleep(0)


@pytest.mark.parametrize("trouble", ["archive", "remove_bot"])
async def test_a_channel_that_takes_no_more_ends_the_reply(trouble: str) -> None:
    async with desk() as room:
        getattr(room.slack, trouble)("general")
        reply = room.open()
        with pytest.raises(SlackRefused) as raised:
            await reply.finish("An answer.", Answered)
        assert raised.value.code in ("is_archived", "not_in_channel")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["chat.startStream", "chat.postMessage", "chat.stopStream", "chat.update"])
async def test_a_connection_that_is_cut_loses_and_doubles_nothing(method: str, when: str) -> None:
    async with desk() as room:
        room.replies.streams = "Stream" in method
        room.slack.faults.add(method=method, drop=True, when=when)
        reply = room.open()
        reply.show("One two three ")
        await room.slack.wait_for(lambda _: room.said)
        await reply.finish("One two three four.", Answered)
        assert [text_of(m) for m in room.said] == ["One two three four."]
        assert not any(m.get("streaming") for m in room.said)


@pytest.mark.parametrize("code", [None, "unknown_method", "channel_type_not_supported"])
async def test_a_long_answer_that_comes_at_once_is_whole_with_and_without_streams(code: str | None) -> None:
    """Its first page was over before its message had begun, and a refused stream then lost all of it."""
    async with desk() as room:
        if code:
            room.slack.faults.add(method="chat.startStream", error=code, times=None)
        text = "\n\n".join("A sentence that goes on. " * 40 for _ in range(30))
        reply = room.open()
        await reply.finish(text, Answered)
        assert len(room.said) >= 3
        assert "".join(text_of(m) for m in room.said).split() == text.split()


@pytest.mark.parametrize("streams", [True, False])
async def test_an_answer_goes_on_below_when_its_message_is_deleted(streams: bool) -> None:
    async with desk() as room:
        room.replies.streams = streams
        reply = room.open()
        reply.show("One two three ")
        await room.slack.wait_for(lambda _: room.said)
        del room.slack.workspace.messages[room.channel][room.said[0]["ts"]]
        reply.show("One two three four five six seven ")
        await room.slack.wait_for(
            lambda slack: any(call.response.get("error") == "message_not_found" for call in slack.calls)
        )
        await reply.finish("One two three four five six seven eight.", Answered)
        assert [text_of(m).split()[-1] for m in room.said] == ["eight."]


async def test_a_429_delays_and_loses_nothing() -> None:
    async with desk() as room:
        for method in ("chat.startStream", "chat.appendStream", "chat.stopStream"):
            room.slack.faults.add(method=method, status=429, retry_after=1)
        reply = room.open()
        reply.show("One two ")
        await room.slack.wait_for(lambda _: room.said)
        await reply.finish("One two three.", Answered)
        assert "".join(text_of(m) for m in room.said) == "One two three."


async def test_many_answers_at_once_all_end_complete_under_slacks_limits() -> None:
    """Fifty replies share the budget: those for whom no stream is free are posted and updated."""
    async with desk(enforce_rate_limits=True) as room:
        text = "word " * 200 + "end."
        replies = [room.open() for _ in range(30)]
        for end in (50, 400, len(text)):
            for reply in replies:
                reply.show(text[:end])
            await asyncio.sleep(0)
        await asyncio.gather(*(reply.finish(text, Answered) for reply in replies))
        assert [text_of(m) for m in room.said] == [text] * 30


# Tasks, files and sources

_RUNS_CODE = Task("t1", "Runs code", TaskStatus.IN_PROGRESS, details="x = 1")


async def test_a_tool_shows_as_a_task_before_the_text() -> None:
    async with desk() as slack:
        reply = slack.open()
        reply.task(_RUNS_CODE)
        await slack.slack.wait_for(lambda _: slack.said and slack.said[0]["tasks"])
        assert slack.said[0]["tasks"]["t1"]["status"] == "in_progress"
        reply.task(replace(_RUNS_CODE, status=TaskStatus.COMPLETE))
        reply.show("The answer is one ")
        await reply.finish("The answer is one.", Answered)
        [message] = slack.said
    assert message["text"] == "The answer is one."
    task = message["tasks"]["t1"]
    assert (task["title"], task["details"], task["status"]) == ("Runs code", "x = 1", "complete")


async def test_a_tool_after_the_first_words_shows_in_a_message_of_its_own() -> None:
    """One message takes text or chunks, not both."""
    async with desk() as slack:
        reply = slack.open()
        reply.show("I look it up. ")
        await slack.slack.wait_for(lambda _: slack.said)
        reply.task(_RUNS_CODE)
        await slack.slack.wait_for(lambda _: len(slack.said) == 2)
        await reply.finish("I look it up. It is one.", Answered)
        first, second = slack.said
    assert (first["text"].strip(), second["text"].strip()) == ("I look it up.", "It is one.")
    assert second["tasks"]["t1"]["status"] == "complete"


async def test_without_streams_tasks_are_lines_above_the_text() -> None:
    async with desk() as slack:
        slack.slack.faults.add(method="chat.startStream", error="unknown_method", times=None)
        reply = slack.open()
        reply.task(_RUNS_CODE)
        await slack.slack.wait_for(lambda _: slack.said)
        assert "Runs code" in str(slack.said[0]["blocks"][0])
        await reply.finish("The answer is one.", Answered)
        [message] = slack.said
    assert [block["type"] for block in message["blocks"]] == ["context", "markdown"]
    assert ":white_check_mark: Runs code" in str(message["blocks"][0])


async def test_what_a_tool_says_pings_nobody_and_stays_short() -> None:
    async with desk() as slack:
        reply = slack.open()
        reply.task(Task("t1", "Asks <!channel> " * 100, TaskStatus.ERROR, output="<@U0ADA> " * 100))
        await reply.finish("Fine.", Answered)
        assert not slack.slack.pings
        [message] = slack.said
    assert max(len(str(value)) for value in message["tasks"]["t1"].values()) <= 256


async def test_a_file_is_posted_after_the_text_that_speaks_of_it(tmp_path: Path) -> None:
    (tmp_path / "chart").write_bytes(b"\x89PNG\r\n\x1a\n")
    async with desk() as slack:
        reply = slack.open()
        reply.show("Here is [the chart](sandbox:/mnt/data/chart.png), ")
        reply.attach(FileMade("chart.png", tmp_path / "chart", "image/png"))
        text = "Here is [the chart](sandbox:/mnt/data/chart.png), and this is what it means."
        reply.show(text)
        await reply.finish(text, Answered)
        before, file, after = slack.said
    assert before["text"].strip() == "Here is the chart,"
    assert [each["name"] for each in file["files"]] == ["chart.png"]
    assert after["text"].strip() == "and this is what it means."


async def test_a_file_that_slack_does_not_take_is_named(tmp_path: Path) -> None:
    (tmp_path / "chart").write_bytes(b"\x89PNG")
    async with desk() as slack:
        slack.slack.faults.add(method="files.getUploadURLExternal", error="storage_limit_reached")
        reply = slack.open()
        reply.attach(FileMade("chart.png", tmp_path / "chart", "image/png"))
        await reply.finish("Done.", Answered)
        said = [text_of(message) for message in slack.said]
    assert "chart.png: this workspace has no storage left" in said[0]
    assert said[1] == "Done."


async def test_sources_stand_numbered_below_the_answer() -> None:
    async with desk() as slack:
        reply = slack.open()
        sources = [
            Source("A [page]", "https://example.com/a"),
            Source("handbook.pdf"),
            Source("Bad", "javascript:alert(1)"),
        ]
        await reply.finish("As it is written [1] [2].", Answered, sources)
        [message] = slack.said
    assert message["text"].endswith("**Sources**\n\n1. [A \\[page\\]](https://example.com/a)\n2. handbook.pdf\n3. Bad")


async def test_long_code_and_wide_tables_are_files_too() -> None:
    code = "```python\n" + "x = 1\n" * 100 + "```"
    wide = "|" + "a|" * 25 + "\n|" + "-|" * 25 + "\n|" + "1|" * 25
    async with desk() as slack:
        reply = slack.open()
        await reply.finish(f"{code}\n\n{wide}\n", Answered)
        reply.abandon()
        files = [file["name"] for message in slack.said for file in message.get("files", [])]
    assert files == ["code-1.py", "table-1.csv"]


async def test_a_snippet_is_what_the_model_wrote() -> None:
    code = "<!DOCTYPE html>\n" + "<p>x</p>\n" * 100
    async with desk() as slack:
        reply = slack.open()
        await reply.finish(f"```html\n{code}```\n", Answered)
        reply.abandon()
        [file] = [file for message in slack.said for file in message.get("files", [])]
        assert file["size"] == len(code)
        assert not slack.slack.pings


async def test_a_run_that_is_taken_up_posts_its_files_once(tmp_path: Path) -> None:
    (tmp_path / "chart").write_bytes(b"png")
    async with desk() as slack:
        for _ in range(2):
            reply = slack.open()
            reply.attach(FileMade("chart.png", tmp_path / "chart", "image/png"))
            await reply.finish("Done.", Answered)
        assert len([message for message in slack.said if message.get("files")]) == 1
