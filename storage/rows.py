"""Records as rows: the parameters that storage/queries.py names, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from storage.base import (
    CallState,
    Post,
    PostFile,
    PostKind,
    PostState,
    ReplyMessage,
    Run,
    RunCall,
    RunStatus,
    ThreadKey,
)

#: One row, in the order of its query's columns.
Row = Sequence[Any]
Values = dict[str, Any]


class Execute(Protocol):
    """Runs one statement with named parameters and gives its rows."""

    async def __call__(self, query: str, values: Mapping[str, Any], /) -> Sequence[Row]: ...


def thread_values(thread: ThreadKey) -> Values:
    return {"team": thread.team, "channel": thread.channel, "thread_ts": thread.ts}


def post_identity(post: Post) -> Values:
    return {"team": post.thread.team, "channel": post.thread.channel, "ts": post.ts}


def post_values(post: Post) -> Values:
    values = asdict(post)
    del values["thread"]
    return values | thread_values(post.thread) | {"files": files_value(post.files)}


def post_of(row: Row) -> Post:
    team, channel, thread_ts, ts, author, author_team, text, kind, surface, state, *rest, files = row
    thread = ThreadKey(team, channel, thread_ts)
    rest.append(_files_of(files))
    return Post(thread, ts, author, author_team, text, PostKind(kind), surface, PostState(state), *rest)


def files_value(files: Sequence[PostFile]) -> str:
    """A post's files as the JSON text of their column."""
    # Made storable one by one: within JSON what a database refuses would be hidden by its escape.
    return json.dumps([storable(asdict(file)) for file in files])


def _files_of(column: str) -> tuple[PostFile, ...]:
    return tuple(PostFile(**file) for file in json.loads(column))


def run_values(run: Run) -> Values:
    values = asdict(run)
    del values["thread"]
    return values | thread_values(run.thread)


def run_of(rows: Sequence[Row]) -> Run | None:
    """The run of the first row, None where there is none."""
    if not rows:
        return None
    run_id, team, channel, thread_ts, assistant, backend, status, *rest = rows[0]
    return Run(run_id, ThreadKey(team, channel, thread_ts), assistant, backend, RunStatus(status), *rest)


def reply_values(message: ReplyMessage) -> Values:
    # PostgreSQL does not take a boolean for an integer.
    return asdict(message) | {"stream": int(message.stream)}


def reply_of(row: Row) -> ReplyMessage:
    run, seq, ts, start, stream, created_at = row
    return ReplyMessage(run, seq, ts, start, bool(stream), created_at)


def call_values(call: RunCall) -> Values:
    return asdict(call) | {
        "approvers": " ".join(call.approvers),
        "failed": int(call.failed),
        "approved": None if call.approved is None else int(call.approved),
    }


def call_of(row: Row) -> RunCall:
    run, call_id, leg, name, arguments, server, state, output, failed, approved, *rest, approvers = row
    decision = None if approved is None else bool(approved)
    rest.append(tuple(approvers.split()))
    return RunCall(run, call_id, leg, name, arguments, server, CallState(state), output, bool(failed), decision, *rest)


def storable(values: Mapping[str, Any]) -> Values:
    """Values that a database takes as text.

    JSON may escape one half of a surrogate pair (RFC 8259, section 8.2), which is no UTF-8, and NUL, which
    PostgreSQL refuses; a post that holds one must not be lost for it.
    """
    return {name: _text(value) if isinstance(value, str) else value for name, value in values.items()}


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "�")
