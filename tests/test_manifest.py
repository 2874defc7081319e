"""manifest.yml asks for every scope, event, command and shortcut that the code uses, and for no other."""

import re
from collections.abc import Iterator
from pathlib import Path

from bot.listeners import actions
from bot.manifest import manifest

_CODE = [path for path in Path("bot").rglob("*.py") if "playground" not in path.parts]

#: What a Web API method needs of a bot token (each method's page under https://docs.slack.dev/reference/methods).
_METHOD_SCOPES = {
    "agents.sessions.setStatus": {"chat:write", "assistant:write"},
    "assistant.threads.setStatus": {"chat:write"},
    "assistant.threads.setSuggestedPrompts": {"assistant:write"},
    "chat.appendStream": {"chat:write"},
    "chat.postEphemeral": {"chat:write"},
    "chat.postMessage": {"chat:write"},
    "chat.startStream": {"chat:write"},
    "chat.stopStream": {"chat:write"},
    "chat.update": {"chat:write"},
    "conversations.history": {"channels:history", "groups:history", "im:history", "mpim:history"},
    "conversations.info": {"channels:read", "groups:read", "im:read", "mpim:read"},
    "conversations.replies": {"channels:history", "groups:history", "im:history", "mpim:history"},
    # Downloads too need files:read (https://docs.slack.dev/messaging/working-with-files).
    "files.completeUploadExternal": {"files:write"},
    "files.getUploadURLExternal": {"files:write"},
    "files.info": {"files:read"},
    "reactions.add": {"reactions:write"},
    "reactions.remove": {"reactions:write"},
    "users.info": {"users:read"},
}

#: What an event needs (each event's page under https://docs.slack.dev/reference/events).
_EVENT_SCOPES: dict[str, set[str]] = {
    "agent_session_stopped": {"assistant:write"},
    "app_home_opened": set(),
    "app_mention": {"app_mentions:read"},
    "message.channels": {"channels:history"},
    "message.groups": {"groups:history"},
    "message.im": {"im:history"},
    "message.mpim": {"mpim:history"},
}

_METHOD_CALL = re.compile(r'(?:\.call\(|\(|"method": )\s*"([a-z]+(?:\.[A-Za-z]+)+)"')
_LISTENER = re.compile(r'app\.(event|command|message_shortcut)\((?:\{"type": )?([\w"/.]+)')


def methods() -> set[str]:
    found = {name for path in _CODE for name in _METHOD_CALL.findall(path.read_text(encoding="utf-8"))}
    return {
        name for name in found if re.match(r"(agents|assistant|chat|conversations|files|reactions|users|views)\.", name)
    }


def listeners(kind: str) -> Iterator[str]:
    for path in Path("bot/listeners").glob("*.py"):
        for found, name in _LISTENER.findall(path.read_text(encoding="utf-8")):
            if found == kind:
                yield name.strip('"')


def subscribed() -> set[str]:
    return set(manifest()["settings"]["event_subscriptions"]["bot_events"])


def test_every_scope_is_used_and_every_used_scope_is_asked_for() -> None:
    used = methods()
    assert used >= {"chat.startStream", "users.info", "conversations.replies", "assistant.threads.setStatus"}
    needed = {"commands"}
    for method in used:
        needed |= _METHOD_SCOPES[method]
    for event in subscribed():
        needed |= _EVENT_SCOPES[event]
    assert set(manifest()["oauth_config"]["scopes"]["bot"]) == needed


def test_every_event_has_a_listener_and_every_listener_its_event() -> None:
    assert {event.partition(".")[0] for event in subscribed()} == set(listeners("event"))


def test_every_command_and_shortcut_has_a_listener() -> None:
    features = manifest()["features"]
    assert {command["command"] for command in features["slash_commands"]} == set(listeners("command"))
    shortcuts = {getattr(actions, name) for name in listeners("message_shortcut")}
    assert {shortcut["callback_id"] for shortcut in features["shortcuts"]} == shortcuts


def test_the_manifest_keeps_slacks_limits() -> None:
    """https://docs.slack.dev/reference/app-manifest"""
    content = manifest()
    assert "assistant_view" not in content["features"]
    assert len(content["display_information"]["name"]) <= 35
    assert len(content["display_information"]["description"]) <= 140
    assert 175 <= len(content["display_information"]["long_description"]) <= 4000
    assert len(content["features"]["agent_view"]["agent_description"]) <= 300
    assert len(content["features"]["agent_view"]["suggested_prompts"]) <= 4
