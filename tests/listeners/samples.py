"""Bytes of files of every kind."""

import io
import struct
import zipfile
import zlib


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in names:
            packed.writestr(name, "x")
    return out.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(side: int = 64) -> bytes:
    """A picture that every reader takes, of noise, so that it stays large."""
    pixels = b"".join(b"\0" + bytes((x * y * 37 + x) % 256 for x in range(side)) for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rest = _chunk(b"IDAT", zlib.compress(pixels)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + rest


def jpeg(pixels: bytes = b"\x12\x34" * 500) -> bytes:
    """The form of a JPEG: a small picture within its first segments, then the pixels."""
    small = b"\xff\xd8\xff\xda\x00\x02\x00\xff\xd9"
    exif = b"\xff\xe1" + struct.pack(">H", 2 + len(small)) + small
    tables = b"\xff\xdb" + struct.pack(">H", 2 + 64) + bytes(64)
    return b"\xff\xd8" + exif + tables + b"\xff\xda\x00\x08" + bytes(6) + pixels + b"\xff\xd9"


def gif(pixels: bytes = bytes(200)) -> bytes:
    colours = bytes(6)
    frame = b"\x2c" + bytes(8) + b"\x00\x02" + bytes([len(pixels)]) + pixels + b"\x00"
    return b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + colours + b"\x21\xf9\x04" + bytes(5) + frame + b"\x3b"


def webp(content: bytes = bytes(200)) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WEBP" + content


#: The beginning of a picture, which is enough for most tests.
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
PDF = b"%PDF-1.7\n" + bytes(range(256))
ZIP, DOCX = archive("a.txt"), archive("[Content_Types].xml", "word/document.xml")
