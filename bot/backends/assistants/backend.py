"""The Assistants protocol: threads, messages and runs on a server that keeps them.

https://platform.openai.com/docs/api-reference/assistants
"""

from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise

import openai
import structlog

from bot.backends.assistants.definitions import Definitions
from bot.backends.assistants.lock import ThreadLock
from bot.backends.assistants.message_files import use_of
from bot.backends.assistants.messages import ThreadMessages
from bot.backends.assistants.runs import AssistantRuns, Stream, models_of
from bot.backends.checks import check_models, unreachable
from bot.backends.failures import needs_other_model, translated
from bot.backends.guarded import guarded
from bot.backends.limits import ASSISTANTS_MESSAGE, AUDIO_BYTES
from bot.backends.moderation import Moderation
from bot.backends.retries import LOCK_PATIENCE, Patience
from bot.backends.transcription import transcribed
from bot.backends.vector_stores import READING, VectorStores, lacks_store
from bot.engine.ports import (
    Ability,
    Assistant,
    Attachment,
    Check,
    FilesUnused,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    ThreadKey,
)
from bot.errors import BackendError, BackendUnsupported, RunBroken, ThreadGone

_log = structlog.get_logger()

#: Seconds between two looks at a run where the server does not say (openai/lib/_assistants_runs.py).
_POLL = 1.0
#: Seconds of silence after which a stream counts as broken: the run goes on without it, and can be looked at.
_SILENCE = 90.0


