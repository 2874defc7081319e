"""/audio/transcriptions: https://developers.openai.com/api/reference, "Create transcription". Nobody listens: a test
says what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from bot.playground.openai import limits
from bot.playground.openai.errors import ApiError, bad_request
from bot.playground.openai.files import read_form
from bot.playground.openai.parameters import missing, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.playground.openai.calls import Call
    from bot.playground.openai.records import Json, Upload
    from bot.playground.openai.router import Route
    from bot.playground.openai.state import State
    from bot.playground.openai.switches import Switches

MODELS = (
    "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe-2025-12-15", "whisper-1",
    "gpt-4o-transcribe-diarize",
)  # fmt: skip
_FIELDS = (
    "model", "language", "languages[]", "prompt", "response_format", "temperature", "stream", "chunking_strategy",
    "include[]", "keywords[]", "timestamp_granularities[]", "known_speaker_names[]", "known_speaker_references[]",
)  # fmt: skip


class TranscriptionEndpoints:
    """Takes recordings, and answers with `Switches.transcript`."""

    def __init__(self, state: State, switches: Switches) -> None:
        self._state = state
        self._switches = switches

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "POST", "/audio/transcriptions", self.create

    async def create(self, call: Call) -> Json | web.Response:
        fields, upload = await read_form(call.request)
        for name in fields:
            if name not in _FIELDS:
                raise bad_request(f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
        if upload is None:
            raise missing("file")
        if "model" not in fields:
            raise missing("model")
        if fields["model"] not in MODELS:
            raise ApiError(404, f"The model `{fields['model']}` does not exist.", code="model_not_found")
        self._switches.check_load(fields["model"])
        _check_audio(upload)
        # The formats that every model has; those with times need somebody who listened.
        form = fields.get("response_format", "json")
        one_of("json", "text")(form, "response_format")
        self._state.recordings.append(upload)
        text = self._switches.transcript
        if form == "text":
            return web.Response(text=f"{text}\n")
        return {"text": text, "usage": {"type": "duration", "seconds": 1}}


def _check_audio(upload: Upload) -> None:
    if len(upload.content) > limits.AUDIO_BYTES:
        raise ApiError(
            413,
            f"413: Maximum content size limit ({limits.AUDIO_BYTES}) exceeded ({len(upload.content)} bytes read)",
        )
    if upload.name.rpartition(".")[2].lower() not in limits.AUDIO_ENDINGS:
        raise bad_request(
            f"Unrecognized file format. Supported formats: {sorted(limits.AUDIO_ENDINGS)}",
            code="unsupported_value",
            param="file",
        )
    if not upload.content:
        raise bad_request("Audio file might be corrupted or unsupported", code="invalid_value", param="file")
