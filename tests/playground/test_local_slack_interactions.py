"""Commands, clicks, shortcuts and views of the local Slack, with the real slack_bolt as the app."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import LocalSlack
from bot.playground.slack.errors import SlackError
from tests.playground.slack_client import (
    Clock,
    app_of,
    bolt_handler,
    client_of,
    connected,
    manifest_of,
    refused,
    served,
)

GENERAL = "C0GENERAL"
PLAIN: dict[str, Any] = {"type": "plain_text", "text": "Go"}
OPTIONS: list[dict[str, Any]] = [{"text": PLAIN, "value": value} for value in ("1", "2")]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[LocalSlack]:
    async with LocalSlack(clock=clock) as local:
        yield local


@pytest.fixture
def client(slack: LocalSlack) -> AsyncWebClient:
    return client_of(slack)


@pytest.fixture
def app(slack: LocalSlack) -> AsyncApp:
    return app_of(slack)


@pytest.fixture
async def bodies(slack: LocalSlack, app: AsyncApp) -> AsyncIterator[list[dict[str, Any]]]:
    """What the app was sent; it acknowledges everything with nothing."""
    seen: list[dict[str, Any]] = []

    async def take(ack: AsyncAck, body: dict[str, Any]) -> None:
        seen.append(body)
        await ack()

    app.command("/x")(take)
    app.action("go")(take)
    app.shortcut("mark")(take)
    app.view("form")(take)
    app.view_closed("form")(take)
    async with connected(slack, app):
        yield seen


async def respond(url: str, **answer: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, json=answer) as response:
        return response.status, await response.text()


# Commands


async def test_a_command_and_its_answer(slack: LocalSlack, app: AsyncApp) -> None:
    @app.command("/add")
    async def add(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(text=f"{body['text']} = 2, {body['channel_name']}", response_type="ephemeral")

    async with connected(slack, app):
        assert (await slack.command("ada", GENERAL, "/add", "1+1"))["text"] == "1+1 = 2, general"
        await slack.command("ada", slack.dm("ada"), "/add", "1+1")
    assert [(shown["to"], shown["text"]) for shown in slack.ephemerals] == [
        ("U0ADA", "1+1 = 2, general"),
        ("U0ADA", "1+1 = 2, directmessage"),
    ]


async def test_a_command_may_answer_in_the_channel(slack: LocalSlack, app: AsyncApp) -> None:
    @app.command("/say")
    async def say(ack: AsyncAck) -> None:
        await ack(text="for all", response_type="in_channel")

    async with connected(slack, app):
        await slack.command("ada", GENERAL, "/say")
    assert [message["text"] for message in slack.messages(GENERAL)] == ["for all"]
    assert not slack.ephemerals


async def test_a_command_that_nobody_takes_says_so() -> None:
    async with LocalSlack(ack_timeout=0.05) as slack:
        assert await slack.command("ada", GENERAL, "/x") is None
        assert slack.ephemerals[0]["text"] == "/x failed because the app did not respond."


async def test_a_command_that_the_manifest_does_not_name_is_none() -> None:
    manifest = manifest_of("commands", slash_commands=[{"command": "/known"}])
    async with LocalSlack(manifest=manifest) as slack:
        await slack.command("ada", GENERAL, "/unknown")
        assert slack.ephemerals[0]["text"] == "/unknown is not a valid command."
        assert not slack.acks


async def test_commands_over_http() -> None:
    async with LocalSlack() as slack:
        app = app_of(slack)

        @app.command("/add")
        async def add(ack: AsyncAck) -> None:
            await ack("two")

        async with served(bolt_handler(app)) as url:
            slack.set_delivery_http(url)
            await slack.command("ada", GENERAL, "/add")
        assert slack.ephemerals[0]["text"] == "two"


# response_url


async def test_a_response_url_takes_five_answers(slack: LocalSlack, bodies: list[dict[str, Any]]) -> None:
    await slack.command("ada", GENERAL, "/x")
    url = bodies[0]["response_url"]
    for number in range(5):
        assert (await respond(url, text=str(number)))[0] == 200
    status, text = await respond(url, text="six")
    assert (status, "used_url" in text) == (404, True)
    assert [shown["text"] for shown in slack.ephemerals] == ["0", "1", "2", "3", "4"]


async def test_a_response_url_lives_half_an_hour(slack: LocalSlack, bodies: list[dict[str, Any]], clock: Clock) -> None:
    await slack.command("ada", GENERAL, "/x")
    url = bodies[0]["response_url"]
    clock.now += 1_799
    assert (await respond(url, text="in time"))[0] == 200
    clock.now += 2
    assert "expired_url" in (await respond(url, text="late"))[1]
    assert "invalid_url" in (await respond(f"{url}x", text="stray"))[1]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({}, "no_text"),
        ({"text": "x", "response_type": "loud"}, "invalid_response_type"),
        ({"text": "x", "blocks": [{"type": "song"}]}, "invalid_blocks"),
    ],
)
async def test_bad_answers_are_refused_and_not_counted(
    slack: LocalSlack, bodies: list[dict[str, Any]], answer: dict[str, Any], code: str
) -> None:
    await slack.command("ada", GENERAL, "/x")
    for _ in range(6):
        status, text = await respond(bodies[0]["response_url"], **answer)
        assert (status, code in text) == (400, True)
    assert (await respond(bodies[0]["response_url"], text="good"))[0] == 200


# Clicks and shortcuts

BUTTONS: list[dict[str, Any]] = [
    {"type": "section", "text": PLAIN, "accessory": {"type": "button", "text": PLAIN, "action_id": "go", "value": "1"}},
    {"type": "section", "text": PLAIN, "accessory": {"type": "button", "text": PLAIN, "action_id": "go", "value": "2"}},
]
SELECT: list[dict[str, Any]] = [
    {"type": "actions", "elements": [{"type": "static_select", "action_id": "go", "options": OPTIONS}]}
]


async def test_a_click_carries_the_message_and_may_replace_it(
    slack: LocalSlack, client: AsyncWebClient, bodies: list[dict[str, Any]]
) -> None:
    root = await slack.post("ada", GENERAL, "root")
    posted = await client.chat_postMessage(channel=GENERAL, thread_ts=root, text="x", blocks=BUTTONS)
    await slack.click("ada", GENERAL, posted["ts"], "go", value="2")
    body = bodies[0]
    assert (body["actions"][0]["value"], body["actions"][0]["type"]) == ("2", "button")
    assert (body["message"]["ts"], body["container"]["thread_ts"]) == (posted["ts"], root)
    assert body["team"]["id"] == slack.team_id
    await respond(body["response_url"], text="done", replace_original=True)
    assert [message.get("blocks") for message in slack.messages(GENERAL, root)][1] is None
    assert slack.messages(GENERAL, root)[1]["text"] == "done"
    await respond(body["response_url"], delete_original=True)
    assert len(slack.messages(GENERAL, root)) == 1


async def test_ephemeral_messages_are_clicked_by_their_reader_only(
    slack: LocalSlack, client: AsyncWebClient, bodies: list[dict[str, Any]]
) -> None:
    shown = await client.chat_postEphemeral(channel=GENERAL, user="U0ADA", text="x", blocks=SELECT)
    with pytest.raises(SlackError, match="message_not_found"):
        await slack.click("grace", GENERAL, shown["message_ts"], "go", selected_option=OPTIONS[0])
    await slack.click("ada", GENERAL, shown["message_ts"], "go", selected_option=OPTIONS[1])
    assert bodies[0]["actions"][0]["selected_option"]["value"] == "2"
    assert "message" not in bodies[0]
    assert bodies[0]["container"]["is_ephemeral"]
    await respond(bodies[0]["response_url"], delete_original=True)
    assert not slack.ephemerals


async def test_only_what_is_there_can_be_clicked(
    slack: LocalSlack, client: AsyncWebClient, bodies: list[dict[str, Any]]
) -> None:
    posted = await client.chat_postMessage(channel=GENERAL, text="x", blocks=SELECT)
    other = {"text": PLAIN, "value": "3"}
    with pytest.raises(SlackError, match="no_such_option"):
        await slack.click("ada", GENERAL, posted["ts"], "go", selected_option=other)
    with pytest.raises(SlackError, match="no_such_action"):
        await slack.click("ada", GENERAL, posted["ts"], "stop")
    assert not bodies


async def test_a_message_shortcut_carries_its_message(slack: LocalSlack, bodies: list[dict[str, Any]]) -> None:
    root = await slack.post("ada", GENERAL, "root")
    ts = await slack.post("grace", GENERAL, "reply", thread_ts=root)
    await slack.shortcut("ada", GENERAL, ts, "mark")
    assert (bodies[0]["type"], bodies[0]["message"]["thread_ts"]) == ("message_action", root)
    await respond(bodies[0]["response_url"], text="noted")
    assert slack.ephemerals[0]["thread_ts"] == root


async def test_shortcuts_and_clicks_are_the_manifests() -> None:
    manifest = manifest_of("chat:write")
    manifest["settings"]["interactivity"]["is_enabled"] = False
    async with LocalSlack(manifest=manifest) as slack:
        ts = await slack.post("ada", GENERAL, "hi")
        with pytest.raises(SlackError, match="no_such_shortcut"):
            await slack.shortcut("ada", GENERAL, ts, "mark")
        posted = await client_of(slack).chat_postMessage(channel=GENERAL, text="x", blocks=SELECT)
        with pytest.raises(SlackError, match="interactivity_is_off"):
            await slack.click("ada", GENERAL, posted["ts"], "go")


async def test_a_click_that_nobody_takes_says_so() -> None:
    async with LocalSlack(ack_timeout=0.05) as slack:
        posted = await client_of(slack).chat_postMessage(channel=GENERAL, text="x", blocks=SELECT)
        with pytest.raises(SlackError, match="app_did_not_respond"):
            await slack.click("ada", GENERAL, posted["ts"], "go")


async def test_bolts_respond_works(slack: LocalSlack, app: AsyncApp, client: AsyncWebClient) -> None:
    @app.action("go")
    async def go(ack: AsyncAck, respond: AsyncRespond) -> None:
        await ack()
        await respond(text="replaced", replace_original=True)

    async with connected(slack, app):
        posted = await client.chat_postMessage(channel=GENERAL, text="x", blocks=SELECT)
        await slack.click("ada", GENERAL, posted["ts"], "go", selected_option=OPTIONS[0])
        await slack.wait_for(lambda each: each.messages(GENERAL)[0]["text"] == "replaced")


# Views

INPUT: dict[str, Any] = {
    "type": "input",
    "block_id": "b",
    "label": PLAIN,
    "element": {"type": "plain_text_input", "action_id": "a"},
}
FORM: dict[str, Any] = {"type": "modal", "callback_id": "form", "title": PLAIN, "submit": PLAIN, "blocks": [INPUT]}
FILLED: dict[str, Any] = {"b": {"a": {"type": "plain_text_input", "value": "hello"}}}


async def trigger(slack: LocalSlack, bodies: list[dict[str, Any]]) -> str:
    await slack.command("ada", GENERAL, "/x")
    return str(bodies[-1]["trigger_id"])


async def test_a_trigger_counts_once_and_for_three_seconds(
    slack: LocalSlack, client: AsyncWebClient, bodies: list[dict[str, Any]], clock: Clock
) -> None:
    fresh = await trigger(slack, bodies)
    await client.views_open(trigger_id=fresh, view=FORM)
    assert await refused(client.views_open(trigger_id=fresh, view=FORM)) == "exchanged_trigger_id"
    assert await refused(client.views_open(trigger_id="1.2.3", view=FORM)) == "invalid_trigger_id"
    old = await trigger(slack, bodies)
    clock.now += 3.5
    assert await refused(client.views_open(trigger_id=old, view=FORM)) == "expired_trigger_id"


async def test_a_form_is_filled_in_and_closes(
    slack: LocalSlack, client: AsyncWebClient, bodies: list[dict[str, Any]]
) -> None:
    view = (await client.views_open(trigger_id=await trigger(slack, bodies), view=FORM))["view"]
    assert await slack.submit_view("ada", view["id"], {}) == {"b": "Please complete this required field."}
    assert await slack.submit_view("ada", view["id"], FILLED) == {}
    assert bodies[-1]["view"]["state"]["values"] == FILLED
    assert bodies[-1]["view"]["callback_id"] == "form"
    with pytest.raises(SlackError, match="not_found"):
        await slack.submit_view("ada", view["id"], FILLED)


@pytest.mark.parametrize(
    ("answer", "errors", "depth"),
    [
        ({"response_action": "errors", "errors": {"b": "no"}}, {"b": "no"}, 1),
        ({"response_action": "update", "view": FORM}, {}, 1),
        ({"response_action": "push", "view": FORM}, {}, 2),
        ({"response_action": "clear"}, {}, 0),
    ],
)
async def test_a_submission_is_answered(
    slack: LocalSlack,
    app: AsyncApp,
    client: AsyncWebClient,
    answer: dict[str, Any],
    errors: dict[str, str],
    depth: int,
) -> None:
    @app.view("form")
    async def submitted(ack: AsyncAck) -> None:
        await ack(**answer)

    async with connected(slack, app):
        view = (await client.views_open(trigger_id=slack.views.trigger("U0ADA"), view=FORM))["view"]
        assert await slack.submit_view("ada", view["id"], FILLED) == errors
    assert len(slack.views.stacks.get("U0ADA", [])) == depth


async def test_modals_lie_three_deep_at_most(slack: LocalSlack, client: AsyncWebClient) -> None:
    first = (await client.views_open(trigger_id=slack.views.trigger("U0ADA"), view=FORM))["view"]
    second = (await client.views_push(trigger_id=slack.views.trigger("U0ADA"), view=FORM))["view"]
    assert (second["root_view_id"], second["previous_view_id"]) == (first["id"], first["id"])
    await client.views_push(trigger_id=slack.views.trigger("U0ADA"), view=FORM)
    fourth = client.views_push(trigger_id=slack.views.trigger("U0ADA"), view=FORM)
    assert await refused(fourth) == "push_limit_reached"
    assert await refused(client.views_push(trigger_id=slack.views.trigger("U0GRACE"), view=FORM)) == "not_found"


async def test_closing_is_told_where_it_was_asked_for(
    slack: LocalSlack, client: AsyncWebClient, bodies: list[dict[str, Any]]
) -> None:
    for notify, told in ((False, 0), (True, 1)):
        asked = {**FORM, "notify_on_close": notify}
        view = (await client.views_open(trigger_id=slack.views.trigger("U0ADA"), view=asked))["view"]
        await slack.interactions.close_view("ada", view["id"])
        assert [body["type"] for body in bodies] == ["view_closed"] * told


async def test_views_are_updated_by_id_and_hash(slack: LocalSlack, client: AsyncWebClient) -> None:
    named = {**FORM, "external_id": "mine"}
    view = (await client.views_open(trigger_id=slack.views.trigger("U0ADA"), view=named))["view"]
    assert (await client.views_update(external_id="mine", view=named))["view"]["id"] == view["id"]
    stale = client.views_update(view_id=view["id"], hash=view["hash"], view=FORM)
    assert await refused(stale) == "hash_conflict"
    assert await refused(client.views_update(view_id="V0", view=FORM)) == "not_found"
    twin = client.views_open(trigger_id=slack.views.trigger("U0GRACE"), view=named)
    assert await refused(twin) == "duplicate_external_id"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": "home"}, "invalid_arguments"),
        ({"title": {"type": "plain_text", "text": "x" * 25}}, "invalid_blocks"),
        ({"title": None}, "invalid_blocks"),
        ({"blocks": []}, "invalid_arguments"),
        ({"blocks": [{"type": "divider"}] * 101}, "msg_blocks_too_many"),
        ({"private_metadata": "x" * 3_001}, "invalid_arguments"),
        ({"callback_id": "x" * 256}, "invalid_arguments"),
        ({"submit": None}, "invalid_arguments"),
        ({"blocks": [{"type": "section", "text": {**PLAIN, "text": "x" * 2_600}}] * 99}, "view_too_large"),
    ],
)
async def test_views_are_checked(slack: LocalSlack, client: AsyncWebClient, change: dict[str, Any], code: str) -> None:
    view = {name: value for name, value in {**FORM, **change}.items() if value is not None}
    trigger_id = slack.views.trigger("U0ADA")
    assert await refused(client.views_open(trigger_id=trigger_id, view=view)) == code
    assert (await client.views_open(trigger_id=trigger_id, view=FORM))["ok"]  # a refused view costs no trigger


async def test_home_tabs(slack: LocalSlack, app: AsyncApp, client: AsyncWebClient) -> None:
    opened: list[dict[str, Any]] = []

    @app.event("app_home_opened")
    async def home(event: dict[str, Any]) -> None:
        opened.append(event)

    clicked: list[dict[str, Any]] = []

    @app.action("go")
    async def go(ack: AsyncAck, body: dict[str, Any]) -> None:
        clicked.append(body)
        await ack()

    view = (await client.views_publish(user_id="U0ADA", view={"type": "home", "blocks": BUTTONS[:1]}))["view"]
    assert await refused(client.views_publish(user_id="U0ADA", view=FORM)) == "invalid_arguments"
    async with connected(slack, app):
        await slack.open_home("ada", "home")
        await slack.open_home("ada", "messages")
        await slack.idle()
        await slack.interactions.click_view("ada", view["id"], "go")
    assert {event["tab"]: "view" in event for event in opened} == {"home": True, "messages": False}
    assert clicked[0]["container"] == {"type": "view", "view_id": view["id"]}


async def test_a_home_tab_that_is_off_is_not_published() -> None:
    async with LocalSlack(manifest=manifest_of("chat:write")) as slack:
        publish = client_of(slack).views_publish(user_id="U0ADA", view={"type": "home", "blocks": BUTTONS})
        assert await refused(publish) == "not_enabled"


async def test_options_are_suggested(slack: LocalSlack, app: AsyncApp, client: AsyncWebClient) -> None:
    @app.options("pick")
    async def pick(ack: AsyncAck, payload: dict[str, Any]) -> None:
        await ack(options=[{"text": {**PLAIN, "text": payload["value"]}, "value": "1"}])

    select = {"type": "external_select", "action_id": "pick", "placeholder": PLAIN}
    form = {**FORM, "blocks": [{"type": "input", "label": PLAIN, "element": select}]}
    async with connected(slack, app):
        view = (await client.views_open(trigger_id=slack.views.trigger("U0ADA"), view=form))["view"]
        [option] = await slack.interactions.suggest("ada", view["id"], "pick", "mat")
        assert option["text"]["text"] == "mat"
        with pytest.raises(SlackError, match="invalid_blocks"):
            await slack.interactions.suggest("ada", view["id"], "pick", "x" * 76)
