"""What tools do: cards in a stream, lines in a posted message. Real slack_sdk, local Slack."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.engine.ports import Answered, Ending, FileMade, Task, TaskStatus
from bot.errors import StoppedByUser
from bot.playground.slack import LocalSlack
from bot.render.cards import GOES_ON
from tests.conftest import text_of
from tests.render.desk import Desk, desk

_RUNS_CODE = Task("t1", "Runs code", TaskStatus.IN_PROGRESS, details="x = 1")
_RAN_CODE = replace(_RUNS_CODE, status=TaskStatus.COMPLETE)


def cards(message: dict[str, Any]) -> list[tuple[str, str, str, str | None]]:
    tasks = message.get("tasks", {}).values()
    return [(task["title"], task["details"], task["status"], task.get("output")) for task in tasks]


def shows_a_card(room: Desk, messages: int = 1) -> Callable[[LocalSlack], bool]:
    return lambda _: len(room.said) >= messages and bool(room.said[-1].get("tasks"))


def titled(room: Desk, title: str) -> Callable[[LocalSlack], bool]:
    return lambda _: cards(room.said[0])[0][0] == title


def at_work(room: Desk) -> list[str]:
    """The cards that spin, in messages to which nothing is added any more."""
    over = [message for message in room.said if not message.get("streaming")]
    return [card[0] for message in over for card in cards(message) if card[2] == "in_progress"]


async def test_a_tool_shows_as_a_task_before_the_text() -> None:
    async with desk() as room:
        reply = room.open()
        reply.task(_RUNS_CODE)
        await room.slack.wait_for(shows_a_card(room))
        assert cards(room.said[0]) == [("Runs code", "x = 1", "in_progress", None)]
        reply.task(_RAN_CODE)
        reply.show("The answer is one ")
        await reply.finish("The answer is one.", Answered)
        [message] = room.said
    assert message["text"] == "The answer is one."
    assert cards(message) == [("Runs code", "x = 1", "complete", None)]


async def test_text_a_tool_and_more_text_are_one_message_of_few_calls() -> None:
    """A stream that was begun with `markdown_text` took no card: it was ended, mended, and another one begun."""
    async with desk() as room:
        reply = room.open()
        reply.show("I look it up. ")
        await room.slack.wait_for(lambda _: room.said)
        reply.task(_RUNS_CODE)
        await room.slack.wait_for(shows_a_card(room))
        reply.task(_RAN_CODE)
        await reply.finish("I look it up. It is one.", Answered)
        [message] = room.said
    assert message["text"] == "I look it up. It is one."
    assert cards(message) == [("Runs code", "x = 1", "complete", None)]
    assert [room.methods().count(f"chat.{name}") for name in ("startStream", "stopStream", "update")] == [1, 1, 0]
    assert len(room.methods()) <= 4


@pytest.mark.parametrize("details", ["x = 1", ""])
async def test_a_tool_that_was_quick_says_what_it_did(details: str) -> None:
    """Its first news is that it has ended, and details went with a beginning only."""
    async with desk() as room:
        reply = room.open()
        reply.task(_RUNS_CODE)
        reply.task(replace(_RAN_CODE, details=details))
        await reply.finish("It is one.", Answered)
        assert cards(room.said[0]) == [("Runs code", "x = 1", "complete", None)]


async def test_a_tool_says_once_what_it_does() -> None:
    """Slack adds details to those that are there."""
    async with desk() as room:
        reply = room.open()
        reply.task(replace(_RUNS_CODE, details=""))
        await room.slack.wait_for(shows_a_card(room))
        for task in (_RUNS_CODE, replace(_RUNS_CODE, title="Runs more code"), _RAN_CODE):
            reply.task(task)
            await room.slack.wait_for(titled(room, task.title))
        await reply.finish("It is one.", Answered)
        assert cards(room.said[0]) == [("Runs code", "x = 1", "complete", None)]


async def test_without_streams_tasks_are_lines_above_the_text() -> None:
    async with desk() as room:
        room.slack.faults.add(method="chat.startStream", error="unknown_method", times=None)
        reply = room.open()
        reply.task(_RUNS_CODE)
        await room.slack.wait_for(lambda _: room.said)
        assert "Runs code" in str(room.said[0]["blocks"][0])
        await reply.finish("The answer is one.", Answered)
        [message] = room.said
    assert [block["type"] for block in message["blocks"]] == ["context", "markdown"]
    assert ":white_check_mark: Runs code" in str(message["blocks"][0])


async def test_what_a_tool_says_pings_nobody_and_stays_short() -> None:
    async with desk() as room:
        reply = room.open()
        reply.task(Task("t1", "Asks <!channel> " * 100, TaskStatus.ERROR, output="<@U0ADA> " * 100))
        await reply.finish("Fine.", Answered)
        assert not room.slack.pings
        [message] = room.said
    assert max(len(str(value)) for value in message["tasks"]["t1"].values()) <= 256


# A card spins for ever where its message ends before its tool does


async def test_a_tool_that_outlives_its_stream_goes_on_in_the_next_message() -> None:
    async with desk(stream_lifetime=0.2) as room:
        reply = room.open()
        reply.task(_RUNS_CODE)
        await room.slack.wait_for(shows_a_card(room, messages=2))
        assert cards(room.said[0]) == [("Runs code", "x = 1", "complete", GOES_ON)]
        reply.task(_RAN_CODE)
        await reply.finish("It is one.", Answered)
        assert cards(room.said[-1]) == [("Runs code", "x = 1", "complete", None)]
        assert not at_work(room)
        assert not any(call.response.get("error") for call in room.slack.calls)


async def test_a_tool_goes_on_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "chart").write_bytes(b"\x89PNG")
    async with desk() as room:
        reply = room.open()
        reply.show("This takes a while. ")
        reply.task(_RUNS_CODE)
        await room.slack.wait_for(shows_a_card(room))
        reply.attach(FileMade("chart.png", tmp_path / "chart", "image/png"))
        await room.slack.wait_for(shows_a_card(room, messages=3))
        assert cards(room.said[0])[0][3] == GOES_ON
        reply.task(_RAN_CODE)
        await reply.finish("This takes a while. It is one.", Answered)
        first, _, last = room.said
    assert (first["text"].strip(), last["text"].strip()) == ("This takes a while.", "It is one.")
    assert cards(last) == [("Runs code", "x = 1", "complete", None)]
    assert not at_work(room)


@pytest.mark.parametrize("streams", [True, False])
async def test_a_tool_goes_on_below_a_message_that_is_full(streams: bool) -> None:
    async with desk() as room:
        room.replies.streams = streams
        reply = room.open()
        reply.task(_RUNS_CODE)
        await room.slack.wait_for(lambda _: room.said)
        text = "\n\n".join("A sentence that goes on. " * 40 for _ in range(20))
        reply.show(text)
        await room.slack.wait_for(lambda _: len(room.said) > 1)
        await reply.finish(text, Answered)
        assert not at_work(room)
        assert "".join(text_of(message) for message in room.said).split() == text.split()
        assert "hourglass" not in str(room.said)


async def test_a_tool_goes_on_below_a_stream_that_ended_in_mid_air() -> None:
    async with desk() as room:
        reply = room.open()
        reply.show("I look it up. ")
        reply.task(_RUNS_CODE)
        await room.slack.wait_for(shows_a_card(room))
        room.slack.expire_streams()
        reply.show("I look it up. That takes ")
        await room.slack.wait_for(shows_a_card(room, messages=2))
        await reply.finish("I look it up. That takes time.", Answered)
        assert " ".join(text_of(message).strip() for message in room.said) == "I look it up. That takes time."
        assert "Runs code" in str(room.said[0]["blocks"])
        assert not at_work(room)


async def test_stopped_by_its_reader_no_card_spins() -> None:
    async with desk() as room:
        reply = room.open()
        reply.show("I look it up. ")
        reply.task(_RUNS_CODE)
        await room.slack.wait_for(shows_a_card(room))
        room.slack.people.stop_stream("ada", room.channel, room.ts)
        await reply.finish("I look it up. ", Ending("Stopped."))
        assert [text_of(message).strip() for message in room.said] == ["I look it up.", "Stopped."]
        assert not at_work(room)


@pytest.mark.parametrize("expired", [False, True])
@pytest.mark.parametrize("text", ["", "It is one."])
async def test_after_a_crash_the_card_of_a_tool_that_was_at_work_does_not_spin(text: str, expired: bool) -> None:
    async with desk() as room:
        first = room.open()
        first.task(_RUNS_CODE)
        await room.has_kept.wait()
        first.abandon()
        if expired:
            room.slack.expire_streams()
        second = room.open(tuple(room.kept))
        second.task(_RUNS_CODE)
        if not expired:
            await room.slack.wait_for(lambda slack: any(call.method == "chat.appendStream" for call in slack.calls))
            assert cards(room.said[0]) == [("Runs code", "x = 1", "in_progress", None)]
        second.task(_RAN_CODE)
        await second.finish(text, Answered if text else Ending("The server broke."))
        assert not at_work(room)
        assert text_of(room.said[0]).endswith(text)
        assert "Runs code" in str(room.said[0])


@pytest.mark.parametrize("shown", ["", "Half of it "])
async def test_after_a_crash_a_card_of_which_nobody_hears_again_does_not_spin(shown: str) -> None:
    async with desk() as room:
        first = room.open()
        first.task(_RUNS_CODE)
        first.show(shown)
        await room.has_kept.wait()
        first.abandon()
        second = room.open(tuple(room.kept))
        await second.finish(shown, Ending("The server broke."))
        assert not at_work(room)
        assert shown.strip() in text_of(room.said[0])


async def test_stopped_while_a_tool_starts_again_is_told_to_the_run() -> None:
    async with desk() as room:
        first = room.open()
        first.task(_RUNS_CODE)
        await room.has_kept.wait()
        first.abandon()
        second = room.open(tuple(room.kept))
        room.slack.people.stop_stream("ada", room.channel, room.ts)
        second.task(_RUNS_CODE)
        await room.slack.wait_for(lambda slack: slack.calls[-1].response.get("error") == "stopped_by_user")
        await second.finish("", Ending("Stopped."))
        with pytest.raises(StoppedByUser):
            second.show("More")
