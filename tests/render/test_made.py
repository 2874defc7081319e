"""The files of a reply, where they belong. Real slack_sdk, local Slack."""

from pathlib import Path

import pytest

from bot.engine.ports import Answered, FileMade
from tests.conftest import text_of
from tests.render.desk import desk


async def test_a_file_is_posted_after_the_text_that_speaks_of_it(tmp_path: Path) -> None:
    (tmp_path / "chart").write_bytes(b"\x89PNG\r\n\x1a\n")
    async with desk() as room:
        reply = room.open()
        reply.show("Here is [the chart](sandbox:/mnt/data/chart.png), ")
        reply.attach(FileMade("chart.png", tmp_path / "chart", "image/png"))
        text = "Here is [the chart](sandbox:/mnt/data/chart.png), and this is what it means."
        reply.show(text)
        await reply.finish(text, Answered)
        before, file, after = room.said
    assert before["text"].strip() == "Here is the chart,"
    assert [each["name"] for each in file["files"]] == ["chart.png"]
    assert after["text"].strip() == "and this is what it means."


async def test_a_file_that_slack_does_not_take_is_named(tmp_path: Path) -> None:
    (tmp_path / "chart").write_bytes(b"\x89PNG")
    async with desk() as room:
        room.slack.faults.add(method="files.getUploadURLExternal", error="storage_limit_reached")
        reply = room.open()
        reply.attach(FileMade("chart.png", tmp_path / "chart", "image/png"))
        await reply.finish("Done.", Answered)
        said = [text_of(message) for message in room.said]
    assert "chart.png: this workspace has no storage left" in said[0]
    assert said[1] == "Done."


@pytest.mark.parametrize("opening", ["```python\n", "```tsx title=App.tsx\n"])
@pytest.mark.parametrize("closing", ["```", ""])
async def test_long_code_and_wide_tables_are_files_too(opening: str, closing: str) -> None:
    wide = "|" + "a|" * 25 + "\n|" + "-|" * 25 + "\n|" + "1|" * 25
    async with desk() as room:
        reply = room.open()
        await reply.finish(f"{wide}\n\n{opening}" + "x = 1\n" * 100 + closing, Answered)
        reply.abandon()
        files = [file["name"] for message in room.said for file in message.get("files", [])]
    assert files == ["code-1.py" if "python" in opening else "code-1.tsx", "table-1.csv"]


async def test_a_snippet_is_what_the_model_wrote() -> None:
    code = "<!DOCTYPE html>\n" + "<p>x</p>\n" * 100
    async with desk() as room:
        reply = room.open()
        await reply.finish(f"```html\n{code}```\n", Answered)
        reply.abandon()
        [file] = [file for message in room.said for file in message.get("files", [])]
        assert file["size"] == len(code)
        assert not room.slack.pings


async def test_a_run_that_is_taken_up_posts_its_files_once(tmp_path: Path) -> None:
    (tmp_path / "chart").write_bytes(b"png")
    async with desk() as room:
        for _ in range(2):
            reply = room.open()
            reply.attach(FileMade("chart.png", tmp_path / "chart", "image/png"))
            await reply.finish("Done.", Answered)
        assert len([message for message in room.said if message.get("files")]) == 1


@pytest.mark.parametrize("refused", [False, True], ids=["posted", "not_posted"])
async def test_a_file_is_posted_once_though_its_process_was_killed_then(tmp_path: Path, *, refused: bool) -> None:
    """Between Slack's having its bytes and our knowing what became of them."""
    (tmp_path / "chart").write_bytes(b"\x89PNG\r\n\x1a\n")
    chart = FileMade("chart.png", tmp_path / "chart", "image/png")
    async with desk() as room:
        if refused:
            room.slack.faults.add(method="files.completeUploadExternal", error="not_in_channel")
        for taken_up in (False, True):
            reply = room.open(tuple(room.kept), taken_up=taken_up)
            reply.attach(chart)
            await reply.finish("Done.", Answered)
            # What it kept last is lost.
            room.posted = {mark for mark in room.posted if mark.startswith("sent ")}
        files = [file["name"] for message in room.said for file in message.get("files", [])]
    assert files == ["chart.png"]


async def test_an_answer_with_long_code_needs_no_room_on_the_disk() -> None:
    """The run was taken up again and again, and its thread stayed blocked."""
    async with desk() as room:
        (room.folder / "snippets").write_text("in its way")
        reply = room.open()
        await reply.finish("```python\n" + "x = 1\n" * 100 + "```", Answered)
        files = [file["name"] for message in room.said for file in message.get("files", [])]
    assert files == []
