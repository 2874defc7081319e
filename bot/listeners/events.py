"""Events: posts, their edits and deletions, and the native Stop."""

from typing import Any

import structlog
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp
from slack_bolt.error import BoltUnhandledRequestError

from bot.engine.intake import Intake
from bot.listeners.posts import arrival_from, deletion_from, edit_from, stopped_thread

_log = structlog.get_logger()


def register(app: AsyncApp, intake: Intake, bot_user: str) -> None:
    async def receive(body: dict[str, Any]) -> None:
        if arrival := arrival_from(body, bot_user):
            await intake.receive(arrival)

    async def edited(body: dict[str, Any]) -> None:
        if edit := edit_from(body, bot_user):
            await intake.edited(edit.team, edit.channel, edit.ts, edit.text, edit.edited_ts)

    async def deleted(body: dict[str, Any]) -> None:
        if gone := deletion_from(body):
            await intake.deleted(gone.team, gone.channel, gone.ts)

    async def stopped(body: dict[str, Any]) -> None:
        if thread := stopped_thread(body):
            intake.stop(thread)

    # Bolt runs the first listener that matches: the particular ones come first.
    app.event({"type": "message", "subtype": "message_changed"})(edited)
    app.event({"type": "message", "subtype": "message_deleted"})(deleted)
    app.event("message")(receive)
    app.event("app_mention")(receive)
    app.event("agent_session_stopped")(stopped)


def acknowledge_the_rest(app: AsyncApp) -> None:
    """Tell Slack "received" for what Bobbin has no use for too: unacknowledged, it comes again, and an app that
    leaves most events so loses its subscription (https://docs.slack.dev/apis/events-api#failure-limits)."""

    @app.error
    async def on_error(error: Exception, body: dict[str, Any]) -> BoltResponse:
        if isinstance(error, BoltUnhandledRequestError):
            event = body.get("event") or {}
            _log.debug("event-ignored", type=body.get("type"), event=event.get("type"))
            return BoltResponse(status=200, body="")
        _log.error("listener-failed", type=body.get("type"), exc_info=error)
        return BoltResponse(status=500, body="")
