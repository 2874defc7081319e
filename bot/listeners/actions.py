"""Pickers and message shortcuts. What they change is stored before Slack is told "received"; the answer, which
goes to Slack's response_url, comes after."""

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond

from bot.engine.commands import Commands, Place
from bot.engine.intake import Intake
from bot.engine.ports import ThreadKey
from bot.errors import CommandError
from bot.listeners.afterwards import Afterwards
from bot.listeners.commands import now
from bot.listeners.pickers import CHOOSE, RESET, assistant_picker
from bot.listeners.posts import channel_of, team_of
from bot.render.notices import escape

#: Message shortcuts (manifest.yml names them too).
RESET_SHORTCUT, SWITCH_SHORTCUT = "reset_thread", "switch_assistant"


def register(app: AsyncApp, intake: Intake, words: Commands, afterwards: Afterwards) -> None:
    async def choose(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        try:
            answer = await words.use(_place(body), body["actions"][0]["selected_option"]["value"])
        except CommandError as error:
            answer = error.sentence
        await ack()
        afterwards(respond(text=escape(answer), replace_original=True))

    async def reset(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        place = _place(body)
        thread = ThreadKey(place.team, place.channel, str(body["actions"][0]["value"]))
        answer = await intake.reset(thread, now(), "in the thread that you chose")
        await ack()
        afterwards(respond(text=escape(answer), replace_original=True))

    async def reset_shortcut(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        answer = await intake.reset(_thread(body), now())
        await ack()
        afterwards(respond(text=escape(answer)))

    async def switch_shortcut(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        place = _place(body, _thread(body))
        current = await words.who(place)
        await ack()
        picker = assistant_picker(current, words.all(), place.thread)
        afterwards(respond(text=f"{escape(current.name)} answers here.", blocks=picker))

    app.action(CHOOSE)(choose)
    app.action(RESET)(reset)
    app.message_shortcut(RESET_SHORTCUT)(reset_shortcut)
    app.message_shortcut(SWITCH_SHORTCUT)(switch_shortcut)


def _place(body: dict[str, Any], thread: ThreadKey | None = None) -> Place:
    """Where somebody clicked; a picker for one thread carries its ts in the block's id."""
    team, channel = team_of(body), channel_of(body)
    if thread is None and body.get("actions"):
        kind, _, ts = str(body["actions"][0].get("block_id") or "").partition(":")
        thread = ThreadKey(team, channel, ts) if kind == "thread" else None
    return Place(team, channel, str(body["user"]["id"]), "im" if channel.startswith("D") else "channel", thread)


def _thread(body: dict[str, Any]) -> ThreadKey:
    """The thread of the message that a shortcut was used on."""
    message = body["message"]
    return ThreadKey(team_of(body), channel_of(body), message.get("thread_ts") or message["ts"])
