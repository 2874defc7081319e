"""An assistant's files, made searchable on the server.

https://platform.openai.com/docs/assistants/tools/file-search
"""

import asyncio
import hashlib
import json
import mimetypes
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import openai
import structlog
from openai.types import VectorStore
from openai.types.vector_stores import VectorStoreFile

from bot.backends.limits import PAGE
from bot.backends.retries import Attempts, Patience, patiently
from bot.backends.uploads import uploaded
from bot.engine.ports import Assistant
from bot.errors import BackendBusy, BackendRefused, BackendUnsupported

_log = structlog.get_logger()

#: Metadata by which Bobbin knows its own: the assistant's key, and a hash of its files.
_KEY, _FILES = "bobbin_assistant", "bobbin_files"
#: An attribute of a file in a store: the hash of its name and content.
_FILE = "bobbin_file"
_NONE = "This model server cannot search files; an admin can take `file_search` out of the assistant's file."
#: For a server that reads the files: minutes for large ones.
READING = Patience(total=300.0, first=0.5, longest=5.0)


@dataclass(frozen=True, slots=True)
class _SearchedFile:
    path: Path
    digest: str


class VectorStores:
    """One store for each assistant, found by its metadata; a change of a file makes a new one."""

    def __init__(self, client: openai.AsyncOpenAI, patience: Patience, reading: Patience = READING) -> None:
        """`reading` is how long the server gets to read the files."""
        self._client = client
        self._patience = patience
        self._reading = reading
        self._ready: dict[str, tuple[str, str]] = {}
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, assistant: Assistant) -> str | None:
        """The id of a store that has the assistant's files, ready to be searched; None where it has no files.

        Raises openai.APIError, BackendBusy where the server goes on reading them beyond patience, and BackendRefused
        where it cannot search one. BackendUnsupported where it searches none.
        """
        if not assistant.files:
            return None
        async with self._locks[assistant.key]:
            files = [await self._searched(path) for path in assistant.files]
            wanted = _hash([file.digest for file in files])
            known, store_id = self._ready.get(assistant.key, ("", ""))
            if known != wanted:
                store_id = (await self._find_or_make(assistant, wanted)).id
                await self._fill(store_id, files)
                self._ready[assistant.key] = (wanted, store_id)
            return store_id

    async def drop_others(self, assistant: Assistant, keep: str) -> None:
        """Delete the stores that the assistant had before, with their files. Raises nothing: the next start, or the
        next change, tries again."""
        try:
            for store in await self._of(assistant):
                if store.id != keep:
                    await self._drop(store.id)
        except (openai.APIError, BackendUnsupported) as error:
            _log.warning("old-vector-store-kept", assistant=assistant.key, error=type(error).__name__)

    def forget(self, assistant: Assistant) -> None:
        """The server may no longer have the store: look again at the next need."""
        self._ready.pop(assistant.key, None)

    async def _searched(self, path: Path) -> _SearchedFile:
        try:
            return _SearchedFile(path, await asyncio.to_thread(self._digest, path))
        except OSError as error:
            raise BackendRefused(
                f"{path.name}, which this assistant searches, cannot be read. An admin can look at the assistant's "
                "files."
            ) from error

    async def _find_or_make(self, assistant: Assistant, wanted: str) -> VectorStore:
        find = partial(self._find, assistant, wanted)
        found = await find()
        if found is not None:
            return found
        return await patiently(partial(self._make, assistant, wanted), self._patience, done=find)

    async def _find(self, assistant: Assistant, wanted: str) -> VectorStore | None:
        stores = await self._of(assistant)
        return next((store for store in stores if (store.metadata or {}).get(_FILES) == wanted), None)

    async def _of(self, assistant: Assistant) -> list[VectorStore]:
        try:
            return await patiently(partial(self._list, assistant.key), self._patience, repeatable=True)
        except openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                raise BackendUnsupported(_NONE) from error
            raise

    async def _list(self, key: str) -> list[VectorStore]:
        listed = self._client.vector_stores.list(limit=PAGE, order="asc")
        ours = [store async for store in listed if (store.metadata or {}).get(_KEY) == key]
        return [store for store in ours if store.status != "expired"]

    async def _make(self, assistant: Assistant, wanted: str) -> VectorStore:
        return await self._client.vector_stores.create(
            name=f"Bobbin: {assistant.name}", metadata={_KEY: assistant.key, _FILES: wanted}
        )

    async def _fill(self, store_id: str, files: Sequence[_SearchedFile]) -> None:
        """Add what the store lacks (an earlier attempt may have been cut short), and wait until all can be searched."""
        inside = await self._files(store_id)
        known = {each.id: digest for each in inside if (digest := _digest_of(each))}
        if len(known) == len(inside) or len(inside) < len(files):
            for each in inside:
                if each.id not in known:
                    await self._take_out(store_id, each.id)
            missing = [file for file in files if file.digest not in known.values()]
        else:
            # A server that keeps no attributes: the store is for these files only, so as many as they are, they are.
            missing = []
        for file in missing:
            known[await self._add(store_id, file)] = file.digest
        failed = [each.id for each in await self._read(store_id) if each.status not in ("completed", None)]
        if failed:
            digests = {known.get(each) for each in failed}
            names = ", ".join(file.path.name for file in files if file.digest in digests) or "a file"
            # A failed one stays failed; without its store, the next attempt begins anew.
            await self._drop(store_id)
            raise BackendRefused(
                f"The model server could not read {names}, which this assistant searches. An admin can look at the "
                "assistant's files."
            )

    async def _read(self, store_id: str) -> list[VectorStoreFile]:
        """The files in the store, once the server has read them."""
        attempts = Attempts(self._reading)
        while True:
            inside = await self._files(store_id)
            if all(each.status != "in_progress" for each in inside):
                return inside
            if not await attempts.pause():
                raise BackendBusy(
                    "The model server has not finished reading this assistant's files. Please try again in a few "
                    "minutes."
                )

    async def _add(self, store_id: str, file: _SearchedFile) -> str:
        """Returns the server's id of the file."""
        file_id = await uploaded(
            self._client,
            self._patience,
            path=file.path,
            name=file.path.name,
            media_type=mimetypes.guess_type(file.path.name)[0] or "text/plain",
            purpose="assistants",
        )
        add = partial(
            self._client.vector_stores.files.create, store_id, file_id=file_id, attributes={_FILE: file.digest}
        )
        await patiently(add, self._patience, done=partial(self._added, store_id, file_id))
        return file_id

    async def _added(self, store_id: str, file_id: str) -> VectorStoreFile | None:
        return next((each for each in await self._files(store_id) if each.id == file_id), None)

    async def _files(self, store_id: str) -> list[VectorStoreFile]:
        return await patiently(partial(self._list_files, store_id), self._patience, repeatable=True)

    async def _list_files(self, store_id: str) -> list[VectorStoreFile]:
        return [each async for each in self._client.vector_stores.files.list(store_id, limit=PAGE)]

    async def _take_out(self, store_id: str, file_id: str) -> None:
        await self._deleted(partial(self._client.vector_stores.files.delete, file_id, vector_store_id=store_id))
        await self._deleted(partial(self._client.files.delete, file_id))

    async def _drop(self, store_id: str) -> None:
        inside = await self._files(store_id)
        await self._deleted(partial(self._client.vector_stores.delete, store_id))
        for each in inside:
            await self._deleted(partial(self._client.files.delete, each.id))

    async def _deleted(self, delete: Callable[[], Awaitable[object]]) -> None:
        try:
            await patiently(delete, self._patience, repeatable=True)
        except openai.NotFoundError:
            _log.debug("gone-already")

    def _digest(self, path: Path) -> str:
        """A hash of a file's name and content, made again only when the file was written to."""
        stat = path.stat()
        seen = (stat.st_mtime_ns, stat.st_size)
        known, digest = self._digests.get(path, ((0, 0), ""))
        if known != seen:
            with path.open("rb") as file:
                digest = _hash([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
            self._digests[path] = (seen, digest)
        return digest


def lacks_store(error: openai.APIError) -> bool:
    """Whether a store was gone: somebody else may have deleted it, or another Bobbin whose files of the same assistant
    are others."""
    refused = isinstance(error, openai.NotFoundError | openai.BadRequestError)
    return refused and "vector store" in str(error.message).lower().replace("_", " ")


def _digest_of(file: VectorStoreFile) -> str:
    return str((file.attributes or {}).get(_FILE) or "")


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
