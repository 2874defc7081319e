"""Slash commands, their twins in threads, buttons and shortcuts: end to end."""

import asyncio
from typing import Any

from tests.conftest import House, bot_messages


def general(house: House) -> str:
    return house.slack.channels["general"].id


def name_it(question: Any) -> str:
    """The model says which assistant's instructions it got, and how many messages it remembers."""
    return f"{question.instructions.split('.')[0]} | {len(question.messages)}"


async def command(house: House, command: str, text: str = "", channel: str | None = None) -> str:
    answer = await house.slack.command("ada", channel or general(house), command, text)
    assert answer["response_type"] == "ephemeral"
    return str(answer["text"])


async def test_assistant_lists_shows_and_helps(house: House) -> None:
    async with house.bobbin():
        assert "`math-tutor` *Math tutor*" in await command(house, "/assistant", "list")
        tutor = await command(house, "/assistant", "show math-tutor")
        assert "personal math tutor" in tutor
        # What it can do without is not said of it where it has to.
        assert ("tools: none" in tutor) == (house.settings["bobbin_backend"] == "local")
        assert "/reset" in await command(house, "/assistant", "help")
        assert "Did you mean `math-tutor`?" in await command(house, "/assistant", "use math-tutro")
        assert "Which one?" in await command(house, "/assistant", "use")
        assert "I know" in await command(house, "/assistant", "dance")
        assert "&lt;!channel&gt;" in await command(house, "/assistant", "show <!channel>")


async def test_use_switches_a_channel_and_threads_keep_what_was_said(house: House) -> None:
    house.brain(name_it)
    async with house.bobbin():
        ts = await house.ask("one")
        assert (await house.answers(ts))[0].startswith("You are Bobbin")
        assert "*Math tutor* answers in this channel" in await command(house, "/assistant", "use math-tutor")
        await house.slack.post("ada", general(house), "two", thread_ts=ts)
        assert (await house.answers(ts, 2))[1] == "You are a personal math tutor | 3"


async def test_use_in_a_direct_message_is_for_the_person_and_leaves_channels_alone(house: House) -> None:
    house.brain(name_it)
    async with house.bobbin():
        assert "to you in direct messages" in await command(house, "/assistant", "use editor", house.slack.dm("ada"))
        ts = await house.ask("one", channel="dm")
        assert (await house.answers(ts, channel=house.slack.dm("ada")))[0].startswith(
            "You are a careful writing editor"
        )
        other = await house.ask("one")
        assert (await house.answers(other))[0].startswith("You are Bobbin")


async def test_the_picker_names_who_answers_and_switches(house: House) -> None:
    async with house.bobbin():
        answer = await house.slack.command("ada", general(house), "/assistant")
        assert "*Bobbin* answers here" in answer["blocks"][0]["text"]["text"]
        shown = house.slack.ephemerals[-1]
        option = {"text": {"type": "plain_text", "text": "Math tutor"}, "value": "math-tutor"}
        await house.slack.click("ada", general(house), shown["ts"], "choose_assistant", selected_option=option)
        await house.slack.wait_for(lambda slack: "Math tutor" in slack.ephemerals[-1]["text"])
        assert "Math tutor" in (await house.slack.command("ada", general(house), "/assistant"))["text"]


async def test_use_in_a_thread_is_for_the_thread_alone(house: House) -> None:
    house.brain(name_it)
    async with house.bobbin():
        ts = await house.ask("one")
        await house.answers(ts)
        await house.ask("use math-tutor", thread=ts)
        await house.slack.wait_for(lambda slack: slack.ephemerals)
        assert "in this thread" in house.slack.ephemerals[-1]["text"]
        assert house.slack.ephemerals[-1]["thread_ts"] == ts
        await house.slack.post("ada", general(house), "two", thread_ts=ts)
        assert (await house.answers(ts, 2))[1] == "You are a personal math tutor | 3"
        other = await house.ask("one")
        assert (await house.answers(other))[0].startswith("You are Bobbin")


async def test_an_unknown_assistant_in_a_thread_names_the_nearest(house: House) -> None:
    async with house.bobbin():
        await house.ask("use math-tutr", thread=await house.slack.post("ada", general(house), "hm"))
        await house.slack.wait_for(lambda slack: slack.ephemerals)
    assert house.slack.ephemerals[-1]["text"] == "There is no assistant `math-tutr`. Did you mean `math-tutor`?"
    assert not house.openai.requests


