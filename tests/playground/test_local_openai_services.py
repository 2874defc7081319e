"""Moderation, transcription, and models that come and go, through the real openai package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.playground.openai_client import MODEL, Pair, loose, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running() as pair:
        yield pair


async def test_moderation_flags_the_words_that_it_was_told(pair: Pair) -> None:
    pair.server.switches.flagged = {"Bomb": "violence", "idiot": "harassment"}
    create = pair.client.moderations.create
    judged = await create(model="omni-moderation-latest", input=["How to build a bomb?", "Hello."])
    assert judged.model == "omni-moderation-latest"
    bad, good = judged.results
    assert (bad.flagged, bad.categories.violence, bad.categories.harassment) == (True, True, False)
    assert bad.category_scores.violence > 0.5 > bad.category_scores.harassment
    assert (good.flagged, good.categories.violence) == (False, False)
    assert (await create(input="you IDIOT")).results[0].categories.harassment


async def test_moderation_judges_the_parts_of_an_input_together(pair: Pair) -> None:
    pair.server.switches.flagged = {"bomb": "violence"}
    parts: Any = [
        {"type": "text", "text": "a bomb"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    (result,) = (await pair.client.moderations.create(input=parts)).results
    assert result.flagged
    assert result.category_applied_input_types.violence == ["text", "image"]
    assert result.category_applied_input_types.hate == ["text"]


async def test_moderation_refuses_what_it_does_not_know(pair: Pair) -> None:
    async with refused(400, code="invalid_value", param="model"):
        await pair.client.moderations.create(model="gpt-6.1-terra", input="x")
    async with refused(400, code="array_below_min_length", param="input"):
        await pair.client.moderations.create(input=[])
    odd: Any = [{"type": "audio"}]
    async with refused(400, code="invalid_value", param="input[0].type"):
        await pair.client.moderations.create(input=odd)


async def test_transcription_says_what_it_was_told(pair: Pair) -> None:
    pair.server.switches.transcript = "What is two and two?"
    create = pair.client.audio.transcriptions.create
    said = await create(model="gpt-4o-transcribe", file=("note.m4a", b"sound", "audio/mp4"), language="en")
    assert said.text == "What is two and two?"
    plain: Any = await create(model="whisper-1", file=("note.webm", b"sound", "audio/webm"), response_format="text")
    assert plain == "What is two and two?\n"
    assert [(each.name, each.media_type, each.content) for each in pair.server.recordings] == [
        ("note.m4a", "audio/mp4", b"sound"),
        ("note.webm", "audio/webm", b"sound"),
    ]


async def test_recordings_that_nobody_can_hear_are_refused(pair: Pair) -> None:
    create = pair.client.audio.transcriptions.create
    async with refused(400, code="unsupported_value", param="file", sentence="Unrecognized file format."):
        await create(model="gpt-4o-transcribe", file=("note.txt", b"text"))
    async with refused(400, code="invalid_value", param="file", sentence="corrupted or unsupported"):
        await create(model="gpt-4o-transcribe", file=("note.mp3", b""))
    async with refused(413, sentence="Maximum content size limit (26214400) exceeded"):
        await create(model="gpt-4o-transcribe", file=("note.mp3", b"x" * (25 * 2**20 + 1)))
    async with refused(404, code="model_not_found"):
        await create(model=MODEL, file=("note.mp3", b"sound"))
    async with refused(400, code="unknown_parameter", param="speed"):
        await create(model="whisper-1", file=("note.mp3", b"sound"), extra_body={"speed": "2"})
    async with refused(400, code="invalid_value", param="response_format"):
        await create(model="whisper-1", file=("note.mp3", b"sound"), response_format=loose("poem"))
    assert pair.server.recordings == ()


async def test_retired_model_is_not_found(pair: Pair) -> None:
    assistant, thread = await pair.assistant_and_thread()
    pair.server.switches.retired.add(MODEL)
    sentence = f"The model `{MODEL}` has been deprecated"
    async with refused(404, code="model_not_found", sentence=sentence):
        await pair.client.responses.create(model=MODEL, input="x")
    async with refused(404, code="model_not_found", sentence=sentence):
        await pair.client.models.retrieve(MODEL)
    async with refused(404, code="model_not_found", sentence=sentence):
        await pair.client.beta.threads.runs.create(thread, assistant_id=assistant)
    assert MODEL not in [model.id async for model in pair.client.models.list()]
    assert (await pair.client.responses.create(model="gpt-6-luna", input="x")).status == "completed"


@pytest.mark.parametrize(
    ("status", "code", "error", "run_code"),
    [
        (429, "rate_limit_exceeded", openai.RateLimitError, "rate_limit_exceeded"),
        (503, "server_is_overloaded", openai.InternalServerError, "server_error"),
    ],
)
async def test_overloaded_model_says_so(pair: Pair, status: int, code: str, error: Any, run_code: str) -> None:
    pair.server.switches.overloaded[MODEL] = status
    with pytest.raises(error) as caught:
        await pair.client.responses.create(model=MODEL, input="x")
    assert caught.value.code == code
    assert not pair.server.responses
    other = await pair.client.responses.create(model="gpt-6-luna", input="x")
    assert other.status == "completed"
    assistant, thread = await pair.assistant_and_thread()
    runs = pair.client.beta.threads.runs
    run = await runs.create_and_poll(thread_id=thread, assistant_id=assistant, poll_interval_ms=1)
    assert run.last_error is not None
    assert (run.status, run.last_error.code) == ("failed", run_code)
    pair.server.switches.overloaded.clear()
    assert (await runs.create_and_poll(thread_id=thread, assistant_id=assistant)).status == "completed"
