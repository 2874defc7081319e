"""Buttons, selects and message shortcuts. Each is acknowledged first; the work follows as Bolt's lazy listener."""

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond

from bot.engine.commands import Commands, Place
from bot.engine.intake import Intake
from bot.engine.ports import ThreadKey
from bot.errors import CommandError
from bot.listeners.commands import now
from bot.listeners.pickers import CHOOSE, RESET, assistant_picker
from bot.render.notices import RETRY, escape

#: Message shortcuts (manifest.yml names them too).
RESET_SHORTCUT, SWITCH_SHORTCUT = "reset_thread", "switch_assistant"


def register(app: AsyncApp, intake: Intake, words: Commands) -> None:
    async def acknowledge(ack: AsyncAck) -> None:
        await ack()

    async def choose(body: dict[str, Any], respond: AsyncRespond) -> None:
        key = body["actions"][0]["selected_option"]["value"]
        try:
            answer = await words.use(_place(body), key)
        except CommandError as error:
            answer = error.sentence
        await respond(text=escape(answer), replace_original=True)

    async def reset(body: dict[str, Any], respond: AsyncRespond) -> None:
        place = _place(body)
        thread = ThreadKey(place.team, place.channel, str(body["actions"][0]["value"]))
        await respond(text=escape(await words.reset(thread, now())), replace_original=True)

    async def retry(body: dict[str, Any], respond: AsyncRespond) -> None:
        if await intake.retry(str(body["actions"][0]["value"])):
            await respond(text=f"Tried again by <@{body['user']['id']}>.", replace_original=True)
        else:
            await respond(text="That was tried again already.", replace_original=False)

    async def reset_shortcut(body: dict[str, Any], respond: AsyncRespond) -> None:
        await respond(text=escape(await words.reset(_thread(body), now())))

    async def switch_shortcut(body: dict[str, Any], respond: AsyncRespond) -> None:
        place = _place(body, _thread(body))
        current = await words.who(place)
        await respond(text=f"{current.name} answers here.", blocks=assistant_picker(current, words.all(), place.thread))

    app.action(CHOOSE)(ack=acknowledge, lazy=[choose])
    app.action(RESET)(ack=acknowledge, lazy=[reset])
    app.action(RETRY)(ack=acknowledge, lazy=[retry])
    app.message_shortcut(RESET_SHORTCUT)(ack=acknowledge, lazy=[reset_shortcut])
    app.message_shortcut(SWITCH_SHORTCUT)(ack=acknowledge, lazy=[switch_shortcut])


def _place(body: dict[str, Any], thread: ThreadKey | None = None) -> Place:
    """Where somebody clicked; a picker for one thread carries its ts in the block's id."""
    team, channel = str(body["team"]["id"]), str(body["channel"]["id"])
    if thread is None and body.get("actions"):
        kind, _, ts = str(body["actions"][0].get("block_id") or "").partition(":")
        thread = ThreadKey(team, channel, ts) if kind == "thread" else None
    return Place(team, channel, str(body["user"]["id"]), "im" if channel.startswith("D") else "channel", thread)


def _thread(body: dict[str, Any]) -> ThreadKey:
    """The thread of the message that a shortcut was used on."""
    message = body["message"]
    return ThreadKey(str(body["team"]["id"]), str(body["channel"]["id"]), message.get("thread_ts") or message["ts"])
