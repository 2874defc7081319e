"""The server's objects: frozen records whose fields are the fields on the wire."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeAlias

from bot.playground.openai import limits

Json: TypeAlias = dict[str, Any]

ACTIVE_RUN = frozenset({"queued", "in_progress", "requires_action", "cancelling"})
"""The states in which a run locks its thread."""

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """An id as OpenAI makes them: the kind, and 24 random characters."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(24))


@dataclass(frozen=True, slots=True)
class Upload:
    """The file of a form."""

    name: str
    media_type: str
    content: bytes


class Record:
    """What all objects share: an id, a kind, and a form on the wire."""

    __slots__ = ()
    object: ClassVar[str]
    private: ClassVar[frozenset[str]] = frozenset()

    def wire(self) -> Json:
        """The object as the API sends it."""
        shown: Json = {"id": None, "object": self.object}
        names = (each.name for each in fields(self) if each.name not in self.private)  # type: ignore[arg-type]
        return shown | {name: getattr(self, name) for name in names}

    def row(self) -> Json:
        """Everything, for the state file."""
        return {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Assistant(Record):
    """https://developers.openai.com/api/reference, "The assistant object"."""

    object: ClassVar[str] = "assistant"
    id: str
    created_at: int
    model: str
    name: str | None = None
    description: str | None = None
    instructions: str | None = None
    tools: list[Json] = field(default_factory=list)
    tool_resources: Json | None = None
    metadata: Json = field(default_factory=dict)
    temperature: float | None = 1.0
    top_p: float | None = 1.0
    reasoning_effort: str | None = None
    response_format: str | Json | None = "auto"


@dataclass(frozen=True, kw_only=True)
class Thread(Record):
    """https://developers.openai.com/api/reference, "The thread object"."""

    object: ClassVar[str] = "thread"
    id: str
    created_at: int
    metadata: Json = field(default_factory=dict)
    tool_resources: Json | None = None


@dataclass(frozen=True, kw_only=True)
class Message(Record):
    """https://developers.openai.com/api/reference, "The message object"."""

    object: ClassVar[str] = "thread.message"
    id: str
    created_at: int
    thread_id: str
    role: str
    status: str = "completed"
    incomplete_details: Json | None = None
    completed_at: int | None = None
    incomplete_at: int | None = None
    content: list[Json] = field(default_factory=list)
    assistant_id: str | None = None
    run_id: str | None = None
    attachments: list[Json] = field(default_factory=list)
    metadata: Json = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text blocks, joined."""
        return "\n".join(block["text"]["value"] for block in self.content if block["type"] == "text")


@dataclass(frozen=True, kw_only=True)
class Run(Record):
    """https://developers.openai.com/api/reference, "The run object"."""

    object: ClassVar[str] = "thread.run"
    id: str
    created_at: int
    thread_id: str
    assistant_id: str
    model: str
    instructions: str
    status: str = "queued"
    started_at: int | None = None
    expires_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    required_action: Json | None = None
    last_error: Json | None = None
    incomplete_details: Json | None = None
    tools: list[Json] = field(default_factory=list)
    metadata: Json = field(default_factory=dict)
    usage: Json | None = None
    temperature: float | None = 1.0
    top_p: float | None = 1.0
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    truncation_strategy: Json = field(default_factory=lambda: {"type": "auto", "last_messages": None})
    tool_choice: str | Json = "auto"
    parallel_tool_calls: bool = True
    response_format: str | Json | None = "auto"
    reasoning_effort: str | None = None

    @property
    def active(self) -> bool:
        """Whether the run locks its thread."""
        return self.status in ACTIVE_RUN


@dataclass(frozen=True, kw_only=True)
class RunStep(Record):
    """https://developers.openai.com/api/reference, "The run step object"."""

    object: ClassVar[str] = "thread.run.step"
    id: str
    created_at: int
    run_id: str
    assistant_id: str
    thread_id: str
    type: str
    step_details: Json
    status: str = "in_progress"
    cancelled_at: int | None = None
    completed_at: int | None = None
    expired_at: int | None = None
    failed_at: int | None = None
    last_error: Json | None = None
    usage: Json | None = None
    metadata: Json | None = None


@dataclass(frozen=True, kw_only=True)
class Conversation(Record):
    """https://developers.openai.com/api/reference, "The conversation object"."""

    object: ClassVar[str] = "conversation"
    id: str
    created_at: int
    metadata: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Response(Record):
    """https://developers.openai.com/api/reference, "The response object"; `input` is kept, but not shown."""

    object: ClassVar[str] = "response"
    private: ClassVar[frozenset[str]] = frozenset({"input"})
    id: str
    created_at: int
    model: str
    status: str = "in_progress"
    background: bool = False
    completed_at: int | None = None
    error: Json | None = None
    incomplete_details: Json | None = None
    instructions: str | None = None
    conversation: Json | None = None
    previous_response_id: str | None = None
    output: list[Json] = field(default_factory=list)
    input: list[Json] = field(default_factory=list)
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: Json = field(default_factory=dict)
    parallel_tool_calls: bool = True
    prompt_cache_key: str | None = None
    reasoning: Json = field(default_factory=lambda: {"effort": None, "summary": None})
    safety_identifier: str | None = None
    service_tier: str = "default"
    store: bool = True
    temperature: float | None = 1.0
    text: Json = field(default_factory=lambda: {"format": {"type": "text"}, "verbosity": "medium"})
    tool_choice: str | Json = "auto"
    tools: list[Json] = field(default_factory=list)
    top_logprobs: int = 0
    top_p: float | None = 1.0
    truncation: str = "disabled"
    usage: Json | None = None
    user: str | None = None

    @property
    def active(self) -> bool:
        """Whether the response is still being made."""
        return self.status in {"queued", "in_progress"}


@dataclass(frozen=True, kw_only=True)
class File(Record):
    """https://developers.openai.com/api/reference, "The file object"; `content` is base64, and not shown."""

    object: ClassVar[str] = "file"
    private: ClassVar[frozenset[str]] = frozenset({"content", "media_type"})
    id: str
    created_at: int
    bytes: int
    filename: str
    purpose: str
    content: str
    media_type: str = ""
    status: str = "processed"


@dataclass(frozen=True, kw_only=True)
class Container(Record):
    """https://developers.openai.com/api/reference, "The container object"."""

    object: ClassVar[str] = "container"
    id: str
    created_at: int
    last_active_at: int
    name: str
    status: str = "running"
    expires_after: Json = field(
        default_factory=lambda: {"anchor": "last_active_at", "minutes": limits.CONTAINER_IDLE_MINUTES}
    )
    memory_limit: str = "1g"
    network_policy: Json | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerFile(Record):
    """https://developers.openai.com/api/reference, "The container file object"; `content` is base64, and not shown."""

    object: ClassVar[str] = "container.file"
    private: ClassVar[frozenset[str]] = frozenset({"content"})
    id: str
    container_id: str
    created_at: int
    bytes: int
    path: str
    source: str
    content: str

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class VectorStore(Record):
    """https://developers.openai.com/api/reference, "The vector store object", but for what follows from its files."""

    object: ClassVar[str] = "vector_store"
    id: str
    created_at: int
    last_active_at: int
    name: str = ""
    description: str | None = None
    expires_after: Json | None = None
    metadata: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VectorStoreFile(Record):
    """https://developers.openai.com/api/reference, "The vector store file object"; its id is the file's."""

    object: ClassVar[str] = "vector_store.file"
    private: ClassVar[frozenset[str]] = frozenset({"batch"})
    id: str
    vector_store_id: str
    created_at: int
    status: str = "in_progress"
    last_error: Json | None = None
    usage_bytes: int = 0
    attributes: Json = field(default_factory=dict)
    chunking_strategy: Json = field(default_factory=dict)
    batch: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileBatch(Record):
    """https://developers.openai.com/api/reference, "The vector store files batch object"; its files know it."""

    object: ClassVar[str] = "vector_store.files_batch"
    private: ClassVar[frozenset[str]] = frozenset({"cancelled"})
    id: str
    created_at: int
    vector_store_id: str
    cancelled: bool = False
