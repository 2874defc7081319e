"""What Bobbin remembers: frozen records and the Storage Protocol.

Slack's ids and timestamps are kept as Slack writes them. A timestamp (`ts`) has ten digits, a dot and six
digits, so text order is time order (https://docs.slack.dev/messaging/retrieving-messages).
Times that are ours are seconds since the epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class StorageError(Exception):
    """The database cannot be used; the message says why and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class ThreadKey:
    """One Slack thread: `ts` is its root's (`thread_ts`, or the `ts` of a post that starts one)."""

    team: str
    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Thread:
    """A Slack thread and what it is mapped to.

    `backend_thread` is None until the first run, and again after a reset. `assistant` is the thread's own
    choice, None where it has none. `forgotten_before` is the `ts` up to which a reset made Bobbin forget.
    """

    key: ThreadKey
    backend: str | None = None
    backend_thread: str | None = None
    assistant: str | None = None
    forgotten_before: str | None = None


class PostKind(StrEnum):
    ASK = "ask"  # wants an answer
    CONTEXT = "context"  # only to be read by the next run
    COMMAND = "command"  # a word to Bobbin itself: reset, use KEY, help


class PostState(StrEnum):
    WAITING = "waiting"
    TAKEN = "taken"  # part of a run
    DONE = "done"
    DROPPED = "dropped"  # deleted by its author while it waited


@dataclass(frozen=True, slots=True)
class PostFile:
    """A file of a post, as Slack describes it. `url` is empty where Slack wants to be asked for it (Slack Connect);
    `transcript` is what Slack itself has written down of a recording."""

    id: str
    name: str
    media_type: str
    size: int
    url: str
    mode: str = ""
    transcript: str = ""


@dataclass(frozen=True, slots=True)
class Post:
    """What a person wrote in Slack, as Slack wrote it (mrkdwn with entities).

    `surface` is Slack's channel_type: im, mpim, channel or group. `author_team` is the author's own workspace,
    which differs from `thread.team` in Slack Connect. `text` and `files` are emptied once its run has ended well.
    """

    thread: ThreadKey
    ts: str
    author: str
    author_team: str
    text: str
    kind: PostKind
    surface: str = "channel"
    state: PostState = PostState.WAITING
    run: str | None = None
    event_id: str = ""
    edited_ts: str | None = None
    files: tuple[PostFile, ...] = ()


class RunStatus(StrEnum):
    """The Assistants API's run statuses, which are Bobbin's own
    (https://platform.openai.com/docs/api-reference/runs/object)."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    REQUIRES_ACTION = "requires_action"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED = frozenset(
    {RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.COMPLETED, RunStatus.INCOMPLETE, RunStatus.EXPIRED}
)


@dataclass(frozen=True, slots=True)
class Run:
    """One answer being made.

    `backend_run` and `cursor` (the last event seen) are kept as soon as they are known, so that a run can be
    taken up again after a crash. `attempt` counts how often it was begun, from 1.
    """

    id: str
    thread: ThreadKey
    assistant: str
    backend: str
    status: RunStatus = RunStatus.QUEUED
    backend_thread: str | None = None
    backend_run: str | None = None
    cursor: int | None = None
    attempt: int = 1
    error: str | None = None
    created_at: float = 0.0
    ended_at: float | None = None
    #: What it said before it last waited for tools; forgotten with the posts' text.
    said: str = ""


@dataclass(frozen=True, slots=True)
class ReplyMessage:
    """One Slack message of a run's reply: `start` is where in the run's answer it begins (characters)."""

    run: str
    seq: int
    ts: str
    start: int
    stream: bool
    created_at: float


class CallState(StrEnum):
    WANTED = "wanted"  # the model asked for it
    ASKED = "asked"  # people were asked whether it may be made
    APPROVED = "approved"
    RUNNING = "running"  # begun; after a crash nobody knows whether it was carried out
    ANSWERED = "answered"  # `output` says what came of it, an error or a refusal too


@dataclass(frozen=True, slots=True)
class RunCall:
    """A tool call that a run waits for. `id` is the backend's, unique within its leg; `leg` counts how often the run
    has waited, from 1, and below that are calls that were made for the run which this one retries. `asked_ts` is the
    Slack message that asks for approval, `asked_at` when, `approvers` the Slack users who may decide; `decided_by` is
    the one who did."""

    run: str
    id: str
    leg: int
    name: str
    arguments: str
    server: str | None = None
    state: CallState = CallState.WANTED
    output: str = ""
    failed: bool = False
    approved: bool | None = None
    asked_ts: str | None = None
    asked_at: float | None = None
    decided_by: str | None = None
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run used. `at` is in seconds since the epoch; `cached_tokens` are a part of `input_tokens`,
    `reasoning_tokens` of `output_tokens`."""

    run: str
    at: float
    team: str
    channel: str
    person: str
    assistant: str
    model: str
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One item of a conversation that Bobbin keeps itself (backend `local`). `exchange` groups what was asked and
    answered together, by the run's id; `item` is JSON, as the API takes it."""

    thread: str
    seq: int
    exchange: str
    item: str


class Scope(StrEnum):
    """For whom an assistant was chosen, other than for one thread."""

    PERSON = "person"
    CHANNEL = "channel"
    WORKSPACE = "workspace"


