"""Streams, agent sessions, statuses and suggested prompts.

https://docs.slack.dev/reference/methods/chat.startStream, https://docs.slack.dev/ai/agent-sessions
"""

from collections.abc import Callable
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.blocks import check_blocks
from bot.playground.slack.errors import SlackError
from bot.playground.slack.methods import Methods, check_markdown
from bot.playground.slack.workspace import Workspace

Json = dict[str, Any]

_SESSION = frozenset({"active", "processing", "suspended", "closed"})


class Streams:
    """Messages that grow."""

    def __init__(self, workspace: Workspace, methods: Methods, lifetime: float) -> None:
        """`lifetime` is how long a stream lives, in seconds of the workspace's clock."""
        self._workspace = workspace
        self._methods = methods
        self._lifetime = lifetime

    def table(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "agents.sessions.rename": self.rename_session,
            "agents.sessions.setStatus": self.set_session,
            "assistant.threads.setStatus": self.set_status,
            "assistant.threads.setSuggestedPrompts": self.set_prompts,
            "assistant.threads.setTitle": self.rename_session,
            "chat.appendStream": self.append,
            "chat.startStream": self.start,
            "chat.stopStream": self.stop,
        }

    def start(self, call: Json) -> Json:
        channel = self._methods.writable(call["channel"])
        if call["thread_ts"] not in self._workspace.messages[channel.id]:
            raise SlackError("invalid_thread_ts")
        if channel.kind != "im":
            for name in ("recipient_user_id", "recipient_team_id"):
                if not call.get(name):
                    raise SlackError(f"missing_{name}")
            if call["recipient_user_id"] not in channel.members:
                raise SlackError("user_not_found")
        chunks = _chunks(call)
        message = self._methods.own({"thread_ts": call["thread_ts"], "markdown_text": "", "text": "", "tasks": {}})
        message |= {"streaming": True, "started_at": self._workspace.clock()}
        message = self._workspace.add(channel.id, message)
        _apply(message, chunks)
        key = (channel.id, call["thread_ts"])
        self._workspace.sessions[key] = "processing"
        self._workspace.statuses.pop(key, None)
        return {"channel": channel.id, "ts": message["ts"]}

    def append(self, call: Json) -> Json:
        message = self._live(call)
        chunks = _chunks(call)
        if not chunks:
            raise SlackError("no_text")
        _apply(message, chunks)
        return {"channel": call["channel"], "ts": call["ts"]}

    def stop(self, call: Json) -> Json:
        status = call.get("session_status", "active")
        if status not in _SESSION:
            raise SlackError("invalid_arguments")
        message = self._live(call)
        if "blocks" in call:
            check_blocks(call["blocks"])
            message["blocks"] = call["blocks"]
        _apply(message, _chunks(call))
        self.end(call["channel"], message, status)
        return {"channel": call["channel"], "ts": call["ts"], "message": message}

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

    def expire(self) -> None:
        """Streams that lived too long are over, whatever was appended."""
        for channel, said in self._workspace.messages.items():
            for message in said.values():
                if message.get("streaming") and self._workspace.clock() - message["started_at"] >= self._lifetime:
                    message["expired"] = True
                    self.end(channel, message)

    def _live(self, call: Json) -> Json:
        message = self._methods.own_message(call["channel"], call["ts"], "message_not_owned_by_app")
        if message.get("stopped_by_user"):
            raise SlackError("stopped_by_user")
        if not message.get("streaming"):
            raise SlackError("message_not_in_streaming_state")
        return message

    # Sessions and statuses

    def set_session(self, call: Json) -> Json:
        channel = self._methods.writable(call["channel_id"])
        if call["status"] not in _SESSION:
            raise SlackError("invalid_status")
        if "thread_ts" not in call:
            raise SlackError("thread_ts_required")
        self._workspace.sessions[(channel.id, call["thread_ts"])] = call["status"]
        return {"status": call["status"], "agent_status": call["status"], "title": call.get("title", "")}

    def rename_session(self, call: Json) -> Json:
        self._methods.writable(call["channel_id"])
        return {}

    def set_status(self, call: Json) -> Json:
        channel = self._methods.writable(call["channel_id"])
        if call["thread_ts"] not in self._workspace.messages[channel.id]:
            raise SlackError("invalid_thread_ts")
        key = (channel.id, call["thread_ts"])
        if call["status"]:
            self._workspace.statuses[key] = {"status": call["status"], "at": self._workspace.clock()}
        else:
            self._workspace.statuses.pop(key, None)
        # The bridge to agent sessions (https://docs.slack.dev/ai/migrating-to-agent-messaging).
        self._workspace.sessions[key] = "processing" if call["status"] else "active"
        return {}

    def set_prompts(self, call: Json) -> Json:
        channel = self._methods.writable(call["channel_id"])
        prompts = call["prompts"]
        if not prompts or any(not (p.get("title") and p.get("message")) for p in prompts):
            raise SlackError("invalid_arguments")
        self._workspace.prompts[channel.id] = prompts
        return {}


def _chunks(call: Json) -> list[Json]:
    if "chunks" in call and "markdown_text" in call:
        raise SlackError("invalid_arguments")
    if "markdown_text" in call:
        check_markdown(call["markdown_text"])
        return [{"type": "markdown_text", "text": call["markdown_text"]}]
    chunks: list[Json] = call.get("chunks", [])
    for chunk in chunks:
        _check_chunk(chunk)
    return chunks


def _check_chunk(chunk: Json) -> None:
    match chunk.get("type"):
        case "markdown_text":
            check_markdown(chunk.get("text", ""))
        case "task_update":
            texts = [chunk.get(name, "") for name in ("title", "details", "output")]
            bad_status = chunk.get("status") not in limits.TASK_STATUSES
            if not chunk.get("id") or bad_status or any(len(str(text)) > limits.CHUNK_TEXT for text in texts):
                raise SlackError("invalid_chunks")
        case "plan_update":
            if not 1 <= len(chunk.get("title", "")) <= limits.CHUNK_TEXT:
                raise SlackError("invalid_chunks")
        case "blocks":
            check_blocks(chunk.get("blocks"))
        case _:
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