async def test_reset_in_a_thread_forgets_what_was_said(house: House) -> None:
    house.brain(name_it)
    async with house.bobbin():
        ts = await house.ask("one")
        await house.answers(ts)
        await house.ask("reset", thread=ts)
        await house.slack.wait_for(lambda slack: slack.ephemerals)
        assert "forgotten" in house.slack.ephemerals[-1]["text"]
        await house.slack.post("ada", general(house), "two", thread_ts=ts)
        assert (await house.answers(ts, 2))[1].endswith("| 1")


async def test_slash_reset_forgets_the_persons_latest_thread(house: House) -> None:
    house.brain(name_it)
    async with house.bobbin():
        assert "nothing to forget" in await command(house, "/reset")
        ts = await house.ask("one")
        await house.answers(ts)
        assert "forgotten" in await command(house, "/reset")
        await house.slack.post("ada", general(house), "two", thread_ts=ts)
        assert (await house.answers(ts, 2))[1].endswith("| 1")


async def test_slash_reset_asks_which_of_several(house: House) -> None:
    house.brain(name_it)
    async with house.bobbin():
        first, second = await house.ask("one"), await house.ask("two")
        await house.answers(first)
        await house.answers(second)
        answer = await house.slack.command("ada", general(house), "/reset")
        values = [block["accessory"]["value"] for block in answer["blocks"] if "accessory" in block]
        assert values == [second, first]
        shown = house.slack.ephemerals[-1]
        await house.slack.click("ada", general(house), shown["ts"], "reset_thread", value=first)
        await house.slack.wait_for(lambda slack: "forgotten" in slack.ephemerals[-1]["text"])
        await house.slack.post("ada", general(house), "three", thread_ts=first)
        assert (await house.answers(first, 2))[1].endswith("| 1")


async def test_a_command_divides_what_was_said_before_from_what_comes_after(house: House) -> None:
    gate = asyncio.Event()
    house.brain(name_it, gate=gate)
    async with house.bobbin():
        ts = await house.ask("one")
        await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
        await house.slack.post("ada", general(house), "two", thread_ts=ts)
        await house.ask("use math-tutor", thread=ts)
        await house.slack.post("ada", general(house), "three", thread_ts=ts)
        await house.slack.idle()
        gate.set()
        answers = await house.answers(ts, 3)
    assert [answer.split(" | ")[0][:14] for answer in answers] == ["You are Bobbin", "You are Bobbin", "You are a pers"]


async def test_the_shortcuts_reset_and_switch_a_thread(house: House) -> None:
    house.brain(name_it)
    async with house.bobbin():
        ts = await house.ask("one")
        await house.answers(ts)
        await house.slack.shortcut("ada", general(house), ts, "switch_assistant")
        await house.slack.wait_for(lambda slack: slack.ephemerals)
        option = {"text": {"type": "plain_text", "text": "Math tutor"}, "value": "math-tutor"}
        shown = house.slack.ephemerals[-1]
        await house.slack.click("ada", general(house), shown["ts"], "choose_assistant", selected_option=option)
        await house.slack.wait_for(lambda slack: "in this thread" in slack.ephemerals[-1]["text"])
        await house.slack.shortcut("ada", general(house), ts, "reset_thread")
        await house.slack.wait_for(lambda slack: "forgotten" in slack.ephemerals[-1]["text"])
        await house.slack.post("ada", general(house), "two", thread_ts=ts)
        assert (await house.answers(ts, 2))[1] == "You are a personal math tutor | 1"


async def test_opening_the_direct_message_suggests_prompts(house: House) -> None:
    async with house.bobbin():
        await house.slack.open_home("ada")
        await house.slack.wait_for(lambda slack: slack.workspace.prompts)
    [prompts] = house.slack.workspace.prompts.values()
    assert any("3x + 11 = 14" in prompt["message"] for prompt in prompts)


async def test_stop_in_a_thread_ends_the_run_and_keeps_its_text(house: House) -> None:
    house.brain(lambda _: "One two three four five.", gate=asyncio.Event(), open_words=3)
    async with house.bobbin():
        ts = await house.ask("count")
        await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
        await house.ask("stop", thread=ts)
        answer, notice = await house.answers(ts, 2)
    assert answer.startswith("One")
    assert notice == "Stopped."


async def test_slacks_own_stop_ends_the_run(house: House) -> None:
    house.brain(lambda _: "One two three four five.", gate=asyncio.Event(), open_words=3)
    async with house.bobbin():
        ts = await house.ask("count")
        await house.slack.wait_for(lambda slack: bot_messages(slack, general(house), ts))
        await house.slack.stop_stream("ada", general(house), ts)
        answers = await house.answers(ts, 2)
    assert answers[1] == "Stopped."
