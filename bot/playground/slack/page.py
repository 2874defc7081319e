"""The page for people: what they see, live, and what they do."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.playground.slack.errors import SlackError
from bot.playground.slack.page_state import IMAGES, PageState

if TYPE_CHECKING:
    from bot.playground.slack.server import LocalSlack

Json = dict[str, Any]
Act = Callable[[Json], Awaitable[Any]]

_KINDS = {"js": "text/javascript", "css": "text/css", "html": "text/html"}
#: Nothing from elsewhere is loaded or run, and nobody frames the page to have it clicked.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Seconds between two signs of life on an event stream, and the least between two frames.
_HEARTBEAT, _FRAME = 15.0, 0.03


class Page:
    """Serves the page, its state and its events; takes what people do there."""

    def __init__(self, slack: "LocalSlack", manifest: Json | None) -> None:
        self._slack = slack
        self._state = PageState(slack.workspace, manifest, lambda: slack.page_url.rstrip("/"))

    def add_routes(self, app: web.Application) -> None:
        """The application sees to it that every request came to this machine by its own name."""
        app.router.add_get("/", _file("index.html"))
        for name in (
            "page.js",
            "state.js",
            "messages.js",
            "mrkdwn.js",
            "composer.js",
            "attachments.js",
            "files.js",
            "page.css",
        ):
            app.router.add_get(f"/page/{name}", _file(name))
        app.router.add_get("/page/files/{file}", self._file)
        app.router.add_get("/page/state", self._now)
        app.router.add_get("/page/events", self._events)
        for name, act in self._acts().items():
            app.router.add_post(f"/page/{name}", _from_the_page(_acting(act)))

    # What people do

    def _acts(self) -> dict[str, Act]:
        return {
            "post": self._post,
            "edit": self._edit,
            "delete": self._delete,
            "command": self._command,
            "click": self._click,
            "shortcut": self._shortcut,
            "stop": self._stop,
            "open": self._open,
        }

    async def _post(self, said: Json) -> str:
        return await self._slack.post(
            said["person"], said["channel"], str(said["text"]), said.get("thread_ts"), files=said.get("files", ())
        )

    async def _edit(self, said: Json) -> None:
        await self._slack.edit(said["person"], said["channel"], said["ts"], str(said["text"]))

    async def _delete(self, said: Json) -> None:
        await self._slack.delete(said["person"], said["channel"], said["ts"])

    async def _command(self, said: Json) -> None:
        await self._slack.command(said["person"], said["channel"], said["command"], str(said.get("text", "")))

    async def _click(self, said: Json) -> None:
        chosen = {name: said[name] for name in ("value", "selected_option") if name in said}
        await self._slack.click(said["person"], said["channel"], said["ts"], said["action_id"], **chosen)

    async def _shortcut(self, said: Json) -> None:
        await self._slack.shortcut(said["person"], said["channel"], said["ts"], said["callback_id"])

    async def _stop(self, said: Json) -> None:
        await self._slack.stop_stream(said["person"], said["channel"], said["thread_ts"])

    async def _open(self, said: Json) -> None:
        await self._slack.open_home(said["person"])

    # What they see

    async def _now(self, request: web.Request) -> web.Response:
        """All that one person sees, as JSON."""
        return web.json_response(self._state.of(self._who(request)), headers={"Cache-Control": "no-store"})

    async def _file(self, request: web.Request) -> web.Response:
        """A file's bytes, for somebody who sees a message with it. Pictures are shown, all else is saved."""
        person, file_id = self._who(request), request.match_info["file"]
        if not self._state.may_see(person, file_id) or file_id not in self._slack.workspace.files:
            raise web.HTTPNotFound(text="There is no such file for you.")
        file = self._slack.workspace.files[file_id]
        shown = file.get("mimetype") in IMAGES
        name = quote(str(file["name"]), safe="", errors="replace")
        headers = {
            "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{name}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        kind = file["mimetype"] if shown else "application/octet-stream"
        return web.Response(body=await self._slack.read_file(file_id), content_type=kind, headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-Sent Events: first everything, then what changed."""
        person = self._who(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        changed = asyncio.Event()
        self._slack.watch(changed)
        try:
            await self._send_frames(response, person, changed)
        except ConnectionError:
            pass  # the browser went away
        finally:
            self._slack.unwatch(changed)
        return response

    def _who(self, request: web.Request) -> str:
        person = request.query.get("person", "ada")
        if person not in self._slack.users:
            raise web.HTTPBadRequest(text="There is nobody of that name.")
        return person

    async def _send_frames(self, response: web.StreamResponse, person: str, changed: asyncio.Event) -> None:
        seen = self._state.of(person)
        await _send(response, {"all": True, **seen})
        while not self._slack.stopping:
            try:
                async with asyncio.timeout(_HEARTBEAT):
                    await changed.wait()
            except TimeoutError:
                await response.write(b": here\n\n")
                continue
            changed.clear()
            before, seen = seen, self._state.of(person)
            difference = {part: _difference(before[part], seen[part]) for part in seen if before[part] != seen[part]}
            if difference:
                await _send(response, difference)
            await asyncio.sleep(_FRAME)  # gathers what changes together


def _from_the_page(handler: Handler) -> Handler:
    """No other site may act here."""

    async def check(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Origin") != f"http://{request.host}":
            return web.Response(status=403, text="Only the page itself may do this.")
        return await handler(request)

    return check


def _acting(act: Act) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        try:
            done = await act(await _said(request))
        except web.HTTPRequestEntityTooLarge:
            return web.json_response({"error": "That is more than fits at once."}, status=413)
        except SlackError as error:
            return web.json_response({"error": f"Slack says {error.code}."}, status=400)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"That cannot be done: {error}."}, status=400)
        return web.json_response({"ok": True, "done": done})

    return handle


async def _said(request: web.Request) -> Json:
    """What somebody says: JSON, or a form with the JSON as `said`, and files."""
    if request.content_type != "multipart/form-data":
        said = await request.json()
        if not isinstance(said, dict):
            raise TypeError("it is no object")
        return {**said, "files": ()}  # they come as bytes alone
    form = await request.post()
    files = [(part.filename, part.file.read()) for part in form.getall("file", ()) if isinstance(part, web.FileField)]
    return {**json.loads(str(form["said"])), "files": files}


def _file(name: str) -> Handler:
    entry = resources.files(__package__).joinpath("page", name)
    text, kind = entry.read_text(encoding="utf-8"), _KINDS[name.rpartition(".")[2]]

    async def serve(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return web.Response(text=text, content_type=kind, headers=headers)

    return serve


def _difference(before: Json, after: Json) -> Json:
    """What came or changed, and None for what is gone."""
    gone = dict.fromkeys(before.keys() - after.keys())
    return {**{key: value for key, value in after.items() if before.get(key) != value}, **gone}


async def _send(response: web.StreamResponse, frame: Json) -> None:
    # In ASCII: half a character, which JSON may hold, is no UTF-8.
    await response.write(f"data: {json.dumps(frame)}\n\n".encode())
