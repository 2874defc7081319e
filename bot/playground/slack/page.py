"""The page for people: what they see, live, and what they do."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.playground.slack.errors import SlackError
from bot.playground.slack.rendering import Rendering

if TYPE_CHECKING:
    from bot.playground.slack.server import LocalSlack

Json = dict[str, Any]

_FILES = {"page.js": "text/javascript", "page.css": "text/css", "index.html": "text/html"}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: Nothing from elsewhere is loaded or run, and nobody frames the page to have it clicked.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: Seconds between two signs of life on an event stream, and the least between two frames.
_HEARTBEAT, _FRAME = 15.0, 0.03


class Page:
    """Serves the page, its state and its events; takes what people do there."""

    def __init__(self, slack: "LocalSlack", manifest: Json | None) -> None:
        self._slack = slack
        self._features = (manifest or {}).get("features", {})
        self._rendering = Rendering(slack.workspace)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self._checked(self._file("index.html")))
        for name in ("page.js", "page.css"):
            app.router.add_get(f"/page/{name}", self._checked(self._file(name)))
        app.router.add_get("/page/events", self._checked(self._events))
        acts = {
            "post": self._post,
            "edit": self._edit,
            "delete": self._delete,
            "command": self._command,
            "click": self._click,
            "shortcut": self._shortcut,
            "stop": self._stop,
            "open": self._open,
        }
        for name, act in acts.items():
            app.router.add_post(f"/page/{name}", self._checked(self._act(act)))

    # Who may

    def _checked(self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        """No other site may look in or act here, by whatever name it reaches this port."""

        async def check(request: web.Request) -> web.StreamResponse:
            if request.url.host not in _LOOPBACK:
                return web.Response(status=403, text="This page answers on this machine only.")
            if request.method == "POST" and request.headers.get("Origin") != f"http://{request.host}":
                return web.Response(status=403, text="Only the page itself may do this.")
            return await handler(request)

        return check

    def _act(self, act: Callable[[Json], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                done = await act(await request.json())
            except SlackError as error:
                return web.json_response({"error": f"Slack says {error.code}."}, status=400)
            except (KeyError, TypeError, ValueError) as error:
                return web.json_response({"error": f"That cannot be done: {error}."}, status=400)
            return web.json_response({"ok": True, "done": done})

        return handle

    def _file(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        text = resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")

        async def serve(_request: web.Request) -> web.Response:
            headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
            return web.Response(text=text, content_type=_FILES[name], headers=headers)

        return serve

    # What people do

    async def _post(self, said: Json) -> str:
        return await self._slack.post(said["person"], said["channel"], str(said["text"]), said.get("thread_ts"))

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

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-Sent Events: first everything, then what changed."""
        person = request.query.get("person", "ada")
        if person not in self._slack.users:
            return web.Response(status=400, text="There is nobody of that name.")
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

    async def _send_frames(self, response: web.StreamResponse, person: str, changed: asyncio.Event) -> None:
        frame = self.frame(person)
        await _send(response, {"all": True, **frame})
        while not self._slack.stopping:
            try:
                async with asyncio.timeout(_HEARTBEAT):
                    await changed.wait()
            except TimeoutError:
                await response.write(b": here\n\n")
                continue
            changed.clear()
            before, frame = frame, self.frame(person)
            difference = {part: _difference(before[part], frame[part]) for part in frame if before[part] != frame[part]}
            if difference:
                await _send(response, difference)
            await asyncio.sleep(_FRAME)  # gathers what changes together

    def frame(self, person: str) -> Json:
        """All that a person sees, in parts by id."""
        workspace = self._slack.workspace
        own = workspace.people[person]
        channels = [channel for channel in workspace.channels.values() if own.id in channel.members]
        seen = {channel.id for channel in channels}
        return {
            "me": {"me": {"name": person, "id": own.id}},
            "people": {p.id: {"id": p.id, "name": p.name, "real_name": p.real_name, "is_bot": p.is_bot}
                       for p in workspace.people.values()},
            "channels": {c.id: {"id": c.id, "name": c.name, "kind": c.kind, "in": workspace.bot_user_id in c.members}
                         for c in channels},
            "messages": {f"{channel}/{ts}": self._message(channel, message)
                         for channel in seen for ts, message in workspace.messages[channel].items()},
            "ephemerals": {e["ts"]: self._message(e["channel"], {**e, "user": workspace.bot_user_id})
                           for e in workspace.ephemerals if e["to"] == own.id and e["channel"] in seen},
            "statuses": {f"{channel}/{ts}": status["status"]
                         for (channel, ts), status in workspace.statuses.items() if channel in seen},
            "sessions": {f"{channel}/{ts}": status
                         for (channel, ts), status in workspace.sessions.items() if channel in seen},
            "prompts": {channel: prompts for channel, prompts in workspace.prompts.items() if channel in seen},
            "commands": {c["command"]: c for c in self._features.get("slash_commands", [])},
            "shortcuts": {s["callback_id"]: s for s in self._features.get("shortcuts", []) if s["type"] == "message"},
        }  # fmt: skip

    def _message(self, channel: str, message: Json) -> Json:
        blocks = [self._block(block) for block in message.get("blocks", [])]
        return {
            "channel": channel,
            "ts": message["ts"],
            "thread_ts": message.get("thread_ts"),
            "user": message.get("user"),
            "text": message.get("text", ""),
            "html": "" if blocks and message.get("markdown_text") is None else self._rendering.message(message),
            "blocks": blocks,
            "tasks": [{**task, "details": str(task.get("details", ""))} for task in message.get("tasks", {}).values()],
            "streaming": bool(message.get("streaming")),
            "edited": bool(message.get("edited")) and message.get("user") != self._slack.bot_user_id,
            "reactions": {name: len(users) for name, users in message.get("reactions", {}).items() if users},
        }

    def _block(self, block: Json) -> Json:
        """A block with its texts as HTML."""
        shown: Json = {"type": block["type"]}
        text = block.get("text")
        if block["type"] == "markdown":
            shown["html"] = self._rendering.markdown(str(text))
        elif text or block.get("fields"):
            texts = [text, *_objects(block.get("fields"))]
            shown["html"] = "<br>".join(self._text(each) for each in texts if each)
        if "accessory" in block:
            shown["elements"] = _objects([block["accessory"]])
        elif block["type"] == "context":
            shown["html"] = " ".join(self._text(e) for e in _objects(block.get("elements")) if e.get("type") != "image")
        elif "elements" in block:
            shown["elements"] = _objects(block["elements"])
        return shown

    def _text(self, text: Any) -> str:
        """A text object. Blocks that Slack's checks know little of may hold anything."""
        if not isinstance(text, dict):
            return self._rendering.mrkdwn(str(text).replace("<", "&lt;"))
        shown = str(text.get("text", ""))
        return self._rendering.mrkdwn(shown if text.get("type") == "mrkdwn" else shown.replace("<", "&lt;"))


def _objects(value: Any) -> list[Json]:
    """The objects of a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _difference(before: Json, after: Json) -> Json:
    """What came or changed, and None for what is gone."""
    gone = dict.fromkeys(before.keys() - after.keys())
    return {**{key: value for key, value in after.items() if before.get(key) != value}, **gone}


async def _send(response: web.StreamResponse, frame: Json) -> None:
    # In ASCII: half a character, which JSON may hold, is no UTF-8.
    await response.write(f"data: {json.dumps(frame)}\n\n".encode())
