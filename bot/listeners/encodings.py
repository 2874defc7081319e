"""Text in whatever encoding people have it, as UTF-8, the only one that models and backends read.

https://www.unicode.org/faq/utf_bom.html
"""

import codecs
import re

#: How much of a file's beginning tells.
LOOK = 65_536
#: Marks at the beginning, and what they say. UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Control characters that text has; what has others is none.
_CONTROLS = frozenset("\t\n\v\f\r\x1b\b")
#: What an XML document says of its encoding, which is UTF-8 where it says nothing.
_XML_ENCODING = re.compile(r"""(\A<\?xml\b[^>]{0,100}?)\s+encoding\s*=\s*(?:"[\w.:-]*"|'[\w.:-]*')""")


def encoding_of(head: bytes) -> str | None:
    """The Unicode encoding in which a file that begins so is text; "utf-8" stands for any in which ASCII is as in
    ASCII. None where it is no text. Raises nothing."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding if _reads(head, encoding) else None
    if _is_clean(head.decode("latin-1")):
        return "utf-8"
    # Without a mark, by the zeros that Western text has in every other byte.
    for encoding, high, low in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if high.count(0) > len(high) // 2 and 0 not in low and _reads(head, encoding):
            return encoding
    return None


def as_utf8(content: bytes) -> bytes:
    """Text as UTF-8, without a mark and without zeros. What is in no Unicode encoding is taken for Windows' Western
    one: in others the letters come out wrong, and nothing else."""
    encoding = encoding_of(content[:LOOK]) or "utf-8"
    text = content.decode(encoding, "replace")
    if encoding == "utf-8" and _is_other(text):
        encoding, text = "cp1252", content.decode("cp1252", "replace")
    if encoding != "utf-8":
        text = _XML_ENCODING.sub(r"\1", text)
    return text.replace("\0", "").encode()


def _reads(head: bytes, encoding: str) -> bool:
    try:
        # Not final: the last character may have been cut.
        return _is_clean(codecs.getincrementaldecoder(encoding)().decode(head))
    except UnicodeDecodeError:
        return False


def _is_clean(text: str) -> bool:
    return not any(character < " " and character not in _CONTROLS for character in set(text))


def _is_other(text: str) -> bool:
    """Whether text was not in UTF-8, as which it was read: one broken character in a long log is no proof."""
    broken = text.count("\ufffd")
    return broken * 2 > len(text) - len(text.encode("ascii", "ignore"))
