"""A person opens their direct message with Bobbin: show what they could ask."""

from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.engine.assistants import Assistants
from bot.errors import SlackRefused
from bot.render.governor import Governor

_log = structlog.get_logger()


def register(app: AsyncApp, assistants: Assistants, governor: Governor) -> None:
    async def acknowledge(ack: AsyncAck) -> None:
        await ack()

    async def suggest(event: dict[str, Any]) -> None:
        """Suggested prompts above the composer (https://docs.slack.dev/ai/migrating-to-agent-messaging)."""
        prompts = [
            {"title": prompt.title, "message": prompt.message} for prompt in assistants.default.suggested_prompts
        ]
        if event.get("tab") != "messages" or not event.get("channel") or not prompts:
            return
        try:
            await governor.call(
                "assistant.threads.setSuggestedPrompts", {"channel_id": event["channel"], "prompts": prompts}
            )
        except SlackRefused as error:
            _log.info("prompts-refused", error=error.code)

    app.event("app_home_opened")(ack=acknowledge, lazy=[suggest])
