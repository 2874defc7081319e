"""The bytes of files, to and from the app, as Slack's file hosts take and give them."""

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from bot.playground.slack.faults import Fault, Faults
from bot.playground.slack.files import Files, Shelf
from bot.playground.slack.workspace import Workspace

Json = dict[str, Any]

#: Slack answers a download without a token that may read it with its login page, and with 200.
_LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in | Slack</title></head><body>Sign in</body></html>"
#: Canvases have a type of their own, the posts before them call themselves text, and both are downloaded as HTML.
_CANVAS, _POST = "application/vnd.slack-docs", "space"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One request for a file's bytes, or with them, as it came in. `authorization` is its header, if it has one."""

    kind: Literal["download", "upload"]
    file: str
    authorization: str | None


class Transfers:
    """Takes and gives bytes."""

    def __init__(self, workspace: Workspace, files: Files, shelf: Shelf, faults: Faults, token: str | None) -> None:
        """`token` may read files, None where no token may."""
        self.seen: list[Transfer] = []
        self._workspace = workspace
        self._files = files
        self._shelf = shelf
        self._faults = faults
        self._token = token

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/upload/{file}", self._receive)
        app.router.add_get("/files-pri/{file}/{name}", self._download)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        file_id = request.match_info["file"]
        self.seen.append(Transfer("upload", file_id, request.headers.get("Authorization")))
        fault = self._faults.take("upload", None)
        if fault and fault.when == "before":
            return await _broken(request, fault, b"")
        expected = self._files.expected(file_id)
        if expected is None:
            return web.Response(status=404, text="no such upload")
        content = await self._body(request)
        if len(content) != expected:
            return web.Response(status=400, text=f"{expected} bytes were announced, {len(content)} came")
        await self._files.receive(file_id, content)
        if fault:
            return await _broken(request, fault, b"")
        return web.Response(text=f"OK - {len(content)}")

    async def _body(self, request: web.Request) -> bytes:
        if not request.content_type.startswith("multipart/"):
            return await request.read()
        for value in (await request.post()).values():
            if isinstance(value, web.FileField):
                return value.file.read()
        return b""

    async def _download(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        self.seen.append(Transfer("download", request.match_info["file"], authorization))
        if self._token is None or authorization != f"Bearer {self._token}":
            return web.Response(text=_LOGIN_PAGE, content_type="text/html")
        file = self._workspace.files.get(request.match_info["file"])
        if file is None:
            return web.Response(status=404)
        content = await self._shelf.load(file["id"])
        if fault := self._faults.take("download", None):
            return await _broken(request, fault, content)
        # Never shown by a browser: whatever a file holds, it cannot act on this page's behalf.
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        kind = "text/html" if file["mimetype"] == _CANVAS or file["mode"] == _POST else file["mimetype"]
        return web.Response(body=content, content_type=kind, headers=headers)


async def _broken(request: web.Request, fault: Fault, content: bytes) -> web.StreamResponse:
    await asyncio.sleep(fault.delay)
    if fault.redirect:
        return web.Response(status=302, headers={"Location": fault.redirect})
    if fault.drop:
        assert request.transport
        request.transport.abort()
    if fault.cut is not None:
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: fault.cut])
        assert request.transport
        request.transport.close()
        return response
    headers = {"Retry-After": str(round(fault.retry_after))} if fault.status == 429 else {}
    return web.Response(status=fault.status or 500, headers=headers)
