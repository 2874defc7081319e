"""Records for the storage's tests, made short."""

from typing import Any

from storage.base import Post, PostKind, ReplyMessage, Run, ThreadKey

TEAM, CHANNEL, ADA, BOB = "T1", "C1", "U1", "U2"


def ts(moment: int) -> str:
    return f"{1_700_000_000 + moment}.000100"


def thread_key(moment: int = 0, *, channel: str = CHANNEL) -> ThreadKey:
    return ThreadKey(TEAM, channel, ts(moment))


def post(moment: int = 0, thread: ThreadKey | None = None, text: str = "hello", **changes: Any) -> Post:
    """A waiting ask of Ada's, in the thread that begins at moment 0."""
    fields: dict[str, Any] = {"author": ADA, "author_team": TEAM, "kind": PostKind.ASK} | changes
    return Post(thread or thread_key(), ts(moment), text=text, **fields)


def run(run_id: str = "run1", thread: ThreadKey | None = None, **changes: Any) -> Run:
    fields: dict[str, Any] = {"created_at": 1000.0} | changes
    return Run(run_id, thread or thread_key(), "math-tutor", "responses", **fields)


def reply(run_id: str = "run1", seq: int = 0, *, stream: bool = True) -> ReplyMessage:
    return ReplyMessage(run_id, seq, ts(100 + seq), 1000 * seq, stream, 1234.5)
