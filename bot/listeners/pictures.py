"""Whether a picture is all there. A server refuses one that is cut off, and with it the whole request.

Only what is certainly cut is called so: what does not look like its format at all is left to the server, and whatever
follows a picture's end (phones put films there) is no harm.
"""

import mmap
from pathlib import Path
from typing import Final

#: The first chunk of every PNG (https://www.w3.org/TR/png-3/#5Chunk-layout).
_PNG_HEADER: Final = b"\x00\x00\x00\x0dIHDR"
_PNG_SIGNATURE: Final = 8
#: A JPEG's markers of segments before its pixels, where those begin, and its end
#: (https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1).
_JPEG_SEGMENTS: Final = frozenset({*range(0xC0, 0xD0), *range(0xDB, 0xFF)})
_JPEG_SCAN: Final = 0xDA
_JPEG_END: Final = b"\xff\xd9"
#: A GIF's blocks that are not its end, and its bytes before the first (https://www.w3.org/Graphics/GIF/spec-gif89a.txt).
_GIF_EXTENSION: Final = 0x21
_GIF_PICTURE: Final = 0x2C
_GIF_HEADER: Final = 13


def is_cut(path: Path, media_type: str) -> bool:
    """Whether a picture ends before its end. Reads the file; False for what is no PNG, JPEG, GIF or WebP."""
    check = {
        "image/png": _png_is_cut,
        "image/jpeg": _jpeg_is_cut,
        "image/gif": _gif_is_cut,
        "image/webp": _webp_is_cut,
    }.get(media_type)
    if check is None:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return check(content)


def _png_is_cut(content: mmap.mmap) -> bool:
    place = _PNG_SIGNATURE
    if content[place : place + len(_PNG_HEADER)] != _PNG_HEADER:
        return False
    while place + 8 <= len(content):
        kind = content[place + 4 : place + 8]
        if kind == b"IEND" or not kind.isalpha():
            return False
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    return True


def _jpeg_is_cut(content: mmap.mmap) -> bool:
    place = 2
    while content[place : place + 1] == b"\xff":
        marker = _byte(content, place + 1)
        if marker == _JPEG_SCAN:
            # Within pixels an end never stands; a small picture of it, with an end of its own, lies before them.
            return content.find(_JPEG_END, place) == -1
        if marker not in _JPEG_SEGMENTS:
            return False
        following = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if following > len(content):
            return place > 2  # the first one alone tells too little
        place = following
    return False


def _gif_is_cut(content: mmap.mmap) -> bool:
    place = _GIF_HEADER + _colours(_byte(content, 10))
    while place < len(content):
        block = content[place]
        if block not in (_GIF_EXTENSION, _GIF_PICTURE):
            return False
        place += 2 if block == _GIF_EXTENSION else 11 + _colours(_byte(content, place + 9))
        while size := _byte(content, place):
            place += 1 + size
        if place > len(content):
            return True
        place += 1
    return False  # some lack the mark of their end, and nothing else


def _byte(content: mmap.mmap, place: int) -> int:
    return content[place] if place < len(content) else 0


def _colours(flags: int) -> int:
    """The bytes of a table of colours, as the byte before it says."""
    return 3 << ((flags & 0x07) + 1) if flags & 0x80 else 0


def _webp_is_cut(content: mmap.mmap) -> bool:
    # An odd size is filled up to an even one, which not every program does.
    return len(content) + 1 < 8 + int.from_bytes(content[4:8], "little")
