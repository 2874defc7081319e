"""Streams, agent sessions, statuses and suggested prompts.

https://docs.slack.dev/reference/methods/chat.startStream, https://docs.slack.dev/ai/agent-sessions
"""

from collections.abc import Callable
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.app_manifest import AppManifest
from bot.playground.slack.blocks import check_blocks
from bot.playground.slack.errors import SlackError, invalid
from bot.playground.slack.methods import Methods, check_markdown
from bot.playground.slack.workspace import Channel, Workspace

Json = dict[str, Any]

_SESSION = frozenset({"active", "processing", "suspended", "closed"})
_DISPLAY_MODES = frozenset({"timeline", "plan", "dense"})
_DEAF = "missing_agent_session_stopped_event_subscription"


class Streams:
    """Messages that grow."""

    def __init__(self, workspace: Workspace, manifest: AppManifest, methods: Methods, lifetime: float) -> None:
        """`lifetime` is how long a stream lives, in seconds of the workspace's clock."""
        self._workspace = workspace
        self._manifest = manifest
        self._methods = methods
        self._lifetime = lifetime

    def table(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "agents.sessions.rename": self.rename_session,
            "agents.sessions.setStatus": self.set_session,
            "assistant.threads.setStatus": self.set_status,
            "assistant.threads.setSuggestedPrompts": self.set_prompts,
            "assistant.threads.setTitle": self.set_title,
            "chat.appendStream": self.append,
            "chat.startStream": self.start,
            "chat.stopStream": self.stop,
        }

    def start(self, call: Json) -> Json:
        channel = self._methods.writable(call["channel"])
        if call["thread_ts"] not in self._workspace.messages[channel.id]:
            raise SlackError("invalid_thread_ts")
        if channel.kind != "im":
            self._check_recipient(call, channel)
        if call.get("task_display_mode", "timeline") not in _DISPLAY_MODES:
            raise invalid("unknown task_display_mode")
        chunks = _chunks(call)
        message = {"thread_ts": call["thread_ts"], "markdown_text": "", "text": "", "tasks": {}}
        message |= {"streaming": True, "started_at": self._workspace.clock(), **self._methods.customize(call)}
        message = self._workspace.add(channel.id, self._methods.own(message))
        _keep_mode(message, call)
        _apply(message, chunks)
        key = (channel.id, call["thread_ts"])
        self._workspace.sessions[key] = "processing"
        self._workspace.statuses.pop(key, None)
        return {"channel": channel.id, "ts": message["ts"]}

    def append(self, call: Json) -> Json:
        message = self._live(call, stopped="stopped_by_user")
        chunks = _chunks(call)
        if not chunks:
            raise SlackError("no_text")
        _keep_mode(message, call)
        _apply(message, chunks)
        return {"channel": call["channel"], "ts": call["ts"]}

    def stop(self, call: Json) -> Json:
        status = call.get("session_status", "active")
        if status not in _SESSION:
            raise invalid("unknown session_status")
        message = self._live(call)
        chunks = _chunks(call)
        blocks = call.get("blocks", [])
        check_blocks(blocks)
        _keep_mode(message, call)
        _apply(message, [*chunks, {"type": "blocks", "blocks": blocks}] if blocks else chunks)
        message |= {"metadata": call["metadata"]} if "metadata" in call else {}
        self.end(call["channel"], message, status)
        shown = self._workspace.shown(call["channel"], message)
        return {"channel": call["channel"], "ts": call["ts"], "message": shown}

    def end(self, channel: str, message: Json, status: str = "active") -> None:
        """A stream is over."""
        message.pop("streaming", None)
        self._workspace.sessions[(channel, message["thread_ts"])] = status

    def stop_by_user(self, channel: str, thread_ts: str) -> list[str]:
        """The native Stop: every stream of the thread takes no more. Returns their ts."""
        stopped = []
        for message in self._workspace.thread(channel, thread_ts):
            if message.pop("streaming", None):
                message["stopped_by_user"] = True
                stopped.append(str(message["ts"]))
        return stopped

    def expire(self) -> bool:
        """Streams that lived too long are over, whatever was appended. Returns whether there were any."""
        oldest = self._workspace.clock() - self._lifetime
        old = [
            (channel, message)
            for channel, said in self._workspace.messages.items()
            for message in said.values()
            if message.get("streaming") and message["started_at"] <= oldest
        ]
        for channel, message in old:
            message["expired"] = True
            self.end(channel, message)
        return bool(old)

    def _check_recipient(self, call: Json, channel: Channel) -> None:
        for name in ("recipient_user_id", "recipient_team_id"):
            if not call.get(name):
                raise SlackError(f"missing_{name}")
        if call["recipient_team_id"] != self._workspace.team_id:
            raise SlackError("team_not_found")
        if call["recipient_user_id"] not in channel.members:
            raise SlackError("user_not_found")

    def _live(self, call: Json, stopped: str = "message_not_in_streaming_state") -> Json:
        """`stopped` is Slack's word where a person pressed Stop: appending and stopping have different ones."""
        message = self._methods.own_message(call["channel"], call["ts"], "message_not_owned_by_app")
        if not message.get("streaming"):
            raise SlackError(stopped if message.get("stopped_by_user") else "message_not_in_streaming_state")
        return message

    # Sessions and statuses

    def set_session(self, call: Json) -> Json:
        channel = self._agents_channel(call)
        if call["status"] not in _SESSION:
            raise SlackError("invalid_status")
        if not call.get("thread_ts"):
            raise SlackError("thread_ts_required")
        self._methods.customize(call)
        key = (channel.id, call["thread_ts"])
        if key not in self._workspace.sessions and "title" in call:
            self._workspace.titles[key] = _title(call)
        self._workspace.sessions[key] = call["status"]
        answer = {"status": call["status"], "agent_status": call["status"]}
        deaf = call["status"] == "processing" and not self._manifest.hears("agent_session_stopped")
        return answer | {"title": self._workspace.titles.get(key, "")} | ({"warning": _DEAF} if deaf else {})

    def rename_session(self, call: Json) -> Json:
        channel = self._agents_channel(call)
        key = (channel.id, call.get("thread_ts", ""))
        if key not in self._workspace.sessions:
            raise SlackError("not_authorized")
        self._workspace.titles[key] = _title(call)
        return {}

    def set_status(self, call: Json) -> Json:
        key = self._thread(call)
        if len(call.get("loading_messages", ())) > limits.LOADING_MESSAGES:
            raise invalid("too many loading_messages")
        self._methods.customize(call)
        if call["status"]:
            self._workspace.statuses[key] = {"status": call["status"], "at": self._workspace.clock()}
        else:
            self._workspace.statuses.pop(key, None)
        # The bridge to agent sessions (https://docs.slack.dev/ai/migrating-to-agent-messaging).
        self._workspace.sessions[key] = "processing" if call["status"] else "active"
        return {}

    def set_title(self, call: Json) -> Json:
        self._workspace.titles[self._thread(call)] = _title(call)
        return {}

    def set_prompts(self, call: Json) -> Json:
        channel = self._agents_channel(call)
        if channel.kind != "im":
            raise SlackError("method_not_supported_for_channel_type")
        prompts = call["prompts"]
        texts = [prompt.get(name) for prompt in prompts if isinstance(prompt, dict) for name in ("title", "message")]
        if not prompts or len(texts) != 2 * len(prompts) or not all(text and isinstance(text, str) for text in texts):
            raise invalid("each prompt has a title and a message")
        self._workspace.prompts[channel.id] = prompts
        return {}

    def _agents_channel(self, call: Json) -> Channel:
        """Only an app that its manifest declares an agent may use these methods."""
        if not self._manifest.agent:
            raise SlackError("feature_disabled")
        return self._methods.writable(call["channel_id"])

    def _thread(self, call: Json) -> tuple[str, str]:
        channel = self._methods.writable(call["channel_id"])
        if call["thread_ts"] not in self._workspace.messages[channel.id]:
            raise SlackError("invalid_thread_ts")
        return channel.id, call["thread_ts"]


