"""Replies: what a growing answer becomes in Slack. Real slack_sdk, local Slack."""

import asyncio
from typing import Any

import pytest

from bot.engine.ports import Answered, Ending
from bot.errors import SlackRefused, StoppedByUser
from bot.render.harmless import HarmlessText
from bot.render.notices import RETRY
from tests.conftest import text_of
from tests.render.desk import desk, shows


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


async def test_while_a_run_waits_its_text_is_whole() -> None:
    """Its last word was held back while people were asked: it might still have grown."""
    async with desk() as room:
        reply = room.open()
        reply.show("Let me see.", whole=True)
        await room.slack.wait_for(lambda _: room.said and text_of(room.said[0]).strip() == "Let me see.")
        reply.show("Let me see.\n\nIt is one, ")
        await room.slack.wait_for(shows(room, len("Let me see.\n\nIt is ")))
        await reply.finish("Let me see.\n\nIt is one, I think.", Answered)
        assert [text_of(message) for message in room.said] == ["Let me see.\n\nIt is one, I think."]
        assert room.methods() == ["chat.startStream", "chat.appendStream", "chat.stopStream"]


async def test_a_run_that_says_nothing_after_it_waited_needs_no_mending() -> None:
    async with desk() as room:
        reply = room.open()
        reply.show("Let me see.", whole=True)
        await room.slack.wait_for(lambda _: room.said)
        await reply.finish("Let me see.", Answered)
        assert [text_of(message).strip() for message in room.said] == ["Let me see."]
        assert room.methods() == ["chat.startStream", "chat.stopStream"]


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


async def test_an_answer_that_comes_a_character_at_a_time_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it was looked through for each character: an hour's work for a long answer."""
    looked_through = 0
    grow = HarmlessText.grow

    def counted(self: HarmlessText, text: str) -> str:
        nonlocal looked_through
        looked_through += 1
        return grow(self, text)

    monkeypatch.setattr(HarmlessText, "grow", counted)
    async with desk() as room:
        reply = room.open()
        text = "word " * 400
        for end in range(len(text)):
            reply.show(text[:end])
            await asyncio.sleep(0)
        await reply.finish(text, Answered)
        assert [text_of(message) for message in room.said] == [text]
    assert looked_through < len(text) / 10
