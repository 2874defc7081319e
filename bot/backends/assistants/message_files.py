"""What becomes of the files of a post on an Assistants server: an image to look at, an attachment of a tool, or text.

https://platform.openai.com/docs/assistants/deep-dive#creating-image-input-content
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from bot.backends.inlining import UTF8_CHARACTER, inlined
from bot.backends.limits import (
    ASSISTANT_ATTACHMENTS,
    ASSISTANTS_MESSAGE,
    IMAGE_BYTES,
    IMAGE_TYPES,
    INLINE_CHARACTERS,
    SEARCHABLE,
    UPLOAD_BYTES,
)
from bot.engine.ports import Attachment, Message

_TEXTS = frozenset(
    {"application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml"}
)
_TEXT_ENDINGS = SEARCHABLE - {".doc", ".docx", ".pdf", ".pptx"} | {
    ".csv", ".ini", ".log", ".rs", ".sql", ".toml", ".tsv", ".xml", ".yaml", ".yml"
}  # fmt: skip
_ARCHIVES = frozenset({".7z", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip"})
_TABLES = frozenset({".csv", ".ods", ".tsv", ".xls", ".xlsx"})

Tool = Literal["code_interpreter", "file_search"]


@dataclass(frozen=True, slots=True)
class Use:
    """How a file is used: as an `image`, by `tools`, as text where there is neither; not at all where there is a
    `problem`, a part of a sentence."""

    image: bool = False
    tools: tuple[Tool, ...] = ()
    problem: str | None = None


#: The server lets only people show files.
_OWN = Use(problem="it belongs to an earlier answer")


@dataclass(frozen=True, slots=True)
class Part:
    """One message on the server. A post with many files is several. `files` come with the tools that they are for,
    images with none; `unused` says of the others why they are not among them."""

    text: str
    files: tuple[tuple[Attachment, tuple[Tool, ...]], ...] = ()
    unused: tuple[str, ...] = ()


def use_of(tools: Collection[str], name: str, media_type: str, size: int) -> Use:
    """How a file is used by an assistant with these tools; `size` is in bytes."""
    ending = PurePosixPath(name).suffix.lower()
    if not 0 < size <= UPLOAD_BYTES:
        return Use(problem=f"files may have at most {UPLOAD_BYTES // 2**20} MB" if size else "is empty")
    if media_type in IMAGE_TYPES and size <= IMAGE_BYTES:
        return Use(image=True)
    fitting = _fitting(tools, ending)
    if fitting:
        return Use(tools=fitting)
    if not _is_text(ending, media_type):
        return Use(problem=_missing(ending, media_type))
    if size > INLINE_CHARACTERS * UTF8_CHARACTER:
        tool = "file search or the code interpreter" if ending in SEARCHABLE else "the code interpreter"
        return Use(problem=f"texts of more than {INLINE_CHARACTERS:,} characters need {tool}")
    return Use()


def parts_of(message: Message, tools: Collection[str]) -> list[Part]:
    """A post as messages on the server, none where there is nothing to say. Reads the files that become text."""
    texts, unused = [message.text] if message.text.strip() else [], []
    images: list[tuple[Attachment, tuple[Tool, ...]]] = []
    attached: list[tuple[Attachment, tuple[Tool, ...]]] = []
    for file in message.files:
        use = use_of(tools, file.name, file.media_type, file.size) if message.role == "user" else _OWN
        if use.problem is not None:
            unused.append(f"{file.name}: {use.problem}")
        elif use.image:
            images.append((file, ()))
        elif use.tools:
            attached.append((file, use.tools))
        else:
            texts.append(inlined(file, INLINE_CHARACTERS))
    if not texts and message.files:
        texts = ["(files)"]
    parts = [Part(text) for text in _packed(texts)]
    for place in range(0, max(len(images), len(attached)), ASSISTANT_ATTACHMENTS):
        window = slice(place, place + ASSISTANT_ATTACHMENTS)
        # The first ones belong to the post itself, so that the model sees them beside its words.
        base = parts.pop(0) if place == 0 else Part("(more files)")
        parts.insert(place // ASSISTANT_ATTACHMENTS, replace(base, files=(*images[window], *attached[window])))
    return [replace(parts[0], unused=tuple(unused)), *parts[1:]] if parts else []


def _fitting(tools: Collection[str], ending: str) -> tuple[Tool, ...]:
    fitting: list[Tool] = []
    if "code_interpreter" in tools:
        fitting.append("code_interpreter")
    if "file_search" in tools and ending in SEARCHABLE:
        fitting.append("file_search")
    return tuple(fitting)


def _is_text(ending: str, media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in _TEXTS or ending in _TEXT_ENDINGS


def _missing(ending: str, media_type: str) -> str:
    if media_type in IMAGE_TYPES:
        return f"images may have at most {IMAGE_BYTES // 2**20} MB"
    if ending in SEARCHABLE:
        return "documents need file search or the code interpreter"
    for kind, fits in (
        ("archives", ending in _ARCHIVES),
        ("tables", ending in _TABLES),
        ("images of this kind", media_type.startswith("image/")),
    ):
        if fits:
            return f"{kind} need the code interpreter"
    return "files of this kind need the code interpreter"


def _packed(texts: Sequence[str]) -> list[str]:
    """The texts in as few messages as the server's limit allows."""
    packed: list[str] = []
    for text in texts:
        if packed and len(packed[-1]) + 2 + len(text) <= ASSISTANTS_MESSAGE:
            packed[-1] += f"\n\n{text}"
        else:
            packed.append(text[:ASSISTANTS_MESSAGE])
    return packed
