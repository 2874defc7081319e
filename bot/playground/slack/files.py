"""Files: uploads in three steps, and what is said of files (https://docs.slack.dev/messaging/working-with-files)."""

import asyncio
import mimetypes
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from bot.playground.slack import limits
from bot.playground.slack.errors import SlackError, invalid
from bot.playground.slack.methods import Methods
from bot.playground.slack.workspace import Workspace, new_id

Json = dict[str, Any]


class Shelf:
    """The bytes of files: in a folder, or in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._contents: dict[str, bytes] = {}

    async def store(self, file_id: str, content: bytes) -> None:
        if self._folder is None:
            self._contents[file_id] = content
            return
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread((self._folder / file_id).write_bytes, content)

    async def load(self, file_id: str) -> bytes:
        if self._folder is None:
            return self._contents[file_id]
        return await asyncio.to_thread((self._folder / file_id).read_bytes)


class Files:
    """Slack's file objects are the workspace's; their bytes are on the shelf."""

    def __init__(self, workspace: Workspace, methods: Methods, address: Callable[[], str], shelf: Shelf) -> None:
        """`address` is the server's own, once it is known."""
        self._workspace = workspace
        self._methods = methods
        self._address = address
        self._shelf = shelf
        #: Uploads that were announced and not completed: file id -> the file
        self._announced: dict[str, Json] = {}

    def table(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "files.completeUploadExternal": self.complete,
            "files.getUploadURLExternal": self.announce,
            "files.info": self.info,
        }

    async def keep(self, name: str, content: bytes, user_id: str, **fields: Any) -> Json:
        """A person's file; `fields` are more of its file object, or others, such as a canvas's mode."""
        file = {**self._described(new_id("F"), name, len(content), user_id), **fields}
        await self._shelf.store(file["id"], content)
        self._workspace.files[file["id"]] = file
        return file

    # The methods

    def announce(self, call: Json) -> Json:
        length = int(call["length"])
        if not 1 <= length <= limits.FILE_BYTES:
            raise SlackError("file_upload_size_restricted")
        if len(call.get("alt_txt", "")) > limits.FILE_ALT_TEXT:
            raise SlackError("alt_txt_too_large")
        if "snippet_type" in call and length > limits.SNIPPET_BYTES:
            raise SlackError("snippet_too_large")
        file_id = new_id("F")
        described = self._described(file_id, call["filename"], length, self._workspace.bot_user_id)
        snippet = {"mode": "snippet", "filetype": call["snippet_type"]} if "snippet_type" in call else {}
        described = {"alt_txt": call["alt_txt"], **described} if "alt_txt" in call else described
        self._announced[file_id] = {**described, **snippet, "uploaded": False}
        return {"upload_url": f"{self._address()}/upload/{file_id}", "file_id": file_id}

    def complete(self, call: Json) -> Json:
        """Make uploads files, and share them in a channel where one is named."""
        files = [self._uploaded(each) for each in call["files"]]
        channel_id = call.get("channel_id") or call.get("channels")
        if not files:
            raise invalid("files is empty")
        if "thread_ts" in call and not channel_id:
            raise invalid("thread_ts needs channel_id")
        channel = self._methods.writable(channel_id) if channel_id else None
        if channel and "thread_ts" in call and call["thread_ts"] not in self._workspace.messages[channel.id]:
            raise SlackError("thread_not_found")
        for file in files:
            del self._announced[file["id"]]
            self._workspace.files[file["id"]] = file
        if channel:
            thread = {"thread_ts": call["thread_ts"]} if "thread_ts" in call else {}
            comment = call.get("initial_comment", "")
            self._methods.say(channel, {"text": comment, "subtype": "file_share", "files": files, **thread})
        return {"files": files}

    def info(self, call: Json) -> Json:
        file = self._workspace.files.get(call["file"])
        if file is None:
            raise SlackError("file_not_found")
        return {"file": file, "comments": [], "response_metadata": {"next_cursor": ""}}

    def _uploaded(self, named: Any) -> Json:
        file = self._announced.get(str(named.get("id", ""))) if isinstance(named, Mapping) else None
        if file is None or not file["uploaded"]:
            raise SlackError("file_not_found")
        title = named.get("title") or file["name"]
        return {**{name: value for name, value in file.items() if name != "uploaded"}, "title": title}

    # The bytes

    async def read(self, file_id: str) -> bytes:
        """A kept file's bytes."""
        return await self._shelf.load(file_id)

    def expected(self, file_id: str) -> int | None:
        """The bytes that an announced upload should have; None where none was announced."""
        file = self._announced.get(file_id)
        return int(file["size"]) if file else None

    async def receive(self, file_id: str, content: bytes) -> None:
        """The bytes of an announced upload came."""
        await self._shelf.store(file_id, content)
        self._announced[file_id]["uploaded"] = True

    def _described(self, file_id: str, name: str, size: int, user_id: str) -> Json:
        """https://docs.slack.dev/reference/objects/file-object"""
        mimetype = mimetypes.guess_type(name)[0] or "application/octet-stream"
        url = f"{self._address()}/files-pri/{file_id}/{quote(name, safe='')}"
        now = int(self._workspace.clock())
        return {
            "id": file_id,
            "created": now,
            "timestamp": now,
            "name": name,
            "title": name,
            "mimetype": mimetype,
            "filetype": PurePath(name).suffix.lstrip(".").lower() or "binary",
            "user": user_id,
            "size": size,
            "mode": "hosted",
            "is_external": False,
            "is_public": False,
            "url_private": url,
            "url_private_download": url,
        }
