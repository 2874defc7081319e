"""Files of a message on their way to the model."""

import asyncio
from pathlib import Path

import openai

from bot.backends.local.backend import LocalBackend
from bot.engine.attachments import Attachments
from bot.engine.ports import Assistant, Attachment, PostFile
from storage.sqlite import SqliteStorage


class Gate:
    """Files that are all there once as many as may be are on their way."""

    def __init__(self) -> None:
        self.under_way = self.most = 0

    async def described(self, file: PostFile) -> PostFile:
        return file

    async def fetch(self, file: PostFile, folder: Path, limit: int) -> Attachment:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        for _ in range(50):  # long enough for every other one to begin, if it may
            await asyncio.sleep(0)
        self.under_way -= 1
        return Attachment(file.name, "text/plain", min(limit, 1), folder / file.name)

    async def transcript(self, file: PostFile) -> str:
        return file.transcript


async def test_a_post_with_many_files_fetches_a_few_at_once(tmp_path: Path) -> None:
    """Twenty downloads at once left nothing for the other threads."""
    storage = await SqliteStorage.open("sqlite:///:memory:")
    client = openai.AsyncOpenAI(api_key="sk-local", base_url="http://127.0.0.1:9/v1", max_retries=0)
    backend = LocalBackend(client, storage, context_tokens=8_000)
    gate = Gate()
    files = [
        PostFile(f"F{number}", f"{number}.txt", "text/plain", 1, "https://files.slack.com/x") for number in range(20)
    ]
    attached = await Attachments(gate, backend).of(files, Assistant("k", "K", "", "m"), tmp_path)
    assert [file.name for file in attached.files] == [file.name for file in files]
    assert gate.most == 4
    await backend.close()
    await storage.close()
