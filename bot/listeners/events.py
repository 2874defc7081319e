"""Events: posts, their edits and deletions, and the native Stop."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp
from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.engine.intake import Intake
from bot.listeners.posts import arrival_from, deletion_from, edit_from, stopped_thread

_log = structlog.get_logger()


def register(app: AsyncApp, intake: Intake, bot_user: str) -> None:
    async def receive(body: dict[str, Any]) -> None:
        if arrival := arrival_from(body, bot_user):
            await intake.receive(arrival)

    async def changed(body: dict[str, Any]) -> None:
        if gone := deletion_from(body):
            await intake.deleted(gone.team, gone.channel, gone.ts)
        elif edit := edit_from(body, bot_user):
            await intake.edited(edit.team, edit.channel, edit.ts, edit.text, edit.edited_ts)

    async def deleted(body: dict[str, Any]) -> None:
        if gone := deletion_from(body):
            await intake.deleted(gone.team, gone.channel, gone.ts)

    async def stopped(body: dict[str, Any]) -> None:
        if thread := stopped_thread(body):
            intake.stop(thread)

    # Bolt runs the first listener that matches: the particular ones come first.
    app.event({"type": "message", "subtype": "message_changed"})(changed)
    app.event({"type": "message", "subtype": "message_deleted"})(deleted)
    app.event("message")(receive)
    app.event("app_mention")(receive)
    app.event("agent_session_stopped")(stopped)


class OursAlone(AsyncMiddleware):
    """Acknowledges what Bobbin has no use for: legacy dialogs and attachments, other apps' steps, Slack's notices.

    A class of its own because Bolt looks into a payload before it calls a function, and some of these it cannot read.
    """

    async def async_process(
        self,
        *,
        req: AsyncBoltRequest,
        resp: BoltResponse,  # noqa: ARG002 - Bolt passes it by name
        next: Callable[[], Awaitable[BoltResponse]],  # noqa: A002 - Bolt's name
    ) -> BoltResponse:
        kind = req.body.get("type")
        if kind == "app_rate_limited":
            # Slack drops this workspace's events for the rest of a minute
            # (https://docs.slack.dev/reference/events/app_rate_limited).
            _log.warning("slack-drops-events", minute=req.body.get("minute_rate_limited"))
        ours = kind in ("event_callback", "message_action") or "command" in req.body or bool(req.body.get("actions"))
        return await next() if ours else BoltResponse(status=200, body="")


def acknowledge_the_rest(app: AsyncApp) -> None:
    """Tell Slack "received" for events that Bobbin has no use for too: unacknowledged, they come again, and an app
    that leaves most of them so loses its subscription (https://docs.slack.dev/apis/events-api#failure-limits)."""
    app.use(OursAlone())

    @app.error
    async def on_error(error: Exception, body: dict[str, Any]) -> BoltResponse:
        if isinstance(error, BoltUnhandledRequestError):
            event = body.get("event") or {}
            _log.debug("event-ignored", type=body.get("type"), event_type=event.get("type"))
            return BoltResponse(status=200, body="")
        _log.error("listener-failed", type=body.get("type"), exc_info=error)
        return BoltResponse(status=500, body="")
