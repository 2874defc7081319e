"""The state file, and what the server lets go of."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from bot.playground.openai import ScriptedBrain
from bot.playground.snapshot import Snapshot
from tests.playground.openai_client import MODEL, refused, running

if TYPE_CHECKING:
    from pathlib import Path


async def test_snapshot_is_written_soon_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "state.json"
    state: dict[str, Any] = {"n": 1}
    snapshot = Snapshot(path, lambda: state, delay=0.01)
    assert snapshot.load() is None
    snapshot.changed()
    async with asyncio.timeout(5):
        while not path.exists():
            await asyncio.sleep(0.005)
    state["n"] = 2
    snapshot.changed()
    await snapshot.close()
    assert snapshot.load() == {"n": 2}
    assert [each.name for each in path.parent.iterdir()] == ["state.json"]


async def test_snapshot_that_cannot_be_written_tells_so_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    snapshot = Snapshot(tmp_path / "file" / "state.json", dict, delay=0)
    snapshot.changed()
    with pytest.raises(OSError, match="file"):
        await snapshot.close()


@pytest.mark.parametrize("content", ["{", "[]"])
def test_file_of_another_kind_is_no_snapshot(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"state\.json is not a state file"):
        Snapshot(path, dict).load()


async def test_state_file_is_written_while_the_server_runs(tmp_path: Path) -> None:
    path = tmp_path / "openai.json"
    async with running(state_file=path) as pair:
        thread = await pair.client.beta.threads.create()
        async with asyncio.timeout(5):
            while not path.exists():
                await asyncio.sleep(0.01)
        assert json.loads(path.read_text(encoding="utf-8"))["threads"][0]["id"] == thread.id


async def test_thread_is_not_deleted_under_its_run() -> None:
    gate = asyncio.Event()
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as pair:
        assistant, thread = await pair.assistant_and_thread()
        await pair.client.beta.threads.runs.create(thread, assistant_id=assistant)
        async with refused(400, sentence=f"Can't delete {thread} while a run"):
            await pair.client.beta.threads.delete(thread)
        gate.set()
        await pair.server.wait_for(lambda server: not any(run.active for run in server.runs.values()))
        await pair.client.beta.threads.delete(thread)


async def test_finished_background_response_can_still_be_streamed() -> None:
    async with running() as pair:
        stream = await pair.client.responses.create(model=MODEL, input="x", background=True, stream=True)
        events = [event async for event in stream]
        await pair.client.models.list()
        again = await pair.client.responses.retrieve(next(iter(pair.server.responses)), stream=True)
        assert [event async for event in again] == events


async def test_null_clears_what_an_assistant_had() -> None:
    async with running() as pair:
        made = await pair.client.beta.assistants.create(
            model=MODEL, instructions="Teach.", metadata={"a": "b"}, tools=[{"type": "code_interpreter"}]
        )
        cleared: dict[str, Any] = {"instructions": None, "metadata": None, "tools": None}
        changed = await pair.client.beta.assistants.update(made.id, extra_body=cleared)
        assert (changed.instructions, changed.metadata, changed.tools) == (None, {}, [])


async def test_attached_files_must_exist() -> None:
    async with running() as pair:
        _, thread = await pair.assistant_and_thread()
        messages = pair.client.beta.threads.messages
        async with refused(404, sentence="No file found with id 'file-none'."):
            await messages.create(thread, role="user", content="x", attachments=[{"file_id": "file-none"}])
        file = await pair.client.files.create(file=("a.txt", b"abc"), purpose="assistants")
        made = await messages.create(thread, role="user", content="x", attachments=[{"file_id": file.id}])
        assert made.attachments is not None
        assert made.attachments[0].file_id == file.id


async def test_server_comes_back_after_an_outage() -> None:
    gate = asyncio.Event()
    async with running(brain=ScriptedBrain(lambda _: "one two", gate=gate)) as pair:
        assistant, thread = await pair.assistant_and_thread()
        run = await pair.client.beta.threads.runs.create(thread, assistant_id=assistant)
        await pair.server.wait_for(lambda server: server.messages(thread)[-1].text == "one")
        url = pair.server.url
        await pair.server.stop()
        with pytest.raises(openai.APIConnectionError):
            await pair.client.models.list()
        await pair.server.start()
        assert pair.server.url == url
        assert (await pair.client.beta.threads.runs.retrieve(run.id, thread_id=thread)).status == "failed"
        await pair.client.beta.threads.messages.create(thread, role="user", content="again")