def _title(call: Json) -> str:
    if not 1 <= len(call["title"]) <= limits.SESSION_TITLE:
        raise invalid(f"title must be 1 to {limits.SESSION_TITLE} characters")
    return str(call["title"])


def _chunks(call: Json) -> list[Json]:
    if "chunks" in call and "markdown_text" in call:
        raise SlackError("cannot_provide_both_markdown_text_and_chunks")
    if "markdown_text" in call:
        check_markdown(call["markdown_text"])
        return [{"type": "markdown_text", "text": call["markdown_text"]}]
    chunks: list[Json] = call.get("chunks", [])
    for chunk in chunks:
        _check_chunk(chunk)
    return chunks


def _keep_mode(message: Json, call: Json) -> None:
    """A stream is fed with the one or with the other (https://docs.slack.dev/reference/methods/chat.appendStream)."""
    given = next((name for name in ("chunks", "markdown_text") if call.get(name)), None)
    if given and message.setdefault("streaming_mode", given) != given:
        raise SlackError("streaming_mode_mismatch")


def _check_chunk(chunk: Any) -> None:
    match chunk:
        case {"type": "markdown_text", "text": text}:
            check_markdown(text)
        case {"type": "task_update", "id": str(task), "title": str(title), "status": str(status)}:
            if not task or status not in limits.TASK_STATUSES:
                raise SlackError("invalid_chunks")
            _check_lengths(title, chunk.get("details", ""), chunk.get("output", ""))
        case {"type": "plan_update", "title": str(title)}:
            _check_lengths(title)
        case {"type": "blocks", "blocks": blocks}:
            check_blocks(blocks)
        case _:
            raise SlackError("invalid_chunks")


def _check_lengths(title: str, *texts: Any) -> None:
    if not title or any(not isinstance(text, str) or len(text) > limits.CHUNK_TEXT for text in (title, *texts)):
        raise SlackError("invalid_chunks")


def _apply(message: Json, chunks: list[Json]) -> None:
    for chunk in chunks:
        match chunk["type"]:
            case "markdown_text":
                message["markdown_text"] += chunk["text"]
                message["text"] = message["markdown_text"]
            case "task_update":
                task = message["tasks"].setdefault(chunk["id"], {"details": ""})
                details = task["details"] + chunk.get("details", "")
                task |= {**chunk, "details": details}
            case "plan_update":
                message["plan"] = chunk["title"]
            case "blocks":
                message.setdefault("blocks", []).extend(chunk["blocks"])
