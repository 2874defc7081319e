"""Recordings, made text.

https://platform.openai.com/docs/guides/speech-to-text
"""

from functools import partial

import openai

from bot.backends.failures import lacks_model
from bot.backends.limits import AUDIO_BYTES
from bot.backends.retries import Patience, patiently
from bot.backends.uploads import fitting_name, opened
from bot.engine.ports import Attachment
from bot.errors import BackendError, BackendRefused, BackendUnsupported

#: The first that the server has: OpenAI's own, then the one that compatible servers have.
_MODELS = ("gpt-transcribe", "whisper-1")
#: Seconds for a long recording: until the server has heard it all.
_TIMEOUT = openai.Timeout(300.0, connect=5.0)

#: HTTP statuses of a server that does not take this recording.
_NOT_HEARD = (400, 413, 415, 422)
_UNHEARD = (
    "The model server cannot listen to this recording. MP3, MP4, M4A, WAV, WebM, Ogg and FLAC can be heard, if they "
    "are whole and somebody speaks."
)


async def transcribed(client: openai.AsyncOpenAI, patience: Patience, audio: Attachment) -> str:
    """What is said in a recording. Raises openai.APIError, BackendUnsupported where the server does not listen, and
    BackendError for a recording that is too large, or that the server does not take."""
    if audio.size > AUDIO_BYTES:
        raise BackendError(f"A recording may have at most {AUDIO_BYTES // 2**20} MB.")
    for model in _MODELS:
        try:
            # Heard twice, it is paid twice, and nothing else: better than not at all.
            return await patiently(partial(_heard, client, model, audio), patience, repeatable=True)
        except openai.APIStatusError as error:
            if error.status_code in (404, 405, 501) or lacks_model(error):
                continue
            if error.status_code in _NOT_HEARD:
                raise BackendRefused(_UNHEARD) from error
            raise
    raise BackendUnsupported("This model server cannot listen to recordings.")


async def _heard(client: openai.AsyncOpenAI, model: str, audio: Attachment) -> str:
    name = fitting_name(audio.name, audio.media_type)
    with await opened(audio.path) as file:
        heard = await client.audio.transcriptions.create(
            model=model, file=(name, file, audio.media_type), timeout=_TIMEOUT
        )
    return heard.text
