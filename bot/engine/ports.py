"""The engine's language: what flows through it, and what it asks of the world outside.

Everything here is a frozen record or a Protocol. Slack's and the backends' own types stay at their edges.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

from storage.base import (
    CallState,
    HistoryItem,
    Post,
    PostFile,
    PostKind,
    ReplyMessage,
    Run,
    RunCall,
    RunStatus,
    Scope,
    Storage,
    Thread,
    ThreadKey,
    Usage,
)

__all__ = [
    "Ability",
    "Answered",
    "Arrival",
    "Assistant",
    "Attachment",
    "Backend",
    "CallState",
    "CallsWanted",
    "ChannelMessage",
    "ChannelReader",
    "Check",
    "Ending",
    "FileMade",
    "Files",
    "FilesUnused",
    "HistoryItem",
    "HostedMcp",
    "Ledger",
    "Message",
    "Notices",
    "Post",
    "PostFile",
    "PostKind",
    "Recovery",
    "Replies",
    "Reply",
    "ReplyMessage",
    "ReplyTarget",
    "Run",
    "RunCall",
    "RunEnded",
    "RunEvent",
    "RunRequest",
    "RunStarted",
    "RunStatus",
    "Said",
    "Scheduler",
    "Scope",
    "Source",
    "Sources",
    "Spent",
    "Storage",
    "SuggestedPrompt",
    "Task",
    "TaskStatus",
    "TextDelta",
    "TextDone",
    "Thread",
    "ThreadKey",
    "ToolCall",
    "ToolOutput",
    "ToolScene",
    "ToolSpec",
    "Toolbox",
    "Usage",
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
class HostedMcp:
    """An MCP server that the model's provider calls. `allowed_tools` empty means all of them; `approval` is whether
    each call is asked for in the thread first; `authorization` is what the provider shows to the server."""

    label: str
    url: str
    allowed_tools: tuple[str, ...] = ()
    approval: bool = True
    authorization: str | None = field(default=None, repr=False)


class Ability(StrEnum):
    """What an assistant's file can ask for and not every backend can carry (docs/backends.md)."""

    CODE_INTERPRETER = "code_interpreter"
    FILE_SEARCH = "file_search"
    WEB_SEARCH = "web_search"
    IMAGE_GENERATION = "image_generation"
    HOSTED_MCP = "hosted_mcp"
    HOSTED_MCP_APPROVAL = "hosted_mcp.approval"
    FUNCTIONS = "functions"  # function tools and MCP servers of Bobbin's own
    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    REASONING_EFFORT = "reasoning_effort"
    REASONING_SUMMARY = "reasoning_summary"
    RESPONSE_FORMAT = "response_format"
    JSON_OBJECT = "response_format.json_object"
    TOOL_CHOICE = "tool_choice"
    MAX_OUTPUT_TOKENS = "max_output_tokens"
    TRUNCATION = "truncation"
    FALLBACK_MODELS = "fallback_models"
    MODERATION = "moderation"


