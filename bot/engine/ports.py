"""The engine's language: what flows through it, and what it asks of the world outside.

Everything here is a frozen record or a Protocol. Slack's and the backends' own types stay at their edges.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from storage.base import Post, PostKind, ReplyMessage, Run, RunStatus, Scope, Storage, Thread, ThreadKey

__all__ = [
    "Answered",
    "Arrival",
    "Assistant",
    "Backend",
    "Check",
    "Ending",
    "Message",
    "Notices",
    "Post",
    "PostKind",
    "Recovery",
    "Replies",
    "Reply",
    "ReplyMessage",
    "ReplyTarget",
    "Run",
    "RunEnded",
    "RunEvent",
    "RunRequest",
    "RunStarted",
    "RunStatus",
    "Scheduler",
    "Scope",
    "Storage",
    "SuggestedPrompt",
    "TextDelta",
    "TextDone",
    "Thread",
    "ThreadKey",
    "Workspace",
]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A post as it comes in. `addressed` says that it is for Bobbin (a mention, or a DM); `to_others` that it
    begins with somebody else's name. Its text has Bobbin's own leading mention taken off."""

    post: Post
    addressed: bool
    mentioned: bool
    to_others: bool = False


@dataclass(frozen=True, slots=True)
class SuggestedPrompt:
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class Assistant:
    """Who answers. Belongs to Bobbin, not to a vendor; `key` is the file's name.

    `tools` names hosted tools (code_interpreter, ...). `temperature` and `reasoning_effort` are left out of
    requests where they are None, because models differ in what they accept.
    """

    key: str
    name: str
    instructions: str
    model: str
    description: str = ""
    tools: tuple[str, ...] = ()
    temperature: float | None = None
    reasoning_effort: str | None = None
    suggested_prompts: tuple[SuggestedPrompt, ...] = ()
    icon: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A post as the backend holds it. `id` is the Slack `ts` it came from, unique within its thread."""

    id: str
    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class RunRequest:
    """All that a backend needs to make one answer.

    `context` says who asks and where; it is added to the assistant's instructions for this run only.
    `asker` is a keyed hash, safe to hand to a vendor. `backend_run` and `cursor` are set, and `attempt` is over 1,
    when the run was begun before and is being taken up again: then nothing that the backend already got may be
    sent twice.
    """

    run: str
    assistant: Assistant
    backend_thread: str
    messages: tuple[Message, ...]
    context: str
    asker: str
    attempt: int = 1
    backend_run: str | None = None
    cursor: int | None = None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The backend has begun; `backend_run` is its id for the run or, until there is one, a mark by which the backend
    finds it again."""

    backend_run: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer."""

    text: str
    cursor: int | None = None


@dataclass(frozen=True, slots=True)
class TextDone:
    """The answer so far, whole: all of the run's text until here, whatever deltas were missed."""

    text: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of every run. `reason` is a sentence for the person where the run did not complete."""

    status: RunStatus
    reason: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)


RunEvent = RunStarted | TextDelta | TextDone | RunEnded


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `problem` is a sentence, None where all is well."""

    name: str
    problem: str | None


class Backend(Protocol):
    """An API that holds threads and makes runs. Raises BackendError and its kinds, nothing else."""

    name: str
    #: The longest message it takes, in characters.
    message_limit: int

    async def create_thread(self, key: ThreadKey, history: Sequence[Message]) -> str:
        """Make a backend thread that begins with `history`. Returns its id."""

    def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        """Forward the messages, start the run and follow it to its end.

        The last event is RunEnded, unless an error is raised. ThreadGone and ContextOverflow are raised before
        anything of the answer was yielded. Text is yielded as deltas; a TextDone corrects what they missed.
        Closing the generator lets go of the run's stream.
        """

    async def cancel(self, request: RunRequest, shown: str = "") -> None:
        """End a run that was started, if it is still going. Never raises for one that has ended.

        The thread remembers what was asked, and that `shown` was answered.
        """

    async def check(self, models: Sequence[str]) -> Sequence[Check]:
        """Whether the server is there, accepts the key, and has these models. Raises nothing."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ReplyTarget:
    """Where a reply goes: the thread, and the person it is for (Slack streams to a recipient)."""

    thread: ThreadKey
    asker: str
    asker_team: str
    surface: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ends: `notice` is a line under what was shown; `retry` offers the run again."""

    notice: str | None = None
    retry: bool = False


#: The ending of a run that went well.
Answered = Ending()


class Reply(Protocol):
    """What one run becomes in Slack. `text` is always the whole answer so far, so nothing can be lost between."""

    def show(self, text: str) -> None:
        """Show more of the answer, soon; returns at once. Raises SlackRefused once Slack takes no more."""

    async def finish(self, text: str, ending: Ending) -> None:
        """Show all of it, then how it ended; returns when Slack has it. Raises SlackRefused."""

    async def apologise(self, ending: Ending) -> None:
        """Say that Slack took no more of it, if Slack takes that. Raises nothing."""

    def abandon(self) -> None:
        """Let go of it as it is: at the end, or because the process is stopping."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a reply needs to find a message whose ts got lost, with an earlier process (`taken_up`) or on the way: what
    Bobbin wrote in the thread after `since` and that is not in `known` is this run's, because a thread has one run at
    a time."""

    since: str
    known: frozenset[str]
    taken_up: bool = False


class Replies(Protocol):
    """Opens replies."""

    def open(
        self,
        run: str,
        target: ReplyTarget,
        shown: Sequence[ReplyMessage],
        keep: Callable[[ReplyMessage], Awaitable[None]],
        recovery: Recovery,
    ) -> Reply:
        """Begin (or go on with) a run's reply: sets the thread's status at once, in the background.

        `shown` are the messages of an earlier attempt; `keep` stores each new one as soon as Slack has it.
        """


class Notices(Protocol):
    """Short lines of Bobbin's own."""

    async def private(self, target: ReplyTarget, text: str) -> None:
        """To one person: only they see it."""

    async def public(self, target: ReplyTarget, text: str) -> None:
        """In the thread."""

    async def mark(self, post: Post) -> None:
        """Show on a post that it waits its turn. Raises nothing."""

    async def unmark(self, post: Post) -> None:
        """Take the mark off, if there is one. Raises nothing."""


class Workspace(Protocol):
    """What Slack knows and a run needs: names, and what was said."""

    async def person(self, user: str) -> str:
        """A person's display name; their id where Slack does not tell."""

    async def channel(self, channel: str) -> str:
        """A channel's name with its #; its id where Slack does not tell."""

    async def readable(self, text: str) -> str:
        """Slack's entities (mentions, channels, links, dates, escapes) as plain text a model can read."""

    async def history(self, key: ThreadKey, *, after: str | None, before: str) -> Sequence[Message]:
        """The thread's messages between two `ts`, exclusive, oldest first; empty where Slack does not let us read."""


class Scheduler(Protocol):
    """At most one worker drains a thread, and a wake that comes while it drains is never lost."""

    def wake(self, key: ThreadKey) -> None: ...
