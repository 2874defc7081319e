"""What messages of an Assistants server consist of.

openai/types/beta/threads/message_content.py, message_content_delta.py
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as field_of
from urllib.parse import quote

from bot.backends.fields import field, listed, words

#: An image that came within the message, as a data URL.
_UNSHOWN = "(an image that cannot be shown here)"
#: Characters of a URL that a link in Markdown takes as they are.
_URL = "!#$%&'*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class ContentPart:
    """A part of a message, or more of it: its `text`, in which each of `marks` stands for a file that is cited; the
    `link` to a picture elsewhere; the files that it shows, and those that its text points to."""

    index: int
    text: str = ""
    link: str = ""
    marks: Mapping[str, str] = field_of(default_factory=dict)
    images: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def parts_of(content: object) -> list[ContentPart]:
    """The parts of a message's content, or of a delta's."""
    parts = content if isinstance(content, list) else [content]
    return [_part(place, part) for place, part in enumerate(parts) if part is not None]


def files_of(content: object) -> list[str]:
    """The ids of the files that a message shows or points to, in order."""
    return [file for part in parts_of(content) for file in (*part.images, *part.files)]


def _part(place: int, part: object) -> ContentPart:
    # Some servers send bare texts for parts, and for what a part says.
    said = part if isinstance(part, str) else field(part, "text")
    text = said if isinstance(said, str) else words(said, "value")
    index = field(part, "index")
    notes = listed(said, "annotations")
    image = words(part, "image_file", "file_id")
    pointed_to = [words(note, "file_path", "file_id") for note in notes if field(note, "type") == "file_path"]
    return ContentPart(
        index=index if isinstance(index, int) else place,
        text=text or words(part, "refusal"),
        link=_link(field(part, "image_url")),
        marks=_marks(notes),
        images=(image,) if image else (),
        files=tuple(file for file in pointed_to if file),
    )


def _marks(notes: Sequence[object]) -> dict[str, str]:
    cited = [note for note in notes if field(note, "type") == "file_citation"]
    marks = {words(note, "text"): words(note, "file_citation", "file_id") for note in cited}
    return {mark: file for mark, file in marks.items() if mark and file}


def _link(image: object) -> str:
    url = image if isinstance(image, str) else words(image, "url")
    if url.startswith(("https://", "http://")):
        return f"[image]({quote(url, safe=_URL)})"
    return _UNSHOWN if url else ""
