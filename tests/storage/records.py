"""Records for the storage's tests, made short."""

from typing import Any

from storage.base import Post, PostFile, PostKind, ReplyMessage, Run, RunCall, ThreadKey, Usage

TEAM, CHANNEL, ADA, BOB = "T1", "C1", "U1", "U2"


def ts(moment: int) -> str:
    return f"{1_700_000_000 + moment}.000100"


def thread_key(moment: int = 0, *, channel: str = CHANNEL) -> ThreadKey:
    return ThreadKey(TEAM, channel, ts(moment))


def post(moment: int = 0, thread: ThreadKey | None = None, text: str = "hello", **changes: Any) -> Post:
    """A waiting ask of Ada's, in the thread that begins at moment 0."""
    fields: dict[str, Any] = {"author": ADA, "author_team": TEAM, "kind": PostKind.ASK} | changes
    return Post(thread or thread_key(), ts(moment), text=text, **fields)


def file(number: int = 1, **changes: Any) -> PostFile:
    fields: dict[str, Any] = {"name": "notes.pdf", "media_type": "application/pdf", "size": 2048} | changes
    return PostFile(f"F{number}", url=f"https://files.slack.com/{number}", **fields)


def run(run_id: str = "run1", thread: ThreadKey | None = None, **changes: Any) -> Run:
    fields: dict[str, Any] = {"created_at": 1000.0} | changes
    return Run(run_id, thread or thread_key(), "math-tutor", "responses", **fields)


def reply(run_id: str = "run1", seq: int = 0, *, stream: bool = True) -> ReplyMessage:
    return ReplyMessage(run_id, seq, ts(100 + seq), 1000 * seq, stream, 1234.5)


def call(call_id: str = "call1", run_id: str = "run1", **changes: Any) -> RunCall:
    fields: dict[str, Any] = {"leg": 1, "name": "weather", "arguments": '{"city": "Bergen"}'} | changes
    return RunCall(run_id, call_id, **fields)


def usage(run_id: str = "run1", at: float = 1000.0, **changes: Any) -> Usage:
    fields: dict[str, Any] = {
        "team": TEAM,
        "channel": CHANNEL,
        "person": ADA,
        "assistant": "math-tutor",
        "model": "gpt-6.1-terra",
        "input_tokens": 1000,
        "cached_tokens": 400,
        "output_tokens": 200,
        "reasoning_tokens": 50,
    } | changes
    return Usage(run_id, at, **fields)
