"""/containers: where the Responses API's code runs, and what the code leaves there.

https://developers.openai.com/api/reference, "Containers", and the guide on the code interpreter. Choices where both
are silent: the files of an expired container are answered with 404, a response that names one with 400; a response
whose container is `auto` goes on in the container of the latest code in its conversation while that is alive.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from bot.playground.openai import schemas
from bot.playground.openai.calls import Call, page
from bot.playground.openai.errors import ApiError, bad_request, not_found
from bot.playground.openai.parameters import text
from bot.playground.openai.records import Container, ContainerFile, Json, new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bot.playground.openai.brain import MadeFile
    from bot.playground.openai.router import Route
    from bot.playground.openai.state import State

FOLDER = "/mnt/data/"
"""Where the code finds and leaves its files."""

_EXPIRED = "Container is expired."


class ContainerEndpoints:
    """Makes containers, shows them and their files, and deletes them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        container = "/containers/{container}"
        yield "POST", "/containers", self.create
        yield "GET", "/containers", self.list
        yield "GET", container, self.retrieve
        yield "DELETE", container, self.delete
        yield "GET", f"{container}/files", self.list_files
        yield "GET", f"{container}/files/{{file}}", self.retrieve_file
        yield "GET", f"{container}/files/{{file}}/content", self.content
        yield "DELETE", f"{container}/files/{{file}}", self.delete_file

    async def create(self, call: Call) -> Json:
        body = call.checked(schemas.CONTAINER_CREATE)
        check_files(self._state, body.get("file_ids") or ())
        return open_container(self._state, body).wire()

    async def list(self, call: Call) -> Json:
        shown = {key: each.wire() for key, each in self._state.containers.items()}
        return page(call, shown, "container", backwards=False, name=text())

    async def retrieve(self, call: Call) -> Json:
        container = self._find(call)
        return (touch(self._state, container) if container.status == "running" else container).wire()

    async def delete(self, call: Call) -> Json:
        container = self._find(call)
        del self._state.containers[container.id]
        del self._state.container_files[container.id]
        return {"id": container.id, "object": "container.deleted", "deleted": True}

    async def list_files(self, call: Call) -> Json:
        files = self._files(call)
        return page(call, {key: each.wire() for key, each in files.items()}, "container file", backwards=False)

    async def retrieve_file(self, call: Call) -> Json:
        return self._find_file(call).wire()

    async def content(self, call: Call) -> web.Response:
        return web.Response(body=base64.b64decode(self._find_file(call).content))

    async def delete_file(self, call: Call) -> Json:
        file = self._find_file(call)
        del self._state.container_files[file.container_id][file.id]
        return {"id": file.id, "object": "container.file.deleted", "deleted": True}

    def _find(self, call: Call) -> Container:
        return find_container(self._state, call.path("container"))

    def _files(self, call: Call) -> dict[str, ContainerFile]:
        container = self._find(call)
        if container.status != "running":
            raise ApiError(404, _EXPIRED)
        touch(self._state, container)
        return self._state.container_files[container.id]

    def _find_file(self, call: Call) -> ContainerFile:
        return self._state.find(self._files(call), call.path("file"), "container file")


def open_container(state: State, wanted: Json) -> Container:
    """A new container. `wanted` may hold `name`, `memory_limit`, `expires_after`, and `file_ids` to copy into it."""
    own = ("name", "memory_limit", "expires_after", "network_policy")
    given = {name: wanted[name] for name in own if wanted.get(name)}
    fields: Json = {"name": "CodeInterpreter Container", **given}
    container = Container(id=new_id("cntr_"), created_at=state.now, last_active_at=state.now, **fields)
    state.containers[container.id] = container
    state.container_files[container.id] = {}
    for key in wanted.get("file_ids") or ():
        file = state.files[key]
        _put(state, container, file.filename, file.content, "user")
    return container


def find_container(state: State, key: str) -> Container:
    """The container with this id; refuses with 404 when there is none."""
    container = state.containers.get(key)
    if container is None:
        raise ApiError(404, f"Container with id '{key}' not found.")
    return container


def check_container(state: State, tools: Iterable[Json]) -> None:
    """Refuses a code interpreter whose container is not there or expired, or whose files are unknown."""
    for tool in tools:
        if tool["type"] != "code_interpreter":
            continue
        wanted = tool["container"]
        if isinstance(wanted, str):
            if find_container(state, wanted).status != "running":
                raise bad_request(_EXPIRED)
        else:
            check_files(state, wanted.get("file_ids") or ())


def check_files(state: State, keys: Iterable[str]) -> None:
    """Refuses with 404 when one of the files is not there."""
    for key in keys:
        if key not in state.files:
            raise not_found("file", key)


def container_for(state: State, tools: Iterable[Json], history: Iterable[Json]) -> Container:
    """Where a response's code runs: in the container that its tool names, or in one that is chosen for it."""
    tool = next((each for each in tools if each["type"] == "code_interpreter"), {"container": {"type": "auto"}})
    wanted = tool["container"]
    used = [wanted] if isinstance(wanted, str) else [each.get("container_id") for each in history]
    alive = [key for key in used if key in state.containers and state.containers[key].status == "running"]
    if not alive:
        return open_container(state, {} if isinstance(wanted, str) else wanted)
    return touch(state, state.containers[alive[-1]])


def keep_made(state: State, container: Container, made: MadeFile) -> ContainerFile:
    """The file that code made, in its container."""
    return _put(state, container, made.name, base64.b64encode(made.content).decode(), "assistant")


def _put(state: State, container: Container, name: str, content: str, source: str) -> ContainerFile:
    file = ContainerFile(
        id=new_id("cfile_"),
        container_id=container.id,
        created_at=state.now,
        bytes=len(base64.b64decode(content)),
        path=FOLDER + name,
        source=source,
        content=content,
    )
    state.container_files[container.id][file.id] = file
    return file


def touch(state: State, container: Container) -> Container:
    """Any use of a container lets it live on."""
    used = replace(container, last_active_at=state.now)
    state.containers[container.id] = used
    return used


def expire_idle(state: State, *, at_once: bool = False) -> None:
    """Ends the containers that were not used for long enough, or all of them; what was in them is lost."""
    for container in list(state.containers.values()):
        idle = state.now - container.last_active_at
        if container.status == "running" and (at_once or idle >= container.expires_after["minutes"] * 60):
            state.containers[container.id] = replace(container, status="expired")
            state.container_files[container.id] = {}