@dataclass(frozen=True, slots=True)
class Assistant:
    """Who answers. Belongs to Bobbin, not to a vendor; `key` is the file's name.

    `tools` names hosted tools (code_interpreter, ...) and function tools; `optional_tools` are those of them that it
    can do without, where a backend cannot carry them; `files` are paths for file search;
    `mcp_servers` names servers of Bobbin's own, `hosted_mcp` has those that the provider calls. `approval` are
    patterns of tool names that are asked for in the thread first, by the asker or the Slack users in `approvers`.
    Settings that are None are left out of requests, because models differ in what they accept. `response_format` is
    text, json_object, or a JSON schema with its name, and perhaps `description` and `strict`.
    """

    key: str
    name: str
    instructions: str
    model: str
    description: str = ""
    tools: tuple[str, ...] = ()
    optional_tools: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    mcp_servers: tuple[str, ...] = ()
    hosted_mcp: tuple[HostedMcp, ...] = ()
    approval: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str | None = None
    reasoning_summary: bool = False
    response_format: str | Mapping[str, Any] | None = None
    tool_choice: str | None = None
    max_output_tokens: int | None = None
    truncation: Literal["auto", "disabled"] | None = None
    fallback_models: tuple[str, ...] = ()
    moderation: bool = False
    suggested_prompts: tuple[SuggestedPrompt, ...] = ()
    icon: str | None = None
    #: The file that defines it, for errors.
    source: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a post, downloaded: `path` is where it is for as long as its run lasts, `size` its bytes."""

    name: str
    media_type: str
    size: int
    path: Path


@dataclass(frozen=True, slots=True)
class Message:
    """A post as the backend holds it. `id` is the Slack `ts` it came from, unique within its thread."""

    id: str
    role: Literal["user", "assistant"]
    text: str
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function that the model may call: `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool called. `arguments` is JSON, as the model wrote it. With `server`, the call is the
    provider's own (hosted MCP) and only its approval is wanted."""

    id: str
    name: str
    arguments: str
    server: str | None = None


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What the model is told of a call: `text`, an error's words where it `failed`. `approved` is the answer where
    only an approval was wanted."""

    call: str
    text: str
    failed: bool = False
    approved: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolScene:
    """Where a tool is called: it may act for the asker, and see what the asker may see."""

    thread: ThreadKey
    asker: str
    surface: str
    assistant: str


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
    #: The functions that this assistant may call.
    functions: tuple[ToolSpec, ...] = ()
    #: What the calls of the last CallsWanted came to: then the run goes on from there, and `messages` are known.
    outputs: tuple[ToolOutput, ...] = ()
    #: Where files that the run makes are put; it is emptied when the run is over.
    folder: Path | None = None


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


class TaskStatus(StrEnum):
    """Slack's words for a task in a stream (https://docs.slack.dev/ai/developing-agents)."""

    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Task:
    """A tool is at work: `title` says what it does, `details` with what, `output` what came of it. One `id` is
    told several times; what is said later replaces what was said before."""

    id: str
    title: str
    status: TaskStatus
    details: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """What an answer rests on: a file's name, or a web page's title and URL. Its number in the text is its place in
    Sources, from 1."""

    title: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """All that the answer cites so far, in order of number."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class FilesUnused:
    """The server did not take files of the posts, and the run goes on without them. Each problem is a file's name, a
    colon, and why: a part of a sentence."""

    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileMade:
    """The run made a file, which lies at `path` in the request's folder."""

    name: str
    path: Path
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a model used that did not answer, so that another takes its place. `usage` counts as in RunEnded."""

    usage: Mapping[str, int]
    model: str | None


@dataclass(frozen=True, slots=True)
class CallsWanted:
    """The last event where the run waits for tools: `run` is called again with their `outputs`. Usage so far is the
    server's count, where it says so now and not again at the end; `model` is the one that wants them."""

    calls: tuple[ToolCall, ...]
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str | None = None


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of every run. `reason` is a sentence for the person where the run did not complete. `usage`
    counts input_tokens, cached_tokens (a part of the input), output_tokens and reasoning_tokens (a part of the
    output), as far as the server says; `model` is the one that answered."""

    status: RunStatus
    reason: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str | None = None


RunEvent = RunStarted | TextDelta | TextDone | Task | Sources | FilesUnused | FileMade | Spent | CallsWanted | RunEnded


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
    #: The largest recording that it can listen to, in bytes; 0 where it cannot.
    recording_limit: int
    #: What it can carry; an assistant that wants more is refused at the start.
    abilities: frozenset[Ability]

    def file_problem(self, assistant: Assistant, name: str, media_type: str, size: int, before: int = 0) -> str | None:
        """Why a file of a post cannot be used with this assistant: a part of a sentence, such as "archives need the
        code interpreter". None where it can. `size` is in bytes, and so is `before`: of the run's files before it."""

    async def transcribe(self, audio: Attachment) -> str:
        """What is said in a recording. Raises BackendError, BackendUnsupported where there is no such service."""

    async def create_thread(self, key: ThreadKey, history: Sequence[Message], assistant: Assistant) -> str:
        """Make a backend thread that begins with `history`; its files are for `assistant`, the one that is asked. With
        `moderation`, what the provider's safety check objects to is left out. Returns the thread's id."""

    def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        """Forward the messages, start the run and follow it to its end.

        The last event is RunEnded, or CallsWanted where tools have to be called first, unless an error is raised.
        ThreadGone and ContextOverflow are raised before anything of the answer was yielded. Text is yielded as
        deltas; a TextDone corrects what they missed, and each call of `run` counts its own text only.
        Closing the generator lets go of the run's stream.
        """

    async def cancel(self, request: RunRequest, shown: str = "") -> RunEnded | None:
        """End a run that was started, if it is still going, and leave no call of a tool unanswered: `outputs` of the
        request are what its latest calls came to. Never raises for one that has ended. Returns how it ended, where the
        server tells what it used.

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


class Toolbox(Protocol):
    """Function tools and MCP servers of Bobbin's own."""

    async def functions(self, assistant: Assistant) -> tuple[ToolSpec, ...]:
        """What this assistant may call. A server that is down is left out, and logged."""

    def needs_approval(self, assistant: Assistant, call: ToolCall) -> bool:
        """Whether people are asked before this call is made."""

    def problem(self, call: ToolCall) -> str | None:
        """Why a call cannot be made, for the model: its arguments are not what the tool takes. None where nothing is
        known against it. Looked at before anybody is asked."""

    def repeatable(self, call: ToolCall) -> bool:
        """Whether a call of which nobody knows whether it was carried out may be made again."""

    async def call(self, call: ToolCall, scene: ToolScene) -> ToolOutput:
        """Call a tool. Raises nothing: a tool that fails, takes too long or says too much is told to the model."""

    async def close(self) -> None: ...


