"""/files: https://developers.openai.com/api/reference, "Files". What is uploaded is kept as it is."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, web

from bot.playground.openai import limits
from bot.playground.openai.calls import Call, page
from bot.playground.openai.errors import ApiError, bad_request
from bot.playground.openai.parameters import missing, one_of, text
from bot.playground.openai.records import File, Json, Upload, new_id
from bot.playground.openai.vector_store_files import forget_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.playground.openai.router import Route
    from bot.playground.openai.state import State

_PURPOSE = one_of("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_KEPT = frozenset({"assistants", "user_data"})
"""What was uploaded for a model to read is not given back; what a model made is, and what is to be shown."""


class FileEndpoints:
    """Takes uploads and gives them back."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "POST", "/files", self.create
        yield "GET", "/files", self.list
        yield "GET", "/files/{file}", self.retrieve
        yield "GET", "/files/{file}/content", self.content
        yield "DELETE", "/files/{file}", self.delete

    async def create(self, call: Call) -> Json:
        fields, upload = await read_form(call.request)
        if "purpose" not in fields:
            raise missing("purpose")
        if upload is None:
            raise missing("file")
        _PURPOSE(fields["purpose"], "purpose")
        if not upload.content:
            raise bad_request("File is empty.", param="file")
        if len(upload.content) > limits.FILE_BYTES:
            raise ApiError(413, f"Maximum content size limit ({limits.FILE_BYTES}) exceeded.")
        file = File(
            id=new_id("file-"),
            created_at=self._state.now,
            bytes=len(upload.content),
            filename=upload.name,
            purpose=fields["purpose"],
            content=base64.b64encode(upload.content).decode(),
            media_type=upload.media_type,
        )
        self._state.files[file.id] = file
        return file.wire()

    async def list(self, call: Call) -> Json:
        return page(
            call, {key: each.wire() for key, each in self._state.files.items()}, "file", backwards=False, purpose=text()
        )

    async def retrieve(self, call: Call) -> Json:
        return self._find(call).wire()

    async def content(self, call: Call) -> web.Response:
        file = self._find(call)
        if file.purpose in _KEPT:
            raise bad_request(f"Not allowed to download files of purpose: {file.purpose}")
        return web.Response(body=base64.b64decode(file.content))

    async def delete(self, call: Call) -> Json:
        file = self._find(call)
        del self._state.files[file.id]
        forget_file(self._state, file.id)
        return {"id": file.id, "object": "file", "deleted": True}

    def _find(self, call: Call) -> File:
        return self._state.find(self._state.files, call.path("file"), "file")


async def read_form(request: web.Request) -> tuple[dict[str, str], Upload | None]:
    """The fields of a multipart form, and its `file`."""
    if not request.content_type.startswith("multipart/"):
        raise bad_request("Files are uploaded as multipart/form-data.", code="unsupported_content_type")
    fields: dict[str, str] = {}
    upload = None
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        if part.name == "file":
            kind = part.headers.get("Content-Type", "application/octet-stream")
            upload = Upload(part.filename or "file", kind, bytes(await part.read()))
        else:
            fields[part.name] = await part.text()
    return fields, upload
