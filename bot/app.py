"""The composition root: the only place that names concrete classes. Read it from top to bottom."""

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import backends, listeners
from bot.engine.answer import Helpers
from bot.engine.assistants import Assistants, check_abilities, left_out, load_assistants, with_tokens
from bot.engine.attachments import Attachments
from bot.engine.calls import Calls
from bot.engine.commands import Commands
from bot.engine.folders import Folders
from bot.engine.intake import Intake
from bot.engine.ports import Backend, Storage, Usage
from bot.engine.runs import Runs
from bot.engine.scheduler import TaskScheduler
from bot.engine.waiting import Waiting
from bot.engine.worker import Worker
from bot.errors import SettingsError
from bot.listeners.afterwards import Afterwards
from bot.listeners.channel import SlackChannel
from bot.listeners.connection import identify, socket_mode
from bot.listeners.files import SlackFiles
from bot.listeners.http import serve_http
from bot.listeners.workspace import SlackWorkspace
from bot.manifest import manifest
from bot.render.governor import Governor
from bot.render.notices import SlackNotices
from bot.render.reply import SlackReplies
from bot.render.uploads import SlackUploads
from bot.settings import Settings, environment, load_settings
from bot.tools.toolbox import open_toolbox
from storage.sqlite import SqliteStorage

_log = structlog.get_logger()

#: Seconds for one call to Slack's Web API.
_SLACK_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
#: Seconds, besides its grace, that an earlier Bobbin has to let go of the database.
_HANDOVER = 5.0
#: Seconds between the words of the playground's own answers, so that one sees them arrive.
_TYPING = 0.03
#: The playground's own assistants, which have tools to try.
_TO_TRY = Path(__file__).parent / "playground" / "assistants"


@asynccontextmanager
async def running(settings: Settings, more: Path | None = None) -> AsyncIterator[str]:
    """Bobbin, connected and answering, with the settings' assistants and perhaps a folder of `more`; yields how Slack
    reaches it. On leaving it takes no more work, gives what runs some seconds, and keeps the rest for the next start.

    Raises SettingsError, AssistantFileError, SlackRefused or StorageError before anything was begun that others could
    see.
    """
    settings.check_for_serving()
    assistants = load_assistants(settings.bobbin_assistants, settings.bobbin_default_assistant, more)
    assistants = with_tokens(assistants, environment())
    async with AsyncExitStack() as stack:
        storage: Storage = await SqliteStorage.open(settings.database_url, owner_wait=settings.bobbin_grace + _HANDOVER)
        stack.push_async_callback(storage.close)
        backend: Backend = connect_backend(settings, storage)
        stack.push_async_callback(backend.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=_SLACK_TIMEOUT))

        slack = slack_client(settings, session, settings.bot_token)
        identity = await identify(slack)
        bot_user = str(identity["user_id"])
        governor = Governor(slack)
        notices = SlackNotices(governor)
        workspace = SlackWorkspace(governor, bot_user)
        toolbox = open_toolbox(
            settings.bobbin_tools, settings.bobbin_mcp, environment(), SlackChannel(governor, workspace)
        )
        stack.push_async_callback(toolbox.close)
        check_abilities(assistants, backend.name, backend.abilities, toolbox.known(), toolbox.servers())
        assistants = _fitted(assistants, backend)
        toolbox.start(assistants.all())
        commands = Commands(storage, assistants)
        waiting = Waiting(notices)
        stack.push_async_callback(waiting.close)
        helpers = Helpers(
            storage=storage,
            backend=backend,
            workspace=workspace,
            notices=notices,
            attachments=Attachments(SlackFiles(governor, session, settings.bot_token, settings.slack_api_url), backend),
            toolbox=toolbox,
            calls=Calls(storage, toolbox, notices, patience=settings.bobbin_approval_timeout),
            secret=hashlib.sha256(settings.bot_token.encode()).digest(),
        )
        folders = await open_folders()
        stack.push_async_callback(folders.close)
        uploads = SlackUploads(governor, session, settings.slack_api_url)
        replies = SlackReplies(governor, notices, uploads, bot_user)
        runs = Runs(helpers, replies, commands, folders, timeout=settings.bobbin_run_timeout)
        worker = Worker(storage, runs, commands, notices, waiting)
        scheduler = TaskScheduler(worker.drain)
        stack.push_async_callback(scheduler.close, settings.bobbin_grace)
        intake = Intake(storage, scheduler, commands, runs, waiting)

        app = bolt_app(settings, session, identity)
        afterwards = Afterwards()
        stack.push_async_callback(afterwards.close)
        listeners.register(app, intake, commands, assistants, governor, notices, afterwards, bot_user)
        where = await stack.enter_async_context(_reached(app, settings))
        left = await intake.take_up()
        _log.info("bobbin-started", backend=backend.name, assistants=len(assistants.all()), taken_up=left, by=where)
        yield where
        _log.info("bobbin-stopping", grace=settings.bobbin_grace)