class Reply(Protocol):
    """What one run becomes in Slack. `text` is always the whole answer so far, so nothing can be lost between."""

    def show(self, text: str, *, whole: bool = False) -> None:
        """Show more of the answer, soon; returns at once. `whole` says that it does not go on for now, so that its last
        word is one. Raises SlackRefused once Slack takes no more."""

    def task(self, task: Task) -> None:
        """Show what a tool does, soon; what is said later of the same task replaces it."""

    def attach(self, file: FileMade) -> None:
        """Post a file after the text so far, soon. The file has to stay until the reply is finished."""

    async def finish(self, text: str, ending: Ending, sources: Sequence[Source] = ()) -> None:
        """Show all of it, what it rests on, and how it ended; returns when Slack has it. Raises SlackRefused."""

    async def apologise(self, ending: Ending) -> None:
        """Say that Slack took no more of it, if Slack takes that. Raises nothing."""

    def abandon(self) -> None:
        """Let go of it as it is: at the end, or because the process is stopping."""


class Ledger(Protocol):
    """What a reply has put into Slack, kept as soon as Slack has it (storage.base.Storage)."""

    async def add_reply_message(self, message: ReplyMessage) -> None: ...

    async def add_posted_files(self, run_id: str, digests: Sequence[str]) -> None: ...

    async def posted_files(self, run_id: str) -> frozenset[str]: ...


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
        ledger: Ledger,
        recovery: Recovery,
        folder: Path,
    ) -> Reply:
        """Begin (or go on with) a run's reply: sets the thread's status at once, in the background.

        `shown` are the messages of an earlier attempt; `ledger` keeps what comes new; `folder` is for files of the
        reply's own.
        """


class Files(Protocol):
    """What people attached. What raises, raises FileUnusable: its sentence is the reason."""

    async def described(self, file: PostFile) -> PostFile:
        """All that Slack says of a file, of which a post may know no more than that it is there."""

    async def fetch(self, file: PostFile, folder: Path, limit: int) -> Attachment:
        """Download a file, as it is described, into a folder, `limit` bytes at most. Text comes in UTF-8."""

    async def transcript(self, file: PostFile) -> str:
        """What Slack itself has written down of a recording, empty where it has not. Raises nothing."""


class Notices(Protocol):
    """Short lines of Bobbin's own."""

    async def ask(self, run: str, target: ReplyTarget, call: ToolCall, approvers: Sequence[str]) -> str:
        """Ask in the thread whether a tool may be used; only `approvers` may say so. Returns the question's ts.
        Raises SlackRefused."""

    async def found(self, run: str, thread: ThreadKey, call: ToolCall, since: float) -> str | None:
        """The ts of a question that was asked, by a process that ended before it could keep that; `since` is in seconds
        since the epoch. Raises nothing."""

    async def asked(self, thread: ThreadKey, ts: str, text: str, call: ToolCall) -> None:
        """What came of a question for a call takes its place; what was asked stays to be seen. Raises nothing."""

    async def private(self, target: ReplyTarget, text: str) -> None:
        """To one person: only they see it."""

    async def public(self, target: ReplyTarget, text: str) -> None:
        """In the thread."""

    async def mark(self, post: Post) -> None:
        """Show on a post that it waits its turn. Raises nothing."""

    async def unmark(self, post: Post) -> None:
        """Take the mark off, if there is one. Raises nothing."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a thread's history, and the files that came with it."""

    message: Message
    files: tuple[PostFile, ...] = ()


class Workspace(Protocol):
    """What Slack knows and a run needs: names, and what was said."""

    async def person(self, user: str) -> str:
        """A person's display name; their id where Slack does not tell. People choose it: it is short, on one line, and
        without what ends a name in a prompt (a colon, quotation marks)."""

    async def channel(self, channel: str) -> str:
        """A channel's name with its #, as harmless; its id where Slack does not tell."""

    async def readable(self, text: str) -> str:
        """Slack's entities (mentions, channels, links, dates, escapes) as plain text a model can read."""

    async def history(self, key: ThreadKey, *, after: str | None, before: str) -> Sequence[Said]:
        """The thread's messages between two `ts`, exclusive, oldest first; empty where Slack does not let us read."""


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """What somebody wrote in a channel: `author` is a name, `text` is readable, `permalink` empty where not known."""

    channel: str
    ts: str
    author: str
    text: str
    permalink: str = ""


class PartlyRead(list[ChannelMessage]):
    """Messages of a conversation of which not all threads were read: there are too many, or it took too long."""


class ChannelReader(Protocol):
    """Reads the one conversation that a scene names, as far as its asker may see it. Returns a PartlyRead where that
    is not all of it. Raises SlackRefused."""

    async def recent(self, scene: ToolScene, limit: int) -> Sequence[ChannelMessage]:
        """The latest messages, newest first, those in threads among them as far as Slack gives them."""

    async def search(self, scene: ToolScene, words: str, limit: int) -> Sequence[ChannelMessage]:
        """Messages that have all of these words, upper or lower case, newest first."""


class Scheduler(Protocol):
    """At most one worker drains a thread, and a wake that comes while it drains is never lost."""

    def wake(self, key: ThreadKey) -> None: ...
