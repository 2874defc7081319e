"""What a file is: what its bytes say, held against what Slack and its name say.

Signatures: https://en.wikipedia.org/wiki/List_of_file_signatures. Only what backends tell apart is in the tables; of
anything else Slack's word is taken.
"""

import codecs
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from bot.errors import FileUnusable
from bot.listeners.encodings import encoding_of

_GENERIC = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_OFFICE = "application/vnd.openxmlformats-officedocument"
_WORD, _EXCEL = f"{_OFFICE}.wordprocessingml.document", f"{_OFFICE}.spreadsheetml.sheet"
_POWERPOINT = f"{_OFFICE}.presentationml.presentation"
_OLE = "application/x-ole-storage"
_ARCHIVES = ("application/zip", "application/x-zip-compressed", "application/x-zip")

Family = Literal["pdf", "archive", "office", "old office", "image", "recording", "text"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What can be told from bytes. Within a family, bytes may differ from words without harm; `words` are a
    person's."""

    family: Family
    words: str


_KINDS = {
    "application/pdf": _Kind("pdf", "a PDF"),
    **dict.fromkeys(_ARCHIVES, _Kind("archive", "a ZIP archive")),
    _WORD: _Kind("office", "a Word document"),
    _EXCEL: _Kind("office", "an Excel workbook"),
    _POWERPOINT: _Kind("office", "a PowerPoint presentation"),
    _OLE: _Kind("old office", "an old Office file"),
    "application/msword": _Kind("old office", "an old Word document"),
    "application/vnd.ms-excel": _Kind("old office", "an old Excel workbook"),
    "application/vnd.ms-powerpoint": _Kind("old office", "an old PowerPoint presentation"),
    "image/png": _Kind("image", "a PNG picture"),
    "image/jpeg": _Kind("image", "a JPEG picture"),
    "image/gif": _Kind("image", "a GIF picture"),
    "image/webp": _Kind("image", "a WebP picture"),
    "audio/mpeg": _Kind("recording", "an MP3 recording"),
    "audio/mp4": _Kind("recording", "an MP4 recording"),
    "audio/x-m4a": _Kind("recording", "an M4A recording"),
    "video/mp4": _Kind("recording", "an MP4 recording"),
    "video/quicktime": _Kind("recording", "a QuickTime recording"),
    "audio/wav": _Kind("recording", "a WAV recording"),
    "audio/x-wav": _Kind("recording", "a WAV recording"),
    "audio/ogg": _Kind("recording", "an Ogg recording"),
    "video/ogg": _Kind("recording", "an Ogg recording"),
    "audio/webm": _Kind("recording", "a WebM recording"),
    "video/webm": _Kind("recording", "a WebM recording"),
}
_TEXT = _Kind("text", "text")
#: Text by other names than text/* that every backend knows. Code, settings and logs have a hundred more, most of which
#: Slack makes of a name's ending; they are plain text.
_TEXTS = frozenset({"application/json", "application/xml", "application/rtf"})
#: What a file may be instead of what it promises: Office files are ZIP archives, and are saved in the old format when
#: they have a password.
_RELATED = frozenset({("archive", "office"), ("old office", "office"), ("office", "old office")})
#: What Slack calls the same bytes by another name, which is then kept: whether there is only sound in it, say.
_SAME = (
    frozenset({"audio/mp4", "audio/x-m4a", "video/mp4", "video/quicktime"}),
    frozenset({"audio/wav", "audio/x-wav"}),
    frozenset({"audio/ogg", "video/ogg"}),
    frozenset({"audio/webm", "video/webm"}),
    frozenset({_OLE, "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"}),
    frozenset(_ARCHIVES),
)
#: What a name's ending promises.
_ENDINGS = {
    ".pdf": "application/pdf",
    ".zip": "application/zip",
    ".docx": _WORD,
    ".xlsx": _EXCEL,
    ".pptx": _POWERPOINT,
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".webm": "video/webm",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
}

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),  # an empty one
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLE),
    (b"OggS\x00", "audio/ogg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    *((bytes([0xFF, second]), "audio/mpeg") for second in (0xFB, 0xFA, 0xF3, 0xF2)),
    *((b"ID3" + bytes([version]), "audio/mpeg") for version in (2, 3, 4)),
)
#: A RIFF file's form, and an ISO media file's brand (https://mp4ra.org/registered-types/brands); brands of no picture
#: are recordings.
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_ISO = "video/mp4"
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1")
_BRANDS = {
    b"M4A ": "audio/mp4",
    b"qt  ": "video/quicktime",
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys(_HEIF, "image/heic"),
}
_OFFICE_FOLDERS = ((b"word/", _WORD), (b"xl/", _EXCEL), (b"ppt/", _POWERPOINT))


def media_type_of(head: bytes, tail: bytes, said: str, name: str) -> str:
    """A file's media type, from its first and last bytes (LOOK of each), the type that Slack says and its name.

    Raises FileUnusable where the bytes are of another family than either of the two promises.
    """
    found = sniff(head, tail)
    for promised in (said, _ENDINGS.get(PurePath(name).suffix.lower(), "")):
        _hold_against(promised, found)
    if said in _GENERIC:
        return found or "application/octet-stream"
    return said if found is None or _says_as_much(said, found) else found


def sniff(head: bytes, tail: bytes = b"") -> str | None:
    """What bytes say that they are; None for what is not in the tables. Raises nothing."""
    for signature, media_type in _SIGNATURES:
        if head.startswith(signature):
            return _packed(head, tail) if media_type == "application/zip" else media_type
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:5] == b"%PDF-":
        return "application/pdf"
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _ISO)
    return "text/plain" if encoding_of(head) else None


def is_text(media_type: str) -> bool:
    """Whether a file of this type is text."""
    return media_type.startswith("text/") or media_type in _TEXTS


def _packed(head: bytes, tail: bytes) -> str:
    """A ZIP archive's kind. Its list of names is at its end; archives made in one pass have them at the beginning."""
    for folder, media_type in _OFFICE_FOLDERS:
        if b"[Content_Types].xml" in head + tail and (folder in tail or folder in head):
            return media_type
    return "application/zip"


def _kind(media_type: str) -> _Kind | None:
    return _TEXT if is_text(media_type) else _KINDS.get(media_type)


def _hold_against(promised: str, found: str | None) -> None:
    wanted, got = _kind(promised), _kind(found or "")
    if wanted is None or (got and (wanted.family == got.family or (wanted.family, got.family) in _RELATED)):
        return
    raise FileUnusable(f"says it is {wanted.words} but is {got.words if got else 'not'}")


def _says_as_much(said: str, found: str) -> bool:
    """Whether Slack's word is as good as what was found, or better: many formats are ZIP archives inside, and pictures
    have more brands than are in the table."""
    if found == "text/plain":
        return is_text(said)
    if found == "application/zip" or (found == _ISO and said.startswith("image/")):
        return True
    return said == found or any(said in names and found in names for names in _SAME)
