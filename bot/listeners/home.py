"""A person opens their direct message with Bobbin: show what they could ask."""

from typing import Any

import structlog
from slack_bolt.async_app import AsyncApp

from bot.engine.assistants import Assistants
from bot.errors import SlackRefused
from bot.listeners.afterwards import Afterwards
from bot.render.governor import Governor

_log = structlog.get_logger()


def register(app: AsyncApp, assistants: Assistants, governor: Governor, afterwards: Afterwards) -> None:
    async def opened(event: dict[str, Any]) -> None:
        """Suggested prompts above the composer (https://docs.slack.dev/ai/migrating-to-agent-messaging)."""
        prompts = [
            {"title": prompt.title, "message": prompt.message} for prompt in assistants.default.suggested_prompts
        ]
        if event.get("tab") == "messages" and event.get("channel") and prompts:
            afterwards(suggest({"channel_id": event["channel"], "prompts": prompts}))

    async def suggest(arguments: dict[str, Any]) -> None:
        try:
            await governor.call("assistant.threads.setSuggestedPrompts", arguments)
        except SlackRefused as error:
            _log.info("prompts-refused", error=error.code)

    app.event("app_home_opened")(opened)
