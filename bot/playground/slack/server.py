"""The local Slack: one port with the Web API, Socket Mode and a page for people."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from bot.playground.slack import limits
from bot.playground.slack.delivery import Ack, Delivery
from bot.playground.slack.errors import SlackError
from bot.playground.slack.faults import Faults
from bot.playground.slack.methods import Methods
from bot.playground.slack.page import Page
from bot.playground.slack.people import People
from bot.playground.slack.streams import Streams
from bot.playground.slack.web_api import Call, WebApi
from bot.playground.slack.workspace import Channel, Person, Workspace
from bot.playground.snapshot import Snapshot

Json = dict[str, Any]

#: What would ping somebody, or be live, if the bot wrote it unescaped.
_LIVE = re.compile(r"<(?:[!@#])[^>]*>")
_LINK = re.compile(r"https?://")
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
        redeliver_after: Sequence[float] = (0.0, 60.0, 300.0),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`manifest` limits scopes and events to what an app asked for (None: everything). Times are in seconds."""
        self._host, self._port = host, port
        self._manifest = manifest
        self._signing_secret = signing_secret
        self._delivery_options = {"ack_timeout": ack_timeout, "redeliver_after": redeliver_after}
        self.bot_token, self.app_token, self.signing_secret = bot_token, app_token, signing_secret
        self.workspace = Workspace.new(clock)
        self.faults = Faults()
        granted = None if manifest is None else frozenset(manifest["oauth_config"]["scopes"]["bot"])
        methods = Methods(self.workspace, granted)
        self._streams = Streams(self.workspace, methods, stream_lifetime)
        self._api = WebApi(
            {
                **methods.table(),
                **self._streams.table(),
                "api.test": lambda _: {},
                "auth.test": lambda _: methods.auth_test(),
                "apps.connections.open": lambda _: {"url": f"ws://{self._address}/link"},
            },
            self.faults,
            clock,
            tokens={bot_token: "bot", app_token: "app"},
            granted=granted,
            enforce_rate_limits=enforce_rate_limits,
        )
        self._snapshot = Snapshot(state_file, self.workspace.taken) if state_file else None
        self._condition = asyncio.Condition()
        self._listeners: set[asyncio.Event] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopping = False

    async def start(self) -> None:
        """Open the port. Raises OSError where it is taken."""
        if self._snapshot and (state := await asyncio.to_thread(self._snapshot.load)):
            self.workspace.restore(state)
        self.delivery = Delivery(self._signing_secret, self.workspace.clock, self._changed, **self._delivery_options)  # type: ignore[arg-type]
        self.people = People(
            self.workspace, self.delivery, self._streams, self._manifest, self._response_url, self._changed
        )
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_get("/link", self.delivery.serve_socket)
        app.router.add_post("/response/{token}", self._respond)
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
        self._keep(self._expire())

    async def stop(self) -> None:
        self.stopping = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
        return f"{self._host}:{self._port}"

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

    async def post(self, name: str, channel: str, text: str, thread_ts: str | None = None, **extra: Any) -> str:
        """A person posts; returns the ts. Does not wait for the app."""
        return self.people.post(name, channel, text, thread_ts, **extra)

    async def edit(self, name: str, channel: str, ts: str, text: str) -> None:
        assert self.workspace.messages[channel][ts]["user"] == self.users[name].id
        self.people.edit(channel, ts, text)

    async def delete(self, name: str, channel: str, ts: str) -> None:
        assert self.workspace.messages[channel][ts]["user"] == self.users[name].id
        self.people.delete(channel, ts)

    async def command(self, name: str, channel: str, command: str, text: str = "") -> Any:
        return await self.people.command(name, channel, command, text)

    async def click(self, name: str, channel: str, message_ts: str, action_id: str, **chosen: Any) -> None:
        await self.people.click(name, channel, message_ts, action_id, **chosen)

    async def shortcut(self, name: str, channel: str, message_ts: str, callback_id: str) -> None:
        await self.people.shortcut(name, channel, message_ts, callback_id)

    async def open_home(self, name: str, tab: str = "messages") -> None:
        self.people.open_home(name, tab)

    async def stop_stream(self, name: str, channel: str, thread_ts: str) -> None:
        self.people.stop_stream(name, channel, thread_ts)

    async def deliver(self, event: Json, **overrides: Any) -> Any:
        """Any event, subscribed to or not; returns when it is acknowledged or given up."""
        manifest, self.people._manifest = self.people._manifest, None
        try:
            task = self.people.deliver(event, "", **overrides)
        finally:
            self.people._manifest = manifest
        assert task is not None
        return await task

    async def deliver_body(self, body: Json) -> Any:
        """Any body of the Events API, as it is."""
        return await self.delivery.send("events_api", body)

    def archive(self, name: str) -> None:
        """Archive a channel."""
        self.workspace.channels[name] = replace(self.workspace.channels[name], archived=True)

    def remove_bot(self, name: str) -> None:
        """Take the bot out of a channel."""
        channel = self.workspace.channels[name]
        members = tuple(member for member in channel.members if member != self.bot_user_id)
        self.workspace.channels[name] = replace(channel, members=members)

    def expire_streams(self) -> None:
        """Every open stream has lived its five minutes."""
        for channel in self.workspace.messages:
            for message in self.messages(channel):
                if message.get("streaming"):
                    message["started_at"] = float("-inf")
        self._streams.expire()

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        await self.delivery.disconnect(reason)

    # What came of it

    @property
    def calls(self) -> Sequence[Call]:
        return self._api.calls

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
    def pings(self) -> list[str]:
        """Live entities in what the bot wrote as Markdown: people would have been pinged."""
        said = [str(call.arguments.get("markdown_text", "")) for call in self.calls if call.response.get("ok")]
        return [entity for text in said for entity in _LIVE.findall(text)]

    @property
    def unfurled(self) -> list[Mapping[str, Any]]:
        """Posts with a link that Slack would have unfurled. Streams never are."""
        posts = [call.arguments for call in self.calls if call.method == "chat.postMessage"]
        quiet = ("unfurl_links", "unfurl_media")
        return [p for p in posts if _LINK.search(str(p)) and any(p.get(name) is not False for name in quiet)]

    def messages(self, channel: str, thread_ts: str | None = None) -> list[Json]:
        """A channel's messages, or a thread's; oldest first."""
        if thread_ts:
            return self.workspace.thread(channel, thread_ts)
        return sorted(self.workspace.messages[channel].values(), key=lambda message: str(message["ts"]))

    async def wait_for(self, predicate: Callable[["LocalSlack"], Any], timeout: float = 10) -> None:  # noqa: ASYNC109 - says more
        """Until `predicate(self)` is true; looked at after every change. Raises TimeoutError with what was said."""
        async with self._condition:
            try:
                async with asyncio.timeout(timeout):
                    await self._condition.wait_for(lambda: predicate(self))
            except TimeoutError:
                said = [m.get("text") for c in self.workspace.messages for m in self.messages(c)][-12:]
                raise TimeoutError(f"not within {timeout} s; last messages: {said}, calls: {self.calls[-5:]}") from None

    async def idle(self, timeout: float = 10) -> None:  # noqa: ASYNC109
        """Until every envelope is acknowledged or given up."""
        await self.wait_for(lambda slack: slack.delivery.idle, timeout)

    def watch(self, listener: asyncio.Event) -> None:
        """Set `listener` after every change, until `unwatch`."""
        self._listeners.add(listener)

    def unwatch(self, listener: asyncio.Event) -> None:
        self._listeners.discard(listener)

    # The server

    def _changed(self) -> None:
        for listener in self._listeners:
            listener.set()
        if self._snapshot:
            self._snapshot.changed()
        self._keep(self._notify())

    async def _notify(self) -> None:
        async with self._condition:
            self._condition.notify_all()

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self) -> None:
        """Streams and statuses end by time alone."""
        while True:
            await asyncio.sleep(_TICK)
            self._streams.expire()
            old = self.workspace.clock() - limits.STATUS_LIFETIME
            for key in [key for key, status in self.workspace.statuses.items() if status["at"] < old]:
                del self.workspace.statuses[key]
                self._changed()

    async def _call(self, request: web.Request) -> web.StreamResponse:
        self._streams.expire()
        response = await self._api.answer(request)
        posted = self.calls[-1]
        if posted.method == "chat.postMessage" and posted.response.get("ok"):
            self.workspace.statuses.pop((posted.arguments["channel"], posted.arguments.get("thread_ts", "")), None)
        self._changed()
        return response

    def _response_url(self, token: str) -> str:
        return f"http://{self._address}/response/{token}"

    async def _respond(self, request: web.Request) -> web.Response:
        try:
            taken = self.people.respond(request.match_info["token"], await request.json())
        except SlackError as error:
            return web.json_response(error.body, status=400)
        return web.json_response({"ok": True}) if taken else web.Response(status=404, text="used_url")

    def set_delivery_http(self, url: str | None) -> None:
        """Deliver by signed HTTP to this URL, instead of over Socket Mode."""
        self.delivery.http_url = url
