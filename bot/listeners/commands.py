"""Slash commands. Slack never sends one from inside a thread (https://docs.slack.dev/interactivity/implementing-slash-commands);
their twins there are posts that begin with Bobbin's name."""

import time
from collections.abc import Awaitable
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.engine.commands import Commands, Place
from bot.engine.intake import Intake
from bot.errors import BobbinError
from bot.listeners.pickers import Blocks, assistant_picker, thread_picker
from bot.listeners.posts import team_of
from bot.render.notices import escape
from storage.base import StorageError

_USAGE = "I know `/assistant`, `/assistant list`, `/assistant use KEY`, `/assistant show KEY` and `/assistant help`."


def register(app: AsyncApp, intake: Intake, words: Commands) -> None:
    @app.command("/assistant")
    async def assistant(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _reply(ack, *await _guard(_assistant(words, body)))

    @app.command("/reset")
    async def reset(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _reply(ack, *await _guard(_reset(intake, words, body)))


def place_of(body: dict[str, Any]) -> Place:
    """Where a slash command was typed."""
    channel = str(body["channel_id"])
    surface = "im" if channel.startswith("D") else "channel"
    return Place(team_of(body), channel, str(body["user_id"]), surface)


def now() -> str:
    """This moment, as Slack writes timestamps."""
    return f"{time.time():.6f}"


async def _assistant(words: Commands, body: dict[str, Any]) -> tuple[str, Blocks | None]:
    place = place_of(body)
    verb, _, argument = str(body.get("text") or "").strip().partition(" ")
    if not verb:
        current = await words.who(place)
        return f"{current.name} answers here.", assistant_picker(current, words.all())
    return await _with_verb(words, place, verb.lower(), argument.strip().strip("`")), None


async def _with_verb(words: Commands, place: Place, verb: str, key: str) -> str:
    match verb:
        case "list":
            return words.list()
        case "help":
            return words.help()
        case "use" if key:
            return await words.use(place, key)
        case "show" if key:
            return words.show(key)
        case "use" | "show":
            return f"Which one? {words.list()}"
        case _:
            return _USAGE


async def _reset(intake: Intake, words: Commands, body: dict[str, Any]) -> tuple[str, Blocks | None]:
    threads = await words.resettable(place_of(body))
    if not threads:
        return "There is nothing to forget here: no thread of yours remembers anything.", None
    if len(threads) == 1:
        return await intake.reset(threads[0], now(), "in your thread here"), None
    return "Which thread shall I forget?", thread_picker(threads)


async def _guard(answering: Awaitable[tuple[str, Blocks | None]]) -> tuple[str, Blocks | None]:
    """A person gets a sentence, whatever happens."""
    try:
        return await answering
    except BobbinError as error:
        return error.sentence, None
    except StorageError:
        return "I cannot reach my memory right now, so nothing was changed. Please try again in a minute.", None


async def _reply(ack: AsyncAck, text: str, blocks: Blocks | None) -> None:
    await ack(text=escape(text), blocks=blocks, response_type="ephemeral")
