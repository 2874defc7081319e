"""`bobbin doctor`: what is wrong, and what to do, before a person in Slack finds out."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.app import connect_backend, slack_client
from bot.engine.assistants import Assistants, load_assistants, problems_of, told_left_out, with_tokens
from bot.engine.ports import Backend
from bot.errors import BobbinError, SettingsError, SlackRefused
from bot.listeners.connection import identify, open_socket_mode
from bot.manifest import manifest
from bot.settings import Settings, environment, load_settings
from bot.tools.toolbox import open_toolbox
from storage.base import StorageError
from storage.sqlite import SqliteStorage


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was seen, and whether it is as it should be."""

    ok: bool
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{'ok    ' if self.ok else 'not ok'}  {self.what}: {self.detail}"


async def examine(say: Callable[[str], Any]) -> bool:
    """Say a line for each check, as it is made. Returns whether all is well."""
    well = True
    async for finding in _findings():
        say(str(finding))
        well = well and finding.ok
    say("All is well." if well else "Something is not ok; each such line says what to do.")
    return well


async def _findings() -> AsyncIterator[Finding]:
    try:
        settings = load_settings()
        settings.check_for_serving()
    except SettingsError as error:
        yield Finding(False, "settings", error.sentence)
        return
    yield Finding(True, "settings", f"backend {settings.bobbin_backend}, {_way_in(settings)}")
    if not settings.socket_mode:
        yield await _port(settings.port)
    yield await _database(settings)
    assistants = _assistants(settings)
    if isinstance(assistants, Finding):
        yield assistants
    else:
        keys = ", ".join(assistant.key for assistant in assistants.all())
        yield Finding(True, "assistants", f"{keys}; {assistants.default.key} answers by default")
    async for finding in _slack(settings):
        yield finding
    if isinstance(assistants, Assistants):
        async for finding in _backend(settings, assistants):
            yield finding


def _way_in(settings: Settings) -> str:
    return "Socket Mode" if settings.socket_mode else f"HTTP on port {settings.port}"


async def _port(port: int) -> Finding:
    with socket.socket() as probe:
        # As a server does it: a port that was left a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            if await _healthy(port):
                return Finding(True, "port", f"{port} is served by a running Bobbin")
            why = os.strerror(error.errno or 0).lower()
            return Finding(False, "port", f"{port} cannot be used ({why}); set PORT to another")
    return Finding(True, "port", f"{port} is free")


async def _healthy(port: int) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"http://127.0.0.1:{port}/healthz") as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _database(settings: Settings) -> Finding:
    try:
        storage = await SqliteStorage.open(settings.database_url)
        left = len(await storage.threads_with_work())
        await storage.close()
    except StorageError as error:
        return Finding(False, "database", str(error))
    return Finding(True, "database", f"{settings.database_url}, threads with work left: {left}")


def _assistants(settings: Settings) -> Assistants | Finding:
    try:
        loaded = load_assistants(settings.bobbin_assistants, settings.bobbin_default_assistant)
        return with_tokens(loaded, environment())
    except BobbinError as error:
        return Finding(False, "assistants", error.sentence)


async def _slack(settings: Settings) -> AsyncIterator[Finding]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        try:
            identity = await identify(slack_client(settings, session, settings.bot_token))
        except (SettingsError, SlackRefused) as error:
            yield Finding(False, "bot token", error.sentence)
            return
        yield Finding(True, "bot token", f"{identity.get('user')} in {identity.get('team')}")
        yield _scopes(identity)
        if settings.socket_mode:
            yield await _app_token(settings, session)


def _scopes(identity: AsyncSlackResponse) -> Finding:
    """What Slack granted (it says so on every answer) against what the manifest asks for."""
    headers = {name.lower(): value for name, value in identity.headers.items()}
    granted = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",") if scope.strip()}
    if not granted:
        return Finding(True, "scopes", "Slack does not say which are granted")
    missing = sorted(set(manifest()["oauth_config"]["scopes"]["bot"]) - granted)
    if missing:
        advice = "add them under OAuth & Permissions at api.slack.com/apps (or paste manifest.yml), then reinstall"
        return Finding(False, "scopes", f"missing {', '.join(missing)}; {advice}")
    return Finding(True, "scopes", f"all {len(granted)} granted")


async def _app_token(settings: Settings, session: aiohttp.ClientSession) -> Finding:
    try:
        await open_socket_mode(slack_client(settings, session, None), settings.app_token)
    except (SettingsError, SlackRefused) as error:
        return Finding(False, "app token", error.sentence)
    return Finding(True, "app token", "Socket Mode opens")


async def _backend(settings: Settings, assistants: Assistants) -> AsyncIterator[Finding]:
    # A check looks at the server, not at what was said.
    storage = await SqliteStorage.open("sqlite:///:memory:")
    backend = connect_backend(settings, storage)
    try:
        for check in await backend.check([assistant.model for assistant in assistants.all()]):
            yield Finding(check.problem is None, check.name, check.problem or "works")
        async for finding in _tools(settings, assistants, backend):
            yield finding
    finally:
        await backend.close()
        await storage.close()


async def _tools(settings: Settings, assistants: Assistants, backend: Backend) -> AsyncIterator[Finding]:
    """Function tools, MCP servers, and whether each assistant can have what it wants."""
    try:
        toolbox = open_toolbox(settings.bobbin_tools, settings.bobbin_mcp, environment(), None)
    except SettingsError as error:
        yield Finding(False, "tools", error.sentence)
        return
    try:
        if toolbox.known():
            yield Finding(True, "tools", ", ".join(sorted(toolbox.known())))
        for check in await toolbox.check():
            yield Finding(check.problem is None, check.name, check.problem or "works")
        for assistant in assistants.all():
            if without := told_left_out(assistant, backend.name, backend.abilities):
                yield Finding(True, f"assistant {assistant.key}", without)
            for problem in problems_of(assistant, backend.name, backend.abilities, toolbox.known(), toolbox.servers()):
                yield Finding(False, f"assistant {assistant.key}", problem)
            for problem in toolbox.astray(assistant):
                yield Finding(False, f"assistant {assistant.key}", problem)
    finally:
        await toolbox.close()