class Storage(Protocol):
    """Rows that survive a crash. Every method is one transaction; raises StorageError when it cannot be done."""

    async def close(self) -> None: ...

    # Posts

    async def add_post(self, post: Post, *, opens_thread: bool) -> bool:
        """Store a post once, whatever Slack redelivers: (team, channel, ts) is its identity, for good.

        A known one that still waits is only given the files that it lacked. With `opens_thread` its thread is mapped
        if it was not; without, a post to an unmapped thread is not kept. Returns whether the post is new and kept.
        """

    async def edit_post(
        self,
        thread_team: str,
        channel: str,
        ts: str,
        text: str,
        edited_ts: str,
        files: Sequence[PostFile] | None = None,
    ) -> bool:
        """Change a post that still waits, unless a later edit is known; without `files` it keeps those that it has.
        Returns whether it did."""

    async def drop_post(self, thread_team: str, channel: str, ts: str) -> ThreadKey | None:
        """Drop a post that still waits, and forget its text and files. Returns its thread, or None where nothing
        waited."""

    async def waiting_posts(self, thread: ThreadKey) -> Sequence[Post]:
        """The thread's waiting posts, oldest first."""

    async def finish_post(self, post: Post) -> None:
        """A command has been carried out: done, and its text and files forgotten."""

    async def threads_with_work(self) -> Sequence[ThreadKey]:
        """Threads with a waiting ask or command, or a run that has not ended; oldest work first."""

    # Threads

    async def thread(self, key: ThreadKey) -> Thread | None: ...

    async def map_thread(self, key: ThreadKey, backend: str, backend_thread: str) -> None:
        """Point a thread (created where it is new) at a backend's thread, and forget the items that are kept of the
        one before."""

    async def reset_thread(self, key: ThreadKey, forgotten_before: str) -> Thread | None:
        """Unmap the backend thread, forget the items that are kept of it, and drop what waits only to be read. Returns
        the thread as it was before, None where it is unknown."""

    async def choose_for_thread(self, key: ThreadKey, assistant: str | None) -> None:
        """The thread's own assistant (the thread is created where it is new)."""

    async def choose(self, team: str, scope: Scope, scope_id: str, assistant: str | None) -> None:
        """The assistant of a person, channel or workspace; None takes the choice back."""

    async def choices(self, team: str, channel: str, person: str) -> dict[Scope, str]:
        """The choices that could matter for this person in this channel."""

    async def latest_threads(self, team: str, channel: str, author: str, limit: int) -> Sequence[ThreadKey]:
        """Mapped threads (with a backend thread) in a channel that this author posted in, latest post first."""

    # Runs

    async def open_run(self, run: Run, posts: Sequence[Post]) -> Sequence[Post]:
        """Store a run and give it those of these posts that still wait.

        Returns them as they are now, oldest first; empty (and no run is kept) where none waits any more.
        """

    async def unfinished_run(self, thread: ThreadKey) -> Run | None: ...

    async def run(self, run_id: str) -> Run | None: ...

    async def run_posts(self, run_id: str) -> Sequence[Post]:
        """The posts that a run answers, oldest first."""

    async def update_run(self, run: Run) -> None:
        """Keep a run's status, backend ids, cursor and attempt; ignored once it has ended."""

    async def close_run(self, run: Run) -> None:
        """Keep a run's end: an ended status and `ended_at`. Its posts are done. Where it completed, their text and
        files are forgotten; its calls' arguments and outputs where it was stopped, too: nothing reads them again. A
        run ends once: what comes later is ignored."""

    async def reopen_run(self, run_id: str, new_run: Run) -> bool:
        """Retry: a new run takes over the posts of one that ended without completing, and the calls that were made
        for it and did not fail, in legs below 1.

        Returns False where that run is unknown, completed, not ended, or has been retried before.
        """

    async def add_reply_message(self, message: ReplyMessage) -> None: ...

    async def reply_messages(self, run_id: str) -> Sequence[ReplyMessage]: ...

    async def add_posted_files(self, run_id: str, digests: Sequence[str]) -> None:
        """Remember files that a run's reply has posted, by a hash of their content."""

    async def posted_files(self, run_id: str) -> frozenset[str]: ...

    async def replied(self, thread: ThreadKey) -> frozenset[str]:
        """The `ts` of every message that the thread's runs are known to have written."""

    # Tool calls

    async def add_calls(self, calls: Sequence[RunCall]) -> None:
        """Keep the calls that a run waits for; one that is known stays as it is."""

    async def run_calls(self, run_id: str) -> Sequence[RunCall]:
        """A run's calls, in order of leg, and within one as they were wanted."""

    async def update_call(self, call: RunCall) -> None:
        """Keep a call's state, output and what was asked; ignored once it is answered, or its run has ended. A
        decision that this call knows nothing of yet is not taken back."""

    async def decide_call(self, run_id: str, call_id: str, approved: bool, decided_by: str) -> bool:
        """Keep the decision on a call that was asked for: it is APPROVED, or stays ASKED with `approved` False until
        it is answered. Returns False where it was decided before, or is over (answered, or its run has ended)."""

    # Usage

    async def add_usage(self, usage: Usage) -> None:
        """Keep what a run used; a second time for the same run and model adds to the first. Another model is counted
        apart, because it has another price."""

    async def usage(self, since: float) -> Sequence[Usage]:
        """What every run since then (seconds since the epoch) used, oldest first: a record for each of its models."""

    # Conversations that Bobbin keeps itself

    async def add_items(self, items: Sequence[HistoryItem]) -> None:
        """Keep items of a conversation; one that is known (thread and seq) stays as it is."""

    async def items(self, thread: str) -> Sequence[HistoryItem]:
        """A conversation, oldest item first."""
