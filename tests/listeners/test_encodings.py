"""Text becomes UTF-8, in whatever encoding it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.listeners.encodings import as_utf8, encoding_of

TABLE = "Größe;Maß\nÄ;1\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_western_text_is_read_in_every_encoding(encoding: str) -> None:
    assert as_utf8(TABLE.encode(encoding)).decode() == TABLE


def test_an_umlaut_far_from_the_beginning_is_read_too() -> None:
    assert as_utf8(b"a" * 100_000 + "ü".encode("cp1252")).decode().endswith("aü")


def test_one_broken_character_leaves_the_others_whole() -> None:
    assert as_utf8("größer, öfter".encode() + b"\xff").decode() == "größer, öfter\ufffd"


def test_japanese_in_its_old_encoding_breaks_nothing() -> None:
    """Its letters come out wrong; its figures and lines do not."""
    content = "日本語;12\nテスト;34\n".encode("shift-jis")
    assert encoding_of(content)
    lines = as_utf8(content).decode().splitlines()
    assert [line.partition(";")[2] for line in lines] == ["12", "34"]


def test_no_zero_reaches_the_model() -> None:
    assert as_utf8(b"a" * 70_000 + b"\0b") == b"a" * 70_000 + b"b"


def test_xml_no_longer_says_what_it_was() -> None:
    document = '<?xml version="1.0" encoding="utf-16"?><a>ä</a>'
    assert as_utf8(document.encode("utf-16")).decode() == '<?xml version="1.0"?><a>ä</a>'
    kept = b'<?xml version="1.0" encoding="UTF-8"?><a/>'
    assert as_utf8(kept) == kept


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"MZ\x90\x00\x03\x00\x00\x00", bytes(100), b"\xff\xfe\x01\x00"])
def test_what_is_no_text_is_none(content: bytes) -> None:
    assert encoding_of(content) is None


@given(st.binary(max_size=300))
def test_whatever_the_bytes_something_comes_of_them(content: bytes) -> None:
    assert "\0" not in as_utf8(content).decode()


@given(st.text(st.characters(min_codepoint=0x20, codec="utf-8")))
def test_utf8_stays_as_it_is(text: str) -> None:
    assert as_utf8(text.encode()).decode() == text.removeprefix("\ufeff")


@given(st.text(st.characters(min_codepoint=0x20), min_size=2), st.integers(0, 3))
def test_a_character_that_is_cut_leaves_text_text(text: str, cut: int) -> None:
    for encoding in ("utf-8", "utf-16"):
        whole = text.encode(encoding, "ignore")
        assert encoding_of(whole[: len(whole) - cut])
