"""Buttons under answers: Stop, Retry, Approve and Deny. What they change is stored before Slack is told "received"."""

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond

from bot.engine.calls import Decision
from bot.engine.intake import Intake
from bot.listeners.afterwards import Afterwards
from bot.listeners.posts import channel_of
from bot.render.messages import STOP
from bot.render.notices import APPROVE, DENY, RETRY, SlackNotices


def register(app: AsyncApp, intake: Intake, notices: SlackNotices, afterwards: Afterwards) -> None:
    async def retry(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        again = await intake.retry(_value(body))
        await ack()
        if again:
            ts, person = body["message"]["ts"], body["user"]["id"]
            afterwards(notices.retried(channel_of(body), str(ts), str(person)))
        else:
            afterwards(respond(text="That was tried again already.", replace_original=False))

    async def stop(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        stopped = intake.stop_run(_value(body))
        await ack()
        if not stopped:
            afterwards(respond(text="This answer has ended already.", replace_original=False))

    async def decide(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        run, _, call = _value(body).partition(":")
        approved = body["actions"][0]["action_id"] == APPROVE
        ts, person = str(body["message"]["ts"]), str(body["user"]["id"])
        verdict = await intake.decide(Decision(run, call, ts, person, approved))
        await ack()
        if verdict is not None:
            afterwards(respond(text=verdict.text, response_type="ephemeral", replace_original=verdict.over))

    app.action(RETRY)(retry)
    app.action(STOP)(stop)
    app.action(APPROVE)(decide)
    app.action(DENY)(decide)


def _value(body: dict[str, Any]) -> str:
    return str(body["actions"][0]["value"])
