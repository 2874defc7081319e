"""/vector_stores, their files and batches of files: https://developers.openai.com/api/reference, "Vector stores"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bot.playground.openai import schemas
from bot.playground.openai.calls import Call, changes, page, polled
from bot.playground.openai.errors import bad_request, not_found
from bot.playground.openai.parameters import missing, one_of
from bot.playground.openai.records import FileBatch, Json, VectorStore, VectorStoreFile, new_id
from bot.playground.openai.vector_store_files import add_file, add_single, counts, find_store, make_store, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from bot.playground.openai.router import Route
    from bot.playground.openai.state import Options, State

_STATUS = one_of("in_progress", "completed", "failed", "cancelled")


class VectorStoreEndpoints:
    """Makes vector stores, shows, changes and deletes them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "POST", "/vector_stores", self.create
        yield "GET", "/vector_stores", self.list
        yield "GET", "/vector_stores/{store}", self.retrieve
        yield "POST", "/vector_stores/{store}", self.update
        yield "DELETE", "/vector_stores/{store}", self.delete

    async def create(self, call: Call) -> Json:
        return wire(self._state, make_store(self._state, call.checked(schemas.VECTOR_STORE_CREATE)))

    async def list(self, call: Call) -> Json:
        shown = {key: wire(self._state, each) for key, each in self._state.vector_stores.items()}
        return page(call, shown, "vector store")

    async def retrieve(self, call: Call) -> Json:
        return wire(self._state, self._find(call))

    async def update(self, call: Call) -> Json:
        store = replace(self._find(call), **changes(call.checked(schemas.VECTOR_STORE_UPDATE)))
        self._state.vector_stores[store.id] = store
        return wire(self._state, store)

    async def delete(self, call: Call) -> Json:
        store = self._find(call)
        del self._state.vector_stores[store.id]
        del self._state.vector_store_files[store.id]
        return {"id": store.id, "object": "vector_store.deleted", "deleted": True}

    def _find(self, call: Call) -> VectorStore:
        return find_store(self._state, call.path("store"))


class VectorStoreFileEndpoints:
    """The files of a vector store."""

    def __init__(self, state: State, options: Options) -> None:
        self._state = state
        self._options = options

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        files = "/vector_stores/{store}/files"
        yield "POST", files, self.create
        yield "GET", files, self.list
        yield "GET", f"{files}/{{file}}", self.retrieve
        yield "POST", f"{files}/{{file}}", self.update
        yield "DELETE", f"{files}/{{file}}", self.delete

    async def create(self, call: Call) -> Json:
        store = find_store(self._state, call.path("store"))
        return add_single(self._state, store, call.checked(schemas.VECTOR_STORE_FILE_CREATE)).wire()

    async def list(self, call: Call) -> Json:
        return list_files(call, self._files(call))

    async def retrieve(self, call: Call) -> Json | web.Response:
        return polled(self._find(call).wire(), self._options.poll_after_ms)

    async def update(self, call: Call) -> Json:
        body = call.checked(schemas.VECTOR_STORE_FILE_UPDATE)
        file = replace(self._find(call), attributes=body["attributes"] or {})
        self._files(call)[file.id] = file
        return file.wire()

    async def delete(self, call: Call) -> Json:
        file = self._find(call)
        del self._files(call)[file.id]
        return {"id": file.id, "object": "vector_store.file.deleted", "deleted": True}

    def _files(self, call: Call) -> dict[str, VectorStoreFile]:
        return self._state.vector_store_files[find_store(self._state, call.path("store")).id]

    def _find(self, call: Call) -> VectorStoreFile:
        return self._state.find(self._files(call), call.path("file"), "file")


class FileBatchEndpoints:
    """Files that go into a vector store together."""

    def __init__(self, state: State, options: Options) -> None:
        self._state = state
        self._options = options

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        batches = "/vector_stores/{store}/file_batches"
        yield "POST", batches, self.create
        yield "GET", f"{batches}/{{batch}}", self.retrieve
        yield "POST", f"{batches}/{{batch}}/cancel", self.cancel
        yield "GET", f"{batches}/{{batch}}/files", self.list_files

    async def create(self, call: Call) -> Json:
        store = find_store(self._state, call.path("store"))
        body = call.checked(schemas.FILE_BATCH_CREATE)
        wanted = _wanted(body)
        for each in wanted:
            if each["file_id"] not in self._state.files:
                raise not_found("file", each["file_id"])
        batch = FileBatch(id=new_id("vsfb_"), created_at=self._state.now, vector_store_id=store.id)
        self._state.file_batches[batch.id] = batch
        for each in wanted:
            add_file(self._state, store, self._state.files[each["file_id"]], each, batch.id)
        return self._wire(batch)

    async def retrieve(self, call: Call) -> Json | web.Response:
        return polled(self._wire(self._find(call)), self._options.poll_after_ms)

    async def cancel(self, call: Call) -> Json:
        batch = self._find(call)
        for file in self._files(batch).values():
            if file.status == "in_progress":
                cancelled = replace(file, status="cancelled")
                self._state.vector_store_files[batch.vector_store_id][file.id] = cancelled
        batch = replace(batch, cancelled=True)
        self._state.file_batches[batch.id] = batch
        return self._wire(batch)

    async def list_files(self, call: Call) -> Json:
        return list_files(call, self._files(self._find(call)))

    def _find(self, call: Call) -> FileBatch:
        store = find_store(self._state, call.path("store"))
        batch = self._state.find(self._state.file_batches, call.path("batch"), "file batch")
        if batch.vector_store_id != store.id:
            raise not_found("file batch", batch.id)
        return batch

    def _files(self, batch: FileBatch) -> dict[str, VectorStoreFile]:
        files = self._state.vector_store_files[batch.vector_store_id].items()
        return {key: file for key, file in files if file.batch == batch.id}

    def _wire(self, batch: FileBatch) -> Json:
        numbers = counts(self._files(batch).values())
        status = "in_progress" if numbers["in_progress"] else "completed"
        return {**batch.wire(), "status": "cancelled" if batch.cancelled else status, "file_counts": numbers}


def list_files(call: Call, files: dict[str, VectorStoreFile]) -> Json:
    """A page of files, of one state where the query's `filter` asks for it."""
    wanted = call.request.query.get("filter")
    shown = {key: each.wire() for key, each in files.items() if wanted in {None, each.status}}
    return page(call, shown, "file", filter=_STATUS)


def _wanted(body: Json) -> list[Json]:
    if body.get("file_ids") and body.get("files"):
        raise bad_request(
            "Mutually exclusive parameters: 'file_ids' and 'files'. Ensure you are only providing one of them.",
            code="mutually_exclusive_parameters",
        )
    if body.get("files"):
        return list(body["files"])
    if not body.get("file_ids"):
        raise missing("file_ids")
    shared = {name: body[name] for name in ("attributes", "chunking_strategy") if body.get(name)}
    return [{"file_id": key, **shared} for key in body["file_ids"]]