class AssistantsBackend:
    """Each Slack thread is a thread on the server, each assistant an object there."""

    name = "assistants"
    message_limit = ASSISTANTS_MESSAGE
    recording_limit = AUDIO_BYTES
    abilities = frozenset(
        {
            Ability.CODE_INTERPRETER,
            Ability.FILE_SEARCH,
            Ability.FUNCTIONS,
            Ability.TEMPERATURE,
            Ability.TOP_P,
            Ability.REASONING_EFFORT,
            Ability.RESPONSE_FORMAT,
            Ability.JSON_OBJECT,
            Ability.TOOL_CHOICE,
            Ability.MAX_OUTPUT_TOKENS,
            Ability.TRUNCATION,
            Ability.FALLBACK_MODELS,
            Ability.MODERATION,
        }
    )

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        patience: Patience | None = None,
        lock_patience: Patience = LOCK_PATIENCE,
        reading: Patience = READING,
        poll: float = _POLL,
        silence: float = _SILENCE,
    ) -> None:
        """`client` must have `max_retries=0`; `poll` and `silence` (see AssistantRuns) are in seconds; `reading` is for
        the files of assistants."""
        patience = patience or Patience()
        lock = ThreadLock(client, patience, lock_patience)
        self._client = client
        self._patience = patience
        self._definitions = Definitions(client, patience, VectorStores(client, patience, reading))
        self._moderation = Moderation(client, patience)
        self._messages = ThreadMessages(client, patience, lock)
        self._runs = AssistantRuns(client, patience, lock, self._messages, poll=poll, silence=silence)

    async def close(self) -> None:
        await self._client.close()

    async def check(self, models: Sequence[str]) -> Sequence[Check]:
        """Whether the server is there, accepts the key, speaks the protocol, and has these models."""
        try:
            await self._client.beta.assistants.list(limit=1)
        except openai.APIConnectionError as error:
            return [Check("backend assistants", unreachable(self._client, error))]
        except openai.APIError as error:
            return [Check("backend assistants", (await self._explained(error)).sentence)]
        return [Check("backend assistants", None), *await check_models(self._client, models)]

    async def create_thread(self, key: ThreadKey, history: Sequence[Message], assistant: Assistant) -> str:
        try:
            said = await self._moderation.allowed(history) if assistant.moderation else history
            return await self._messages.create_thread(key, said, assistant.tools)
        except openai.APIError as error:
            raise await self._explained(error) from error

    def file_problem(self, assistant: Assistant, name: str, media_type: str, size: int, before: int = 0) -> str | None:  # noqa: ARG002
        return use_of(assistant.tools, name, media_type, size).problem

    async def transcribe(self, audio: Attachment) -> str:
        try:
            return await transcribed(self._client, self._patience, audio)
        except openai.APIError as error:
            raise translated(error) from error

    def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        async def explained(error: openai.APIError) -> BackendError:
            return await self._explained(error, request)

        events = self._moderation.around(request, self._events(request))
        return guarded(request, self.message_limit, events, explained)

    async def cancel(self, request: RunRequest, shown: str = "") -> RunEnded | None:  # noqa: ARG002 - it has it
        try:
            run_id = await self._runs.find(request)
            return None if run_id is None else await self._runs.cancel(request.backend_thread, run_id)
        except openai.NotFoundError:
            return None  # with its thread, the run is gone
        except openai.APIError as error:
            raise translated(error) from error

    async def _events(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        opened = await self._taken_up(request)
        if opened is None:
            unused = await self._messages.add(
                request.backend_thread, request.messages, request.assistant.tools, missing=request.attempt > 1
            )
            if unused:
                yield FilesUnused(unused)
            opened = await self._started(request)
        async with aclosing(self._runs.follow(request, opened)) as events:
            async for event in events:
                yield event

    async def _taken_up(self, request: RunRequest) -> Stream | str | None:
        """The stream or the id of the run that an earlier attempt, or an earlier leg, started; None where none did."""
        found = await self._runs.find(request) if request.attempt > 1 or request.backend_run else None
        if found is not None:
            return await self._runs.resume(request, found)
        if request.outputs:
            raise RunBroken("The answer that waited for its tools is gone from the server. Please try again.")
        return None

    async def _started(self, request: RunRequest) -> Stream | str:
        """Started with the first model that is there and has time."""
        models = models_of(request.assistant)
        defined = request.assistant
        for model, other in pairwise(models):
            try:
                return await self._started_with(request, defined, model)
            except openai.APIError as error:
                if not needs_other_model(error):
                    raise
                _log.info("model-passed-over", run=request.run, model=model, error=type(error).__name__)
                if error.code == "model_not_found":
                    # No assistant can be made, or kept, with a model that is not there.
                    defined = replace(defined, model=other)
        return await self._started_with(request, defined, models[-1])

    async def _started_with(self, request: RunRequest, defined: Assistant, model: str) -> Stream | str:
        """Started, once more where the server has lost the assistant, or what it searches."""
        assistant_id = ""
        try:
            assistant_id = await self._definitions.ensure(defined)
            return await self._runs.start(request, assistant_id, model)
        except (openai.NotFoundError, openai.BadRequestError) as error:
            if lacks_store(error):
                self._definitions.forget_store(defined)
            elif not assistant_id or isinstance(error, openai.BadRequestError):
                raise
            elif await _missing(self._client.beta.assistants.retrieve(assistant_id)):
                self._definitions.forget(defined, assistant_id)
            else:
                raise
        assistant_id = await self._definitions.ensure(defined)
        try:
            return await self._runs.start(request, assistant_id, model)
        except (openai.NotFoundError, openai.BadRequestError) as error:
            if not lacks_store(error):
                raise
            # Then it is the thread's own, which the server made for the files of posts, and lets expire.
            raise ThreadGone("The files of this conversation are gone from the server.") from error

    async def _explained(self, error: openai.APIError, request: RunRequest | None = None) -> BackendError:
        """What a refusal means: a 404 can be the model's, the whole protocol's, or the thread's."""
        assistant: Assistant | None = request.assistant if request else None
        if not isinstance(error, openai.NotFoundError) or error.code == "model_not_found":
            return translated(error, assistant)
        # The words of a 404 differ from server to server: looking is surer than reading them.
        try:
            if await _missing(self._client.beta.assistants.list(limit=1)):
                return BackendUnsupported(
                    "this server no longer offers the Assistants API; set BOBBIN_BACKEND=responses"
                )
            if request and await _missing(self._client.beta.threads.retrieve(request.backend_thread)):
                return ThreadGone("The conversation is gone from the server.")
        except openai.APIError as second:
            return translated(second, assistant)
        return translated(error, assistant)


async def _missing(looking: Awaitable[object]) -> bool:
    """Whether the server answers 404. Raises openai.APIError for any other refusal."""
    try:
        await looking
    except openai.NotFoundError:
        return True
    return False
