"""Slack in: parse, acknowledge, call the engine. No logic here.

Bolt runs these with `process_before_response`, so Slack is told "received" after a post is stored, not before:
an exception in a listener means no acknowledgement, and Slack sends the event again.
"""

from slack_bolt.async_app import AsyncApp

from bot.engine.assistants import Assistants
from bot.engine.commands import Commands
from bot.engine.intake import Intake
from bot.listeners import actions, answers, commands, events, home
from bot.listeners.afterwards import Afterwards
from bot.render.governor import Governor
from bot.render.notices import SlackNotices


def register(
    app: AsyncApp,
    intake: Intake,
    words: Commands,
    assistants: Assistants,
    governor: Governor,
    notices: SlackNotices,
    afterwards: Afterwards,
    bot_user: str,
) -> None:
    """Give a Bolt app all of Bobbin's listeners. `bot_user` is Bobbin's own user id."""
    events.register(app, intake, bot_user)
    commands.register(app, intake, words)
    actions.register(app, intake, words, afterwards)
    answers.register(app, intake, notices, afterwards)
    home.register(app, assistants, governor, afterwards)
    events.acknowledge_the_rest(app)