def _fitted(assistants: Assistants, backend: Backend) -> Assistants:
    """The assistants as this backend can carry them; what they go without is logged."""
    for each in assistants.all():
        if missing := left_out(each, backend.abilities):
            _log.warning("tools-left-out", assistant=each.key, tools=missing, backend=backend.name)
    return assistants.fitted(backend.abilities)


def slack_client(settings: Settings, session: aiohttp.ClientSession, token: str | None) -> AsyncWebClient:
    """A Web API client on our session. It retries nothing by itself: the governor knows what may be repeated."""
    return AsyncWebClient(
        token=token, base_url=settings.slack_api_url.rstrip("/") + "/", session=session, retry_handlers=[]
    )


def connect_backend(settings: Settings, storage: Storage) -> Backend:
    return backends.connect(
        settings.bobbin_backend,
        settings.api_key,
        settings.openai_base_url,
        histories=storage,
        background=settings.bobbin_background,
        context_tokens=settings.bobbin_context_tokens,
    )


def bolt_app(settings: Settings, session: aiohttp.ClientSession, identity: AsyncSlackResponse) -> AsyncApp:
    async def authorize() -> AuthorizeResult:
        # Known since the start: asking Slack again would only delay the acknowledgement.
        return AuthorizeResult.from_auth_test_response(auth_test_response=identity, bot_token=settings.bot_token)

    return AsyncApp(
        name="bobbin",
        # One of Bolt's own names, whose talk bot/log.py turns down.
        logger=logging.getLogger("slack_bolt.app"),
        client=slack_client(settings, session, None),
        authorize=authorize,
        # listeners/http.py does it, before the body is read.
        request_verification_enabled=False,
        process_before_response=True,
        raise_error_for_unhandled_request=True,
        attaching_conversation_kwargs_enabled=False,
    )


async def open_folders() -> Folders:
    """Where files of runs lie. Raises SettingsError."""
    try:
        return await Folders.open()
    except OSError as error:
        raise SettingsError(
            f"TMPDIR: no folder for temporary files can be made ({_why(error)}); point it at one that is writable."
        ) from error


@asynccontextmanager
async def _reached(app: AsyncApp, settings: Settings) -> AsyncIterator[str]:
    """Open the way by which Slack reaches the app, and close it first when stopping."""
    if not settings.socket_mode:
        async with serve_http(app, settings.signing_secret, settings.port) as url:
            yield url
        return
    async with socket_mode(app, settings.app_token):
        yield "Socket Mode"


def _why(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()


async def used(settings: Settings, since: float) -> Sequence[Usage]:
    """What runs used since then (seconds since the epoch). Only reads, and needs no Bobbin that runs."""
    storage: Storage = await SqliteStorage.open_to_read(settings.database_url)
    try:
        return await storage.usage(since)
    finally:
        await storage.close()


@asynccontextmanager
async def playing(port: int, folder: Path) -> AsyncIterator[str]:
    """The playground: a local Slack, a local assistants server unless a model is configured, and Bobbin itself.

    Yields the page's URL. Everything said is kept in `folder`. Raises SettingsError where `port` is taken.
    """
    # Optional packages: bobbin[playground].
    from bot.playground.openai import LocalOpenAI
    from bot.playground.slack import LocalSlack

    chosen = load_settings()
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--folder: {folder} cannot be used ({_why(error)}); choose another.") from error
    async with AsyncExitStack() as stack:
        slack = LocalSlack(port=port, manifest=manifest(), state_file=folder / "slack.json")
        try:
            await stack.enter_async_context(slack)
        except OSError as error:
            raise SettingsError(
                f"port {port} cannot be used ({_why(error)}); choose another: make playground PORT=8066, or "
                "bobbin playground --port 8066."
            ) from error
        overrides: dict[str, Any] = {
            "slack_bot_token": slack.bot_token,
            "slack_app_token": slack.app_token,
            "slack_api_url": slack.api_url,
            "database_url": f"sqlite:///{folder / 'bobbin.db'}",
        }
        if not (chosen.openai_api_key or chosen.openai_base_url):
            server = LocalOpenAI(api_key=None, token_delay=_TYPING, state_file=folder / "openai.json")
            await stack.enter_async_context(server)
            overrides |= {"openai_base_url": server.url}
            if "bobbin_backend" not in chosen.model_fields_set:
                overrides |= {"bobbin_backend": "assistants"}
        # Whoever sets neither has not got to know tools yet: there is an assistant to try them with.
        new = not {"bobbin_assistants", "bobbin_tools"} & chosen.model_fields_set
        overrides |= {"bobbin_tools": "bot.tools.examples"} if new else {}
        await stack.enter_async_context(running(load_settings(**overrides), _TO_TRY if new else None))
        yield slack.page_url
