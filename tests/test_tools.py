"""Tools, approvals and files, from a post in Slack to the answer there, with both backends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.playground.openai import CodeInterpreterCall, FileLink, FunctionCall, MadeFile, McpCall, Piece, Question
from tests import tools_of_ours
from tests.conftest import BACKENDS, House, text_of
from tests.handy import calling, general, question_of, until


@pytest.mark.parametrize("backend", BACKENDS)
class TestCalls:
    async def test_a_tool_is_called_shown_and_answered_from(self, tools: House) -> None:
        tools.brain(calling("weather", town="Graz"))
        async with tools.bobbin():
            ts = await tools.ask("weather?")
            messages = await until(tools, ts, "I was told: sunny in Graz")
        assert tools_of_ours.called == ["weather Graz"]
        tasks = [task for message in messages for task in message.get("tasks", {}).values()]
        assert [(task["title"], task["status"]) for task in tasks] == [("Uses weather", "complete")]
        assert [text_of(message) for message in messages] == ["Let me see.\n\nI was told: sunny in Graz"]

    @pytest.mark.parametrize(
        ("name", "arguments", "told"),
        [
            ("explode", {}, "The tool explode failed"),
            ("hang", {}, "0.2"),
            ("weather", {"city": "Graz"}, "town"),
            ("nothing_like_it", {}, "there is no"),
        ],
    )
    async def test_what_goes_wrong_is_told_to_the_model(
        self, tools: House, name: str, arguments: dict[str, Any], told: str
    ) -> None:
        tools.brain(calling(name, **arguments))
        async with tools.bobbin():
            ts = await tools.ask("go")
            messages = await until(tools, ts, "I was told:")
        said = "\n".join(map(text_of, messages)).lower()
        assert told.lower() in said
        assert "/etc/passwd" not in said

    async def test_ten_megabytes_are_cut(self, tools: House) -> None:
        def answer(question: Question) -> Any:
            role, said = question.messages[-1]
            return f"It had {len(said)}." if role == "tool" else FunctionCall("flood", "{}")

        tools.brain(answer)
        async with tools.bobbin():
            ts = await tools.ask("go")
            messages = await until(tools, ts, "It had ")
        assert 1_000 < int(text_of(messages[-1]).removeprefix("It had ").rstrip(".")) < 110_000

    async def test_a_call_that_a_crash_interrupted_is_not_made_twice(self, tools: House) -> None:
        tools.brain(calling("weather", town="Graz"))
        async with tools.bobbin():
            ts = await tools.ask("weather?")
            await until(tools, ts, "sunny")
        async with tools.bobbin():
            await tools.slack.idle()
        assert tools_of_ours.called == ["weather Graz"]

    async def test_usage_is_kept_for_every_leg(self, tools: House) -> None:
        from storage.sqlite import SqliteStorage

        tools.brain(calling("weather", town="Graz"))
        async with tools.bobbin():
            ts = await tools.ask("weather?")
            await until(tools, ts, "sunny")
        storage = await SqliteStorage.open(tools.settings["database_url"])
        [used] = await storage.usage(0)
        await storage.close()
        assert (used.assistant, used.person) == ("handy", tools.slack.users["ada"].id)
        assert used.input_tokens > 0


def was_given(question: Question, name: str) -> bool:
    """Whether the model got a file: as a file (in a sandbox after the post's ts), or within the text."""
    files = [file.name for file in question.files]
    return any(file == name or file.endswith(f"-{name}") for file in files) or f"{name}:\n```" in "\n".join(
        text for _, text in question.messages
    )


class TestFiles:
    async def test_a_text_file_reaches_the_model_and_a_bad_one_is_named(self, tools: House) -> None:
        tools.brain(lambda _: "I see.")
        async with tools.bobbin():
            ts = await tools.slack.post(
                "ada",
                general(tools),
                f"<@{tools.slack.bot_user_id}> look",
                files=[
                    await tools.slack.add_file("ada", "rows.csv", b"a,b\n1,2\n"),
                    await tools.slack.add_file("ada", "report.pdf", b"PK\x03\x04 not a pdf"),
                ],
            )
            messages = await until(tools, ts, "I see.")
        assert was_given(tools.stage.asked[-1], "rows.csv")
        assert not was_given(tools.stage.asked[-1], "PK")
        assert "report.pdf: " in "\n".join(map(text_of, messages))

    @pytest.mark.parametrize("backend", BACKENDS)
    async def test_a_file_that_was_in_the_thread_before_is_read_too(self, tools: House) -> None:
        tools.brain(lambda _: "I see.")
        async with tools.bobbin():
            file = await tools.slack.add_file("grace", "rows.csv", b"a,b\n1,2\n")
            root = await tools.slack.post("grace", general(tools), "the numbers", files=[file])
            await tools.ask("what do they say?", thread=root)
            await until(tools, root, "I see.")
        assert was_given(tools.stage.asked[-1], "rows.csv")

    async def test_a_post_of_files_alone_is_an_ask(self, tools: House) -> None:
        tools.brain(lambda q: "I have it." if was_given(q, "rows.csv") else "There is nothing.")
        dm = tools.slack.dm("ada")
        async with tools.bobbin():
            file = await tools.slack.add_file("ada", "rows.csv", b"a,b\n1,2\n")
            ts = await tools.slack.post("ada", dm, "", files=[file])
            assert await tools.answers(ts, channel=dm) == ["I have it."]

    @pytest.mark.parametrize("backend", ["assistants", "responses"])
    async def test_a_file_that_code_made_is_in_the_thread(self, tools: House) -> None:
        png = b"\x89PNG\r\n\x1a\n" + b"0" * 20

        async def plot() -> AsyncIterator[Piece]:
            yield CodeInterpreterCall("plot()", "", files=(MadeFile("chart.png", png, "image/png"),))
            yield "Here it is: "
            yield FileLink("chart.png")
            yield " and that is all."

        tools.brain(lambda _: plot())
        async with tools.bobbin():
            ts = await tools.ask("plot")
            messages = await until(tools, ts, "that is all")
            await tools.slack.wait_for(lambda slack: "chart.png" in str(slack.messages(general(tools), ts)))
        text = "\n".join(map(text_of, messages))
        assert "sandbox:" not in text


@pytest.mark.parametrize("backend", ["responses"])
async def test_a_providers_server_pings_nobody_by_the_names_of_its_tools(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "assistants"
    folder.mkdir()
    server = "hosted_mcp: [{label: wiki, url: https://wiki.example/mcp}]"
    (folder / "web.md").write_text(f"---\nname: W\nmodel: gpt-6.1-terra\n{server}\n---\nHi\n")

    async def look() -> AsyncIterator[Piece]:
        yield McpCall("wiki", "<!channel>", '{"who": "<!here>"}', output="a town")
        yield "Done."

    house.brain(lambda _: look())
    async with house.bobbin(bobbin_assistants=folder):
        ts = await house.ask("wiki?")
        question = await question_of(house, ts)
        await house.slack.click("ada", general(house), question["ts"], "approve_call")
        await until(house, ts, "Done.")
    assert house.slack.pings == ["<@U0ADA>"]  # who decides is meant to hear of it


@pytest.mark.parametrize("backend", ["assistants"])
async def test_an_assistant_that_wants_too_much_is_refused_at_the_start(house: House, tmp_path: Path) -> None:
    from bot.errors import AssistantFileError

    folder = tmp_path / "assistants"
    folder.mkdir()
    (folder / "web.md").write_text("---\nname: W\nmodel: m\ntools: [web_search]\n---\nHi\n")
    with pytest.raises(AssistantFileError, match="web_search cannot be used with BOBBIN_BACKEND=assistants"):
        async with house.bobbin(bobbin_assistants=folder):
            await asyncio.sleep(0)


@pytest.mark.parametrize("backend", ["agents"])
async def test_an_approval_that_a_backend_cannot_promise_is_refused_at_the_start(house: House, tmp_path: Path) -> None:
    from bot.errors import AssistantFileError

    folder = tmp_path / "assistants"
    folder.mkdir()
    server = "hosted_mcp: [{label: wiki, url: https://wiki.example/mcp}]"
    (folder / "web.md").write_text(f"---\nname: W\nmodel: gpt-6.1-terra\n{server}\n---\nHi\n")
    with pytest.raises(AssistantFileError, match="write `approval: false`"):
        async with house.bobbin(bobbin_assistants=folder):
            await asyncio.sleep(0)
    (folder / "web.md").write_text(
        f"---\nname: W\nmodel: gpt-6.1-terra\n{server.replace('mcp}', 'mcp, approval: false}')}\n---\nHi\n"
    )
    async with house.bobbin(bobbin_assistants=folder):
        assert await house.answers(await house.ask("hello"))
