"""How a local Slack is put together: every part once, in the order in which they need each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.playground.slack.app_manifest import AppManifest
from bot.playground.slack.delivery import Delivery
from bot.playground.slack.directory import Directory
from bot.playground.slack.events import Events
from bot.playground.slack.faults import Faults
from bot.playground.slack.files import Files, Shelf
from bot.playground.slack.interactions import Interactions
from bot.playground.slack.methods import Methods
from bot.playground.slack.people import People
from bot.playground.slack.response_urls import ResponseUrls
from bot.playground.slack.signed_http import SignedHttp
from bot.playground.slack.socket_mode import SocketMode
from bot.playground.slack.streams import Streams
from bot.playground.slack.transfers import Transfers
from bot.playground.slack.views import Views
from bot.playground.slack.workspace import Workspace

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times in seconds. `address` gives the server's own URL once it is known; files are kept in `files_folder`, or
    in memory; `files_token` may read them, None where no token may.
    """

    signing_secret: str
    ack_timeout: float
    redeliver_after: Sequence[float]
    stream_lifetime: float
    address: Callable[[], str]
    files_folder: Path | None
    files_token: str | None
    faults: Faults


@dataclass(frozen=True, slots=True)
class Parts:
    socket_mode: SocketMode
    http: SignedHttp
    delivery: Delivery
    events: Events
    streams: Streams
    views: Views
    files: Files
    transfers: Transfers
    response_urls: ResponseUrls
    people: People
    interactions: Interactions
    #: The Web API's methods by name.
    methods: Mapping[str, Callable[[Json], Json]]


def assemble(workspace: Workspace, manifest: AppManifest, options: Options, changed: Callable[[], None]) -> Parts:
    """`changed` is called whenever something did."""
    clock = workspace.clock
    socket_mode = SocketMode(workspace.app_id, options.faults, changed)
    http = SignedHttp(options.signing_secret, clock, options.ack_timeout)
    delivery = Delivery(
        socket_mode,
        http,
        clock,
        changed,
        ack_timeout=options.ack_timeout,
        redeliver_after=options.redeliver_after,
    )
    events = Events(workspace, manifest, delivery)
    methods = Methods(workspace, manifest.scopes, events)
    streams = Streams(workspace, manifest, methods, options.stream_lifetime)
    views = Views(workspace, manifest)
    shelf = Shelf(options.files_folder)
    files = Files(workspace, methods, options.address, shelf)
    transfers = Transfers(workspace, files, shelf, options.faults, options.files_token)
    response_urls = ResponseUrls(workspace, methods, lambda token: f"{options.address()}/response/{token}")
    people = People(workspace, events, streams, files, views, changed)
    interactions = Interactions(workspace, manifest, delivery, views, response_urls, changed)
    directory = Directory(workspace, manifest.scopes)
    table = methods.table() | directory.table() | streams.table() | views.table() | files.table()
    return Parts(
        socket_mode,
        http,
        delivery,
        events,
        streams,
        views,
        files,
        transfers,
        response_urls,
        people,
        interactions,
        table,
    )
