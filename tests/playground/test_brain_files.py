"""What the offline brain does with files: it draws functions, and says what it was given."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import sympy

from bot.playground.openai import (
    CodeInterpreterCall,
    FileLink,
    MadeFile,
    OfflineBrain,
    Piece,
    Question,
    SeenFile,
)
from bot.playground.openai.mathematics.drawing import HEIGHT, WIDTH, draw
from bot.playground.openai.mathematics.solutions import Unsolved
from tests.playground.openai_client import MODEL, citations, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

X = sympy.Symbol("x")
CODE = ("code_interpreter",)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def brain() -> AsyncIterator[OfflineBrain]:
    brain = OfflineBrain()
    yield brain
    await brain.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def answered(
    brain: OfflineBrain, text: str, tools: tuple[str, ...] = CODE, files: tuple[SeenFile, ...] = ()
) -> tuple[str, list[Piece]]:
    """The text of an answer, and its other pieces."""
    question = Question("", (("user", text),), tools, MODEL, files)
    pieces = [piece async for piece in brain.answer(question)]
    said = "".join(piece for piece in pieces if isinstance(piece, str))
    return said, [piece for piece in pieces if not isinstance(piece, str)]


def rows(png: bytes) -> list[bytes]:
    """The rows of pixels of a picture that `draw` made, after all its chunks were checked."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    rest = png[8:]
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        kind, content = rest[4:8], rest[8 : 8 + length]
        assert struct.unpack(">I", rest[8 + length : 12 + length]) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        rest = rest[12 + length :]
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (WIDTH, HEIGHT, 8, 3, 0, 0, 0)
    data = zlib.decompress(chunks[b"IDAT"])
    lines = [data[start : start + WIDTH + 1] for start in range(0, len(data), WIDTH + 1)]
    assert len(lines) == HEIGHT
    assert {line[0] for line in lines} == {0}
    return [line[1:] for line in lines]


def curve(png: bytes, column: int) -> list[int]:
    """The rows where the graph is, in a column."""
    return [number for number, row in enumerate(rows(png)) if row[column] == 3]


async def test_a_graph_goes_where_its_function_goes() -> None:
    rising = draw(X, X, -1, 1)
    left, middle, right = (curve(rising, column) for column in (2, WIDTH // 2, WIDTH - 3))
    assert min(left) > max(middle) > min(middle) > max(right)
    bowl = draw(X**2, X, -1, 1)
    assert max(curve(bowl, 2)) < min(curve(bowl, WIDTH // 2))


async def test_a_pole_is_no_line() -> None:
    picture = draw(1 / X, X, -10, 10)
    assert all(len(curve(picture, column)) < HEIGHT - 2 for column in range(WIDTH))


async def test_a_function_has_no_graph_where_it_has_no_value() -> None:
    picture = draw(sympy.sqrt(X), X, -10, 10)
    assert curve(picture, WIDTH // 4) == []
    assert curve(picture, 3 * WIDTH // 4)
    with pytest.raises(Unsolved, match="no real values"):
        draw(sympy.sqrt(-1 - X**2), X, -1, 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Plot y = x^2 - 3 from -5 to 5, please", 'draw("plot.png", x**2 - 3, x, -5, 5)'),
        ("draw the graph of sin(x)", 'draw("plot.png", sin(x), x, -10, 10)'),
        ("Can you sketch f(x) = x^3 - 2x?", 'draw("plot.png", x**3 - 2*x, x, -10, 10)'),
    ],
)
async def test_a_function_is_drawn_by_code(brain: OfflineBrain, text: str, code: str) -> None:
    said, others = await answered(brain, text)
    call, link = others
    assert isinstance(call, CodeInterpreterCall)
    assert code in call.code
    assert call.logs == "plot.png drawn\n"
    (picture,) = call.files
    assert isinstance(picture, MadeFile)
    assert (picture.name, picture.media_type) == ("plot.png", "image/png")
    assert rows(picture.content)
    assert link == FileLink("plot.png", text=False)
    assert "I draw" in said


async def test_nothing_is_drawn_without_the_code_interpreter(brain: OfflineBrain) -> None:
    said, others = await answered(brain, "plot x^2", tools=())
    assert others == []
    assert said.endswith("no code interpreter among its tools.")


async def test_what_is_no_function_is_worked_out_instead(brain: OfflineBrain) -> None:
    said, _ = await answered(brain, "plot 2 + 2")
    assert said.endswith("**`2 + 2 = 4`**")


async def test_files_that_were_given_are_named(brain: OfflineBrain) -> None:
    files = (
        SeenFile("sums.csv", "text/csv", 1234, "file", 0),
        SeenFile("", "image/png", 50, "image", 0),
        SeenFile("https://example.com/a.png", "", 0, "image", 0),
        SeenFile("handbook.pdf", "application/pdf", 99, "searched", None),
    )
    said, _ = await answered(brain, "What is 2 + 2?", files=files)
    assert "- `sums.csv` (text/csv, 1,234 bytes)\n- an image (image/png, 50 bytes)\n" in said
    assert "- `https://example.com/a.png`\n" in said
    assert "handbook" not in said
    assert said.endswith("**`2 + 2 = 4`**")


async def test_files_are_named_once(brain: OfflineBrain) -> None:
    messages = (("user", "look"), ("assistant", "I was given this."), ("user", "What is 2 + 2?"))
    files = (SeenFile("sums.csv", "text/csv", 1234, "file", 0),)
    question = Question("", messages, (), MODEL, files)
    pieces = [piece async for piece in brain.answer(question)]
    assert "sums.csv" not in "".join(piece for piece in pieces if isinstance(piece, str))


async def test_a_file_without_a_word_is_no_call_for_help(brain: OfflineBrain) -> None:
    said, _ = await answered(brain, "", files=(SeenFile("a.txt", "text/plain", 3, "file", 0),))
    assert "`a.txt` (text/plain, 3 bytes)" in said
    assert "Ask me something besides" in said


async def test_a_drawing_arrives_through_both_apis(brain: OfflineBrain) -> None:
    async with running(brain=brain) as pair:
        tool: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
        response = await pair.client.responses.create(model=MODEL, input="plot x^2", tools=[tool])
        (citation,) = citations(response)
        files = pair.client.containers.files
        drawn = await files.content.retrieve(citation.file_id, container_id=citation.container_id)
        assert rows(drawn.read())
        assistant, thread = await pair.assistant_and_thread("plot x^2", tools=[{"type": "code_interpreter"}])
        await pair.client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
        blocks = [block for message in pair.server.messages(thread) for block in message.content]
        (image,) = [block["image_file"]["file_id"] for block in blocks if block["type"] == "image_file"]
        assert rows((await pair.client.files.content(image)).read())
