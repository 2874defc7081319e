"""The local Slack: one port with the Web API, Socket Mode and a page for people."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from bot.playground.slack import limits
from bot.playground.slack.app_manifest import AppManifest
from bot.playground.slack.delivery import Ack
from bot.playground.slack.errors import SlackError
from bot.playground.slack.faults import Faults
from bot.playground.slack.loopback import check_loopback, only_loopback
from bot.playground.slack.page import Page
from bot.playground.slack.parts import Options, assemble
from bot.playground.slack.transfers import Transfer
from bot.playground.slack.web_api import Call, WebApi
from bot.playground.slack.workspace import Channel, Person, Workspace
from bot.playground.slack.writing import pings_in, unfurled_in
from bot.playground.snapshot import Snapshot

Json = dict[str, Any]

#: Bytes of the largest request that is read.
_BODY_LIMIT = 64 * 1024 * 1024
#: Seconds between two looks at what only time changes.
_TICK = 0.5


class LocalSlack:
    """A Slack for one process: the playground's, and the tests' double. `async with` starts and stops it."""

    def __init__(  # noqa: PLR0913 - each is one knob of a test double, given by name
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        manifest: Json | None = None,
        state_file: Path | None = None,
        bot_token: str = "xoxb-local-0123456789",  # noqa: S107 - no secret: it opens nothing but this server
        app_token: str = "xapp-local-0123456789",  # noqa: S107
        signing_secret: str = "local-signing-secret",  # noqa: S107
        enforce_rate_limits: bool = False,
        stream_lifetime: float = limits.STREAM_LIFETIME,
        ack_timeout: float = limits.ACK_TIMEOUT,
        redeliver_after: Sequence[float] = limits.REDELIVER_AFTER,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`manifest` limits scopes and events to what an app asked for (None: everything). Times are in seconds.

        Raises ValueError for a host that others could reach, and for a manifest that Slack would not save.
        """
        check_loopback(host)
        self._host, self._port = host, port
        self._manifest = manifest
        self.bot_token, self.app_token, self.signing_secret = bot_token, app_token, signing_secret
        self.workspace = Workspace.new(clock)
        self.faults = Faults()
        allowed = AppManifest() if manifest is None else AppManifest.read(manifest)
        options = Options(
            signing_secret=signing_secret,
            ack_timeout=ack_timeout,
            redeliver_after=redeliver_after,
            stream_lifetime=stream_lifetime,
            address=lambda: f"http://{self._address}",
            files_folder=state_file.with_suffix(".files") if state_file else None,
            files_token=bot_token if "files:read" in allowed.scopes else None,
            faults=self.faults,
        )
        self._parts = parts = assemble(self.workspace, allowed, options, self._changed)
        self.delivery, self.views = parts.delivery, parts.views
        self.people, self.interactions = parts.people, parts.interactions
        self._api = WebApi(
            {**parts.methods, "api.test": _echo, "apps.connections.open": self._connect},
            self.faults,
            clock,
            tokens={bot_token: "bot", app_token: "app"},
            granted=allowed.scopes,
            enforce_rate_limits=enforce_rate_limits,
        )
        self._snapshot = Snapshot(state_file, self.workspace.taken) if state_file else None
        self._listeners: set[asyncio.Event] = set()
        self.stopping = False

    async def start(self) -> None:
        """Open the port. Raises OSError where it is taken."""
        if self._snapshot and (state := await asyncio.to_thread(self._snapshot.load)):
            self.workspace.restore(state)
        app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[only_loopback])
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_get("/link", self.delivery.serve_socket)
        app.router.add_post("/response/{token}", self._respond)
        self._parts.transfers.add_routes(app)
        Page(self, self._manifest).add_routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self._ticker = asyncio.create_task(self._expire())

    async def stop(self) -> None:
        self.stopping = True
        self._ticker.cancel()
        await asyncio.gather(self._ticker, return_exceptions=True)
        for listener in self._listeners:
            listener.set()
        await self.delivery.close()
        await self._runner.cleanup()
        if self._snapshot:
            await self._snapshot.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # Where it is, who is in it

    @property
    def _address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    @property
    def api_url(self) -> str:
        return f"http://{self._address}/api/"

    @property
    def page_url(self) -> str:
        return f"http://{self._address}/"

    @property
    def team_id(self) -> str:
        return self.workspace.team_id

    @property
    def app_id(self) -> str:
        return self.workspace.app_id

    @property
    def bot_id(self) -> str:
        return self.workspace.bot_id

    @property
    def bot_user_id(self) -> str:
        return self.workspace.bot_user_id

    @property
    def users(self) -> Mapping[str, Person]:
        return self.workspace.people

    @property
    def channels(self) -> Mapping[str, Channel]:
        return self.workspace.channels

    def dm(self, name: str) -> str:
        """The channel of a person's direct message with the bot."""
        return self.workspace.channels[f"dm-{name}"].id

    # What people do

    async def post(
        self,
        name: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        *,
        files: Sequence[tuple[str, bytes] | Json] = (),
        **extra: Any,
    ) -> str:
        """A person posts, with files perhaps: each its name and content, or a file object as the event shall have it.
        Returns the ts; does not wait for the app."""
        if files:
            return await self.people.post_files(name, channel, text, thread_ts, files)
        return self.people.post(name, channel, text, thread_ts, **extra)

    async def add_file(self, name: str, filename: str, content: bytes, **fields: Any) -> Json:
        """A person's file, not yet in any message; `fields` change its file object, whatever its content is."""
        return await self._parts.files.keep(filename, content, self.users[name].id, **fields)

    async def read_file(self, file_id: str) -> bytes:
        return await self._parts.files.read(file_id)

    async def edit(self, name: str, channel: str, ts: str, text: str) -> None:
        """Raises SlackError where it is not theirs."""
        self._check_author(name, channel, ts, "cant_update_message")
        self.people.edit(channel, ts, text)

    async def delete(self, name: str, channel: str, ts: str) -> None:
        """Raises SlackError where it is not theirs."""
        self._check_author(name, channel, ts, "cant_delete_message")
        self.people.delete(channel, ts)

    async def command(self, name: str, channel: str, command: str, text: str = "") -> Any:
        """A slash command; returns what the app acknowledged it with."""
        return await self.interactions.command(name, channel, command, text)

    async def click(self, name: str, channel: str, message_ts: str, action_id: str, **chosen: Any) -> None:
        """Use an element of a message; `chosen` is value or selected_option. Raises SlackError."""
        await self.interactions.click(name, channel, message_ts, action_id, **chosen)

    async def shortcut(self, name: str, channel: str, message_ts: str, callback_id: str) -> None:
        await self.interactions.shortcut(name, channel, message_ts, callback_id)

    async def submit_view(self, name: str, view_id: str, values: Mapping[str, Any]) -> dict[str, str]:
        """Submit a modal; returns the errors that it shows, by block."""
        return await self.interactions.submit_view(name, view_id, values)

    async def open_home(self, name: str, tab: str = "messages") -> None:
        self.people.open_home(name, tab)

    async def stop_stream(self, name: str, channel: str, thread_ts: str) -> None:
        self.people.stop_stream(name, channel, thread_ts)

    async def deliver(self, event: Json, **overrides: Any) -> Ack:
        """Any event, subscribed to or not; returns when it is acknowledged or given up."""
        return await self._parts.events.send(event, **overrides)

    async def deliver_body(self, body: Json) -> Ack:
        """Any body of the Events API, as it is."""
        return await self.delivery.send("events_api", body)

    def archive(self, name: str) -> None:
        """Archive a channel."""
        self.workspace.channels[name] = replace(self.workspace.channels[name], archived=True)
        self._changed()

    def remove_bot(self, name: str) -> None:
        """Take the bot out of a channel."""
        channel = self.workspace.channels[name]
        members = tuple(member for member in channel.members if member != self.bot_user_id)
        self.workspace.channels[name] = replace(channel, members=members)
        self._changed()

    def expire_streams(self) -> None:
        """Every open stream has lived its five minutes."""
        for channel in self.workspace.messages:
            for message in self.messages(channel):
                if message.get("streaming"):
                    message["started_at"] = float("-inf")
        if self._parts.streams.expire():
            self._changed()

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        await self._parts.socket_mode.disconnect(reason)

    # What came of it

    @property
    def calls(self) -> Sequence[Call]:
        return self._api.calls

    @property
    def transfers(self) -> Sequence[Transfer]:
        """Requests for files' bytes, and with them."""
        return self._parts.transfers.seen

    @property
    def acks(self) -> Sequence[Ack]:
        return self.delivery.acks

    @property
    def ephemerals(self) -> Sequence[Json]:
        return self.workspace.ephemerals

    @property
    def statuses(self) -> Mapping[tuple[str, str], Json]:
        return self.workspace.statuses

    @property
    def sessions(self) -> Mapping[tuple[str, str], str]:
        return self.workspace.sessions

    @property
    def connections(self) -> int:
        """How many Socket Mode clients are connected."""
        return self._parts.socket_mode.connections

    @property
    def pings(self) -> list[str]:
        """Live entities in what the bot wrote for everybody: people would have been pinged."""
        written = [(channel, message) for channel in self.workspace.messages for message in self.messages(channel)]
        return pings_in([message for _, message in written if message.get("bot_id") == self.bot_id], self.calls)

    @property
    def unfurled(self) -> list[Mapping[str, Any]]:
        """Posts with a link that Slack would have unfurled. Streams never are."""
        return unfurled_in(self.calls)

    def messages(self, channel: str, thread_ts: str | None = None) -> list[Json]:
        """A channel's messages, or a thread's; oldest first."""
        if thread_ts:
            return self.workspace.thread(channel, thread_ts)
        return sorted(self.workspace.messages[channel].values(), key=lambda message: str(message["ts"]))

    async def wait_for(self, predicate: Callable[["LocalSlack"], Any], timeout: float = 30) -> None:  # noqa: ASYNC109 - says more
        """Until `predicate(self)` is true; looked at after every change. Raises TimeoutError with what was said."""
        changed = asyncio.Event()
        self.watch(changed)
        try:
            async with asyncio.timeout(timeout):
                while not predicate(self):
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            said = [m.get("text") for c in self.workspace.messages for m in self.messages(c)][-12:]
            raise TimeoutError(f"not within {timeout} s; last messages: {said}, calls: {self.calls[-5:]}") from None
        finally:
            self.unwatch(changed)

    async def idle(self, timeout: float = 30) -> None:  # noqa: ASYNC109
        """Until every envelope is acknowledged or given up."""
        await self.wait_for(lambda slack: slack.delivery.idle, timeout)

    def watch(self, listener: asyncio.Event) -> None:
        """Set `listener` after every change, until `unwatch`."""
        self._listeners.add(listener)

    def unwatch(self, listener: asyncio.Event) -> None:
        self._listeners.discard(listener)

    # The server

    def _check_author(self, name: str, channel: str, ts: str, otherwise: str) -> None:
        message = self.workspace.messages.get(channel, {}).get(ts)
        if message is None:
            raise SlackError("message_not_found")
        if message["user"] != self.users[name].id:
            raise SlackError(otherwise)

    def _changed(self) -> None:
        for listener in self._listeners:
            listener.set()
        if self._snapshot:
            self._snapshot.changed()

    async def _expire(self) -> None:
        """Streams and statuses end by time alone."""
        while True:
            await asyncio.sleep(_TICK)
            if self._parts.streams.expire():
                self._changed()
            old = self.workspace.clock() - limits.STATUS_LIFETIME
            for key in [key for key, status in self.workspace.statuses.items() if status["at"] < old]:
                del self.workspace.statuses[key]
                self._changed()

    async def _call(self, request: web.Request) -> web.StreamResponse:
        self._parts.streams.expire()
        response = await self._api.answer(request)
        self._changed()
        return response

    def _connect(self, _: Json) -> Json:
        return {"url": f"ws://{self._address}/link?ticket={self._parts.socket_mode.ticket()}"}

    async def _respond(self, request: web.Request) -> web.Response:
        try:
            self._parts.response_urls.answer(request.match_info["token"], await request.json())
        except ValueError:
            return web.json_response(SlackError("invalid_json").body, status=400)
        except SlackError as error:
            return web.json_response(error.body, status=404 if error.code.endswith("_url") else 400)
        self._changed()
        return web.json_response({"ok": True})

    def set_delivery_http(self, url: str | None) -> None:
        """Deliver by signed HTTP to this URL, instead of over Socket Mode."""
        self._parts.http.url = url

    async def verify_url(self) -> bool:
        """Whether the app behind the HTTP URL answers Slack's challenge."""
        return await self._parts.http.verify_url()


def _echo(call: Json) -> Json:
    """https://docs.slack.dev/reference/methods/api.test"""
    if "error" in call:
        raise SlackError(call["error"], args=call)
    return {"args": call}
