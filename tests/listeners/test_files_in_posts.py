"""Files of posts, from Slack to the model: what it reads of them, and what people are told of the rest."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.playground.openai.brain import Piece
from tests.conftest import House, bot_messages, text_of
from tests.listeners.samples import PDF, ZIP, png

MB = 2**20
M4A = b"\x00\x00\x00\x18ftypM4A " + bytes(50)
TRANSCRIPT = {"status": "complete", "preview": {"content": "Hello from the clip", "has_more": True}}
#: An assistant without any tools.
PLAIN = "---\nname: Plain\nmodel: gpt-6.1-terra\n---\nHi\n"


@pytest.fixture
def plain(house: House, tmp_path: Path) -> House:
    folder = tmp_path / "assistants"
    folder.mkdir()
    (folder / "plain.md").write_text(PLAIN)
    house.settings |= {"bobbin_assistants": str(folder), "bobbin_default_assistant": "plain"}
    house.brain(lambda _: "I see.")
    return house


async def ask(house: House, *files: tuple[str, bytes] | dict[str, Any], thread: str | None = None) -> str:
    """Ask about files, wait for the answer, and return what people were told besides."""
    place = house.slack.channels["general"].id
    text = f"<@{house.slack.bot_user_id}> read"
    ts = await house.slack.post("ada", place, text, thread_ts=thread, files=list(files))
    root = thread or ts

    def answered(_: object) -> bool:
        return any(text_of(m) == "I see." and not m.get("streaming") for m in bot_messages(house.slack, place, root))

    await house.slack.wait_for(answered)
    return "\n".join(t for t in map(text_of, bot_messages(house.slack, place, root)) if t != "I see.")


def given(house: House) -> str:
    """All that the model was given with the last question, the content of files with it."""
    texts = [text for _, text in house.heard()]
    files = [base64.b64decode(file.content).decode("utf-8", "replace") for file in house.openai.files.values()]
    return "\n".join([*texts, *files])


def downloads(house: House) -> int:
    return sum(transfer.kind == "download" for transfer in house.slack.transfers)


async def test_code_and_settings_reach_the_model_with_every_backend(plain: House) -> None:
    """They were refused by the label that Slack gives them, before anybody had looked at them."""
    kinds = {
        "a.go": "application/octet-stream",
        "b.yaml": "application/yaml",
        "c.sql": "application/sql",
        "index.ts": "video/mp2t",
        "e.rb": "application/x-ruby",
        "f.log": "application/octet-stream",
        "h.toml": "application/octet-stream",
    }
    async with plain.bobbin():
        files = [
            await plain.slack.add_file("ada", name, f"content of {name}\n".encode(), mimetype=mimetype)
            for name, mimetype in kinds.items()
        ]
        assert await ask(plain, *files) == ""
    read = given(plain)
    assert [name for name in kinds if f"content of {name}" not in read] == []


async def test_bad_files_are_named_and_the_rest_goes_ahead(plain: House) -> None:
    film = await plain.slack.add_file("ada", "film.mp4", b"x", size=2 * 1024 * MB)
    dump = await plain.slack.add_file("ada", "dump.csv", b"x", size=2 * 1024 * MB)
    async with plain.bobbin():
        told = await ask(
            plain,
            film,
            dump,
            ("report.pdf", ZIP),
            ("empty.png", b""),
            ("cut.png", png()[:400]),
            ("notes.txt", b"the notes"),
        )
    assert told.startswith("I cannot use this:\n")
    assert "• film.mp4: is a recording" in told
    assert "of 2 GB" in told or plain.settings["bobbin_backend"] == "local"
    assert "• dump.csv: " in told
    assert "• report.pdf: says it is a PDF but is a ZIP archive" in told
    assert "• empty.png: is empty" in told
    assert "• cut.png: is cut off or damaged" in told
    assert "notes.txt:" not in told
    assert "the notes" in given(plain)
    assert downloads(plain) == 4


async def test_umlauts_of_an_old_table_are_read(plain: House) -> None:
    async with plain.bobbin():
        await ask(plain, ("a.csv", "Größe;1\n".encode("utf-16")), ("b.csv", "Maß;2\n".encode("cp1252")))
    read = given(plain)
    assert "Größe;1" in read
    assert "Maß;2" in read


async def test_a_recording_that_is_too_large_is_not_fetched(plain: House) -> None:
    """It came whole before it was said how large it may be."""
    async with plain.bobbin():
        told = await ask(plain, await plain.slack.add_file("ada", "demo.mov", b"x", size=60 * MB))
    limit = "this backend cannot listen to recordings"
    if plain.settings["bobbin_backend"] != "local":
        limit = "is a recording of 60 MB; I can listen to at most 25 MB"
    assert limit in told
    assert downloads(plain) == 0


@pytest.mark.parametrize("size", [len(M4A), 60 * MB])
async def test_where_nothing_can_listen_slacks_own_transcript_is_read(plain: House, size: int) -> None:
    plain.openai.faults.add(method="POST", path="/audio/transcriptions", status=404, times=None)
    clip = await plain.slack.add_file("ada", "clip.m4a", M4A, size=size, mimetype="audio/mp4", transcription=TRANSCRIPT)
    async with plain.bobbin():
        assert await ask(plain, clip) == ""
    assert (
        "[Recording clip.m4a, as Slack's own transcript has it: Hello from the clip […] (only its beginning)]"
        in given(plain)
    )


@pytest.mark.parametrize("backend", ["responses"])
async def test_what_can_be_heard_is_heard(plain: House) -> None:
    plain.openai.switches.transcript = "All of it."
    clip = await plain.slack.add_file("ada", "clip.m4a", M4A, mimetype="audio/mp4", transcription=TRANSCRIPT)
    async with plain.bobbin():
        await ask(plain, clip)
    assert "[Recording clip.m4a, written down: All of it.]" in given(plain)


@pytest.mark.parametrize("backend", ["responses"])
async def test_a_file_of_another_workspace_is_named_by_its_name(plain: House) -> None:
    """It was called "a file"."""
    known = await plain.slack.add_file("ada", "budget.zip", ZIP)
    async with plain.bobbin():
        told = await ask(plain, {"id": known["id"], "mode": "file_access", "file_access": "check_file_info"})
    assert "• budget.zip: " in told


@pytest.mark.parametrize("backend", ["responses", "local"])
async def test_files_of_a_thread_that_are_not_read_are_counted_and_bad_ones_named_once(plain: House) -> None:
    place = plain.slack.channels["general"].id
    many = [(f"f{number}.txt", f"content {number}".encode()) for number in range(12)]
    async with plain.bobbin():
        root = await plain.slack.post("ada", place, "look at these", files=many)
        await plain.slack.post("ada", place, "and", thread_ts=root, files=[("z.zip", ZIP), ("last.txt", b"the last")])
        told = await ask(plain, ("own.zip", ZIP), thread=root)
        read = given(plain)
        assert (told.count("I cannot use this"), told.count("• own.zip"), told.count("• z.zip")) == (1, 1, 1)
        assert read.count("[4 more files of this thread were not read]") == 1
        assert "the last" in read
        assert "content 7" in read
        assert "content 8" not in read


@pytest.mark.parametrize("backend", ["responses"])
async def test_what_is_too_much_beside_an_earlier_post_of_the_run_is_named(plain: House) -> None:
    """Bytes were counted for each post alone, and the second file was lost without a word."""
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[Piece]:
        begun.set()
        await gate.wait()
        yield "First."

    place = plain.slack.channels["general"].id
    large = PDF + bytes(26 * MB)
    async with plain.bobbin():
        plain.brain(lambda _: slow())
        root = await plain.ask("wait")
        await begun.wait()
        plain.brain(lambda _: "I see.")
        for name in ("one.pdf", "two.pdf"):
            await plain.slack.post("ada", place, "read", thread_ts=root, files=[(name, large)])
        await plain.slack.idle()
        gate.set()
        said = "\n".join(await plain.answers(root, 3))
    assert "• two.pdf: is too much beside the others: at most 50 MB are read at once" in said
    assert "one.pdf" not in said
