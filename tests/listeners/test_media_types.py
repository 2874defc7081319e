"""What a file is: what its bytes, its name and Slack say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import FileUnusable
from bot.listeners.media_types import media_type_of, sniff
from tests.listeners.samples import DOCX, PDF, PNG, ZIP, archive


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (PDF, "application/pdf"),
        (b"\xef\xbb\xbf\n%PDF-1.4", "application/pdf"),
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF89a\x00", "image/gif"),
        (b"RIFF\x01\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x01\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\x00\x00\x00\x20ftypM4A \x00", "audio/mp4"),
        (b"\x00\x00\x00\x20ftypisom\x00", "video/mp4"),
        (b"\x00\x00\x00\x20ftypheic\x00", "image/heic"),
        (b"OggS\x00\x02", "audio/ogg"),
        (b"\x1aE\xdf\xa3\x01", "video/webm"),
        (ZIP, "application/zip"),
        (DOCX, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (
            archive("[Content_Types].xml", "xl/workbook.xml"),
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (
            archive("[Content_Types].xml", "ppt/presentation.xml"),
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        ("größer".encode(), "text/plain"),
        ("größer".encode("latin-1"), "text/plain"),
        ("größer".encode("utf-16"), "text/plain"),
        (b"ID3 tags are explained here", "text/plain"),
        (b"\x00\x01\x02", None),
    ],
)
def test_bytes_say_what_they_are(content: bytes, found: str | None) -> None:
    assert sniff(content, content) == found


@pytest.mark.parametrize(
    ("content", "said", "name", "is_type"),
    [
        (b"\x00\x00\x00\x20ftypisom\x00", "audio/mp4", "voice.m4a", "audio/mp4"),
        (b"\x1aE\xdf\xa3", "audio/webm", "voice.webm", "audio/webm"),
        (b"\xff\xd8\xff", "image/png", "a.png", "image/jpeg"),
        (b"\xff\xd8\xff", "image/heic", "a.heic", "image/jpeg"),
        (b"{}", "application/json", "a.json", "application/json"),
        (b"x", "text/x-python", "a.py", "text/x-python"),
        (b"x", "application/octet-stream", "Makefile", "text/plain"),
        (PDF, "", "scan", "application/pdf"),
        (ZIP, "application/java-archive", "a.jar", "application/java-archive"),
        (DOCX, "application/zip", "a.zip", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (b"\x00\x01", "application/x-secret", "a.bin", "application/x-secret"),
        (b"\x00\x01", "", "a.bin", "application/octet-stream"),
        (b"<svg/>", "image/svg+xml", "a.svg", "text/plain"),
        (b"<a/>", "application/xml", "a.xml", "application/xml"),
        (b"# a", "text/markdown", "a.md", "text/markdown"),
    ],
)
def test_what_agrees_is_called_by_its_best_name(content: bytes, said: str, name: str, is_type: str) -> None:
    assert media_type_of(content, content, said, name) == is_type


_TYPES = (
    st.sampled_from(["", "application/pdf", "text/plain", "image/png", "video/mp4", "application/x-odd"]) | st.text()
)
_BEGINNINGS = st.sampled_from(
    [b"", b"%PDF-", b"PK\x03\x04", b"RIFF", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\x00\x18ftyp", b"ID3", b"\xef\xbb\xbf"]
)


@given(_BEGINNINGS, st.binary(max_size=200), st.binary(max_size=50), _TYPES, st.text(max_size=8))
def test_no_bytes_make_the_look_fail(begin: bytes, head: bytes, tail: bytes, said: str, name: str) -> None:
    """Whatever they are, there is a type, or one sentence."""
    try:
        outcome = media_type_of(begin + head, tail, said, name)
    except FileUnusable as error:
        outcome = error.sentence
    assert "/" in outcome or outcome.startswith("says it is ") or outcome == said


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("application/octet-stream", "a.go"),
        ("application/yaml", "a.yaml"),
        ("application/toml", "a.toml"),
        ("application/sql", "a.sql"),
        ("application/x-ruby", "a.rb"),
        ("application/typescript", "a.ts"),
        ("application/jsonl", "a.jsonl"),
        ("application/x-ndjson", "a.ndjson"),
        ("application/ld+json", "a.jsonld"),
        ("application/x-ipynb+json", "a.ipynb"),
        ("message/rfc822", "a.eml"),
        ("video/mp2t", "index.ts"),
        ("audio/x-mpegurl", "a.m3u"),
    ],
)
def test_text_is_text_whatever_slack_calls_it(said: str, name: str) -> None:
    """No backend knows all of these names, and refused what it could read."""
    content = b"a: 1\n"
    assert media_type_of(content, content, said, name) == "text/plain"


@pytest.mark.parametrize("brand", [b"heic", b"heis", b"heim", b"hevc", b"mif1", b"avif", b"avis"])
def test_a_picture_from_a_phone_is_no_recording(brand: bytes) -> None:
    head = b"\x00\x00\x00\x18ftyp" + brand + bytes(50)
    assert media_type_of(head, head, "application/octet-stream", "IMG_1.HEIC").startswith("image/")


def test_a_picture_of_an_unknown_brand_is_believed() -> None:
    head = b"\x00\x00\x00\x18ftypnew1" + bytes(50)
    assert media_type_of(head, head, "image/heic", "IMG_1.HEIC") == "image/heic"
    assert media_type_of(head, head, "", "clip") == "video/mp4"


def test_json_that_is_no_text_is_refused() -> None:
    with pytest.raises(FileUnusable, match=r"^says it is text but is not$"):
        media_type_of(b"\x00\x01", b"\x00\x01", "application/json", "a.json")
