"""Files: uploads in three steps, and downloads (https://docs.slack.dev/messaging/working-with-files)."""

import asyncio
import mimetypes
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from aiohttp import web

from bot.playground.slack import limits
from bot.playground.slack.errors import SlackError, invalid
from bot.playground.slack.methods import Methods
from bot.playground.slack.workspace import Workspace, new_id

Json = dict[str, Any]

#: Slack answers a download without a token that may read it with its login page, and with 200.
_LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in | Slack</title></head><body>Sign in</body></html>"


class Files:
    """Slack's file objects are the workspace's; their bytes are here, or in a folder."""

    def __init__(
        self, workspace: Workspace, methods: Methods, address: Callable[[], str], folder: Path | None, token: str | None
    ) -> None:
        """`address` is the server's own, once it is known; `token` may read files, None where no token may."""
        self._workspace = workspace
        self._methods = methods
        self._address = address
        self._folder = folder
        self._token = token
        self._contents: dict[str, bytes] = {}
        #: Uploads that were announced and not completed: file id -> the file
        self._announced: dict[str, Json] = {}

    def table(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "files.completeUploadExternal": self.complete,
            "files.getUploadURLExternal": self.announce,
            "files.info": self.info,
        }

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/upload/{file}", self._receive)
        app.router.add_get("/files-pri/{file}/{name}", self._download)

    async def keep(self, name: str, content: bytes, user_id: str) -> Json:
        """A person's file."""
        file = self._described(new_id("F"), name, len(content), user_id)
        await self._store(file["id"], content)
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
        self._announced[file_id] = {**described, "uploaded": False}
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

    async def _receive(self, request: web.Request) -> web.Response:
        file = self._announced.get(request.match_info["file"])
        if file is None:
            return web.Response(status=404, text="no such upload")
        content = await self._body(request)
        if len(content) != file["size"]:
            return web.Response(status=400, text=f"{file['size']} bytes were announced, {len(content)} came")
        await self._store(file["id"], content)
        file["uploaded"] = True
        return web.Response(text=f"OK - {len(content)}")

    async def _body(self, request: web.Request) -> bytes:
        if not request.content_type.startswith("multipart/"):
            return await request.read()
        for value in (await request.post()).values():
            if isinstance(value, web.FileField):
                return value.file.read()
        return b""

    async def _download(self, request: web.Request) -> web.Response:
        if self._token is None or request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(text=_LOGIN_PAGE, content_type="text/html")
        file = self._workspace.files.get(request.match_info["file"])
        if file is None:
            return web.Response(status=404)
        # Never shown by a browser: whatever a file holds, it cannot act on this page's behalf.
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=await self._load(file["id"]), content_type=file["mimetype"], headers=headers)

    async def _store(self, file_id: str, content: bytes) -> None:
        if self._folder is None:
            self._contents[file_id] = content
            return
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread((self._folder / file_id).write_bytes, content)

    async def _load(self, file_id: str) -> bytes:
        if self._folder is None:
            return self._contents[file_id]
        return await asyncio.to_thread((self._folder / file_id).read_bytes)

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
