"""What vector stores hold: how files get in, are made ready, and are found.

https://developers.openai.com/api/reference, "Vector stores". A file is in progress when it is added, and ready at the
next request, unless `Switches.indexing` says otherwise. What a search finds is the brain's business; here it is only
made sure that it lies in one of the stores.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.playground.openai.brain import SeenFile
from bot.playground.openai.errors import ApiError, bad_request, not_found
from bot.playground.openai.records import Json, VectorStore, VectorStoreFile, new_id
from bot.playground.openai.seen_files import check_searchable, is_searchable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bot.playground.openai.records import File
    from bot.playground.openai.state import State
    from bot.playground.openai.switches import Switches

_DAY = 86_400
_STATES = ("in_progress", "completed", "failed", "cancelled")
_AUTO: Json = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
"""The reference's default chunking."""
_FAILED: Json = {"code": "server_error", "message": "An internal error occurred."}
_UNSUPPORTED: Json = {"code": "unsupported_file", "message": "The file type is not supported for retrieval."}


def make_store(state: State, body: Json) -> VectorStore:
    """A new vector store with its first files; `body` passed its check."""
    files = [_file(state, key) for key in body.get("file_ids") or ()]
    fields = {name: body[name] for name in ("name", "description", "expires_after", "metadata") if body.get(name)}
    store = VectorStore(id=new_id("vs_"), created_at=state.now, last_active_at=state.now, **fields)
    state.vector_stores[store.id] = store
    state.vector_store_files[store.id] = {}
    for file in files:
        add_file(state, store, file, body)
    return store


def add_file(state: State, store: VectorStore, file: File, body: Json, batch: str | None = None) -> VectorStoreFile:
    """Puts a file into a store. One that cannot be searched fails there: only a single one is refused before."""
    chunking = body.get("chunking_strategy") or {"type": "auto"}
    added = VectorStoreFile(
        id=file.id,
        vector_store_id=store.id,
        created_at=state.now,
        attributes=body.get("attributes") or {},
        chunking_strategy=_AUTO if chunking["type"] == "auto" else chunking,
        batch=batch,
    )
    if not is_searchable(file):
        added = replace(added, status="failed", last_error=_UNSUPPORTED)
    state.vector_store_files[store.id][file.id] = added
    return added


def add_single(state: State, store: VectorStore, body: Json) -> VectorStoreFile:
    """One file by itself: it is refused when it cannot be searched."""
    file = _file(state, body["file_id"])
    check_searchable(file)
    return add_file(state, store, file, body)


def settle_indexing(state: State, switches: Switches) -> None:
    """Makes ready what is in progress, or lets it fail; expires stores."""
    for files in state.vector_store_files.values():
        for key, file in files.items():
            if file.status == "in_progress" and switches.indexing == "completes":
                size = state.files[key].bytes if key in state.files else 0
                files[key] = replace(file, status="completed", usage_bytes=size)
            elif file.status == "in_progress" and switches.indexing == "fails":
                files[key] = replace(file, status="failed", last_error=_FAILED)


def counts(files: Iterable[VectorStoreFile]) -> Json:
    """How many files are in which state."""
    states = [file.status for file in files]
    return {**{each: states.count(each) for each in _STATES}, "total": len(states)}


def wire(state: State, store: VectorStore) -> Json:
    """The store as the API sends it, with what follows from its files."""
    files = list(state.vector_store_files[store.id].values())
    numbers = counts(files)
    expires_at = _expiry(store)
    status = "in_progress" if numbers["in_progress"] else "completed"
    if expires_at is not None and expires_at <= state.now:
        status = "expired"
    used = {"usage_bytes": sum(file.usage_bytes for file in files), "file_counts": numbers}
    return {**store.wire(), **used, "status": status, "expires_at": expires_at}


def _expiry(store: VectorStore) -> int | None:
    if store.expires_after is None:
        return None
    return int(store.last_active_at + store.expires_after["days"] * _DAY)


def find_store(state: State, key: str) -> VectorStore:
    """The store with this id; refuses with 404 when there is none."""
    store = state.vector_stores.get(key)
    if store is None:
        raise ApiError(404, f"Vector store with id ['{key}'] not found.")
    return store


def check_stores(state: State, tools: Iterable[Json]) -> None:
    """Refuses a file search in stores that are not there or have expired."""
    check_there(state, stores_of_tools(tools))


def check_there(state: State, stores: Iterable[str]) -> None:
    """Refuses stores that are not there or have expired."""
    for key in stores:
        if wire(state, find_store(state, key))["status"] == "expired":
            raise bad_request(f"Vector store with id ['{key}'] is expired.", param="tools")


def searchable(state: State, stores: Iterable[str]) -> dict[str, File]:
    """The files that are ready in these stores, by name."""
    found: dict[str, File] = {}
    for key in stores:
        for file in state.vector_store_files.get(key, {}).values():
            if file.status == "completed" and file.id in state.files:
                found[state.files[file.id].filename] = state.files[file.id]
    return found


def stores_of_tools(tools: Iterable[Json]) -> Iterator[str]:
    """The ids of the stores that a response searches."""
    for tool in tools:
        if tool["type"] == "file_search":
            yield from tool["vector_store_ids"]


def stores_of_resources(*resources: Json | None) -> Iterator[str]:
    """The ids of the stores that a run searches: those of its assistant and of its thread."""
    for each in resources:
        yield from ((each or {}).get("file_search") or {}).get("vector_store_ids") or ()


def seen_in_stores(state: State, stores: Iterable[str]) -> list[SeenFile]:
    """What a search can find, for the brain to see."""
    files = searchable(state, stores).values()
    return [SeenFile(file.filename, file.media_type, file.bytes, "searched", None) for file in files]


def resolve_resources(state: State, given: Json | None) -> dict[str, Any]:
    """The `tool_resources` of an assistant or a thread, with the vector stores made that it asks for.

    Refuses unknown files and stores.
    """
    resources: Json = dict(given or {})
    for_code = resources.get("code_interpreter") or {}
    for key in for_code.get("file_ids") or ():
        _file(state, key)
    search = resources.get("file_search")
    if not search:
        return resources
    wanted, own = search.get("vector_stores"), search.get("vector_store_ids")
    if wanted and own:
        raise bad_request(
            "Mutually exclusive parameters: 'vector_store_ids' and 'vector_stores'. Ensure you are only providing "
            "one of them.",
            code="mutually_exclusive_parameters",
        )
    for key in own or ():
        find_store(state, key)
    made = [make_store(state, each).id for each in wanted or ()]
    return resources | {"file_search": {"vector_store_ids": [*(own or ()), *made]}}


def attach_to_search(state: State, resources: Mapping[str, Any], keys: Iterable[str]) -> Json:
    """The thread's resources after files for file search: they go into its own store, which is made when missing."""
    own = list(stores_of_resources(dict(resources)))
    week = {"anchor": "last_active_at", "days": 7}
    store = state.vector_stores[own[0]] if own else make_store(state, {"expires_after": week})
    for key in keys:
        add_file(state, store, _file(state, key), {})
    return {**resources, "file_search": {"vector_store_ids": [store.id]}}


def forget_file(state: State, key: str) -> None:
    """Takes a deleted file out of all stores, as the reference says of deleting files."""
    for files in state.vector_store_files.values():
        files.pop(key, None)


def _file(state: State, key: str) -> File:
    if key not in state.files:
        raise not_found("file", key)
    return state.files[key]
