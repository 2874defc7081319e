"""Servers that keep no conversation: Bobbin keeps it, and sends it with every run.

For Ollama, vLLM, llama.cpp and LM Studio, and for organisations with zero data retention. Only what those servers share
of the Responses API is used: model, input, instructions, functions, stream, temperature, top_p, max_output_tokens
(https://docs.ollama.com/api/openai-compatibility).
"""

import json
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol

import openai
import structlog
from openai.types import responses as types

from bot.backends.checks import check_models, unreachable
from bot.backends.failures import check_lengths, lacks_model, needs_other_model, once_answering, translated
from bot.backends.limits import CHARACTERS_PER_TOKEN
from bot.backends.local.exchanges import Exchange, answer, calls_of, ends_with, exchanges_of, is_open, said_in, trimmed
from bot.backends.local.messages import file_problem, input_of
from bot.backends.responses.events import (
    ResponseProgress,
    answer_of,
    ended_event,
    failed_for_its_model,
    failure_of,
    output_of,
    read_stream,
    usage_of,
)
from bot.backends.retries import Patience, patiently
from bot.backends.streaming import BREAKS, StreamedCall, stream_timeout
from bot.engine.ports import (
    Ability,
    Assistant,
    Attachment,
    CallsWanted,
    Check,
    HistoryItem,
    Message,
    RunEnded,
    RunEvent,
    RunRequest,
    RunStarted,
    RunStatus,
    TextDelta,
    TextDone,
    ThreadKey,
    ToolCall,
    ToolOutput,
)
from bot.errors import BackendError, BackendUnsupported, ContextOverflow, PostTooLong, RunBroken

_log = structlog.get_logger()

#: Seconds without an event after which a stream counts as broken: a model on a small machine takes its time.
_SILENCE = 600.0
#: Tokens that are left for the answer where the assistant does not say how many it may have.
_ANSWER = 2_000
#: How often a conversation is cut in half after a server said that it is too long.
_HALVINGS = 3
_HISTORY = "history"


class Histories(Protocol):
    """Where conversations are kept (storage.base.Storage)."""

    async def add_items(self, items: Sequence[HistoryItem]) -> None: ...

    async def items(self, thread: str) -> Sequence[HistoryItem]: ...


class LocalBackend:
    """A thread is a list of items in Bobbin's database, a run an exchange in it: what was asked, what tools said, and
    the answer, kept as soon as each is known."""

    name = "local"
    abilities = frozenset(
        {
            Ability.FUNCTIONS,
            Ability.TEMPERATURE,
            Ability.TOP_P,
            Ability.MAX_OUTPUT_TOKENS,
            Ability.TOOL_CHOICE,
            Ability.FALLBACK_MODELS,
        }
    )

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        histories: Histories,
        *,
        context_tokens: int,
        patience: Patience | None = None,
        silence: float = _SILENCE,
    ) -> None:
        """`client` must have `max_retries=0`; `context_tokens` is what the model can read and write at once."""
        self._client = client
        self._histories = histories
        self._context = context_tokens
        self._patience = patience or Patience()
        self._silence = stream_timeout(silence)
        self._streamed: StreamedCall[types.ResponseStreamEvent] = StreamedCall()
        self.message_limit = max(context_tokens - _ANSWER, 1) * CHARACTERS_PER_TOKEN

    async def close(self) -> None:
        await self._client.close()

    async def check(self, models: Sequence[str]) -> Sequence[Check]:
        """Whether the server is there, accepts the key, and has these models."""
        try:
            await self._client.models.list()
        except openai.APIConnectionError as error:
            return [Check("backend local", unreachable(self._client, error))]
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            return [Check("backend local", translated(error).sentence)]
        except openai.APIError as error:
            # That a server does not list its models is no news; check_models tells what else is wrong.
            _log.debug("models-not-listed", error=type(error).__name__)
        return [Check("backend local", None), *await check_models(self._client, models)]

    def file_problem(self, assistant: Assistant, name: str, media_type: str, size: int, before: int = 0) -> str | None:  # noqa: ARG002
        return file_problem(media_type, size)

    async def transcribe(self, audio: Attachment) -> str:  # noqa: ARG002 - nothing can listen
        raise BackendUnsupported("recordings cannot be written down with this backend")

    async def create_thread(
        self,
        key: ThreadKey,  # noqa: ARG002 - nobody else's
        history: Sequence[Message],
        *,
        moderated: bool = False,  # noqa: ARG002 - not among its abilities
    ) -> str:
        thread = f"local-{uuid.uuid4().hex}"
        await self._keep(thread, _HISTORY, [await input_of(message) for message in history if _says(message)])
        return thread

    async def run(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        check_lengths(request.messages, self.message_limit)
        answering = False
        try:
            async with aclosing(self._events(request)) as events:
                async for event in events:
                    answering = answering or isinstance(event, TextDelta | TextDone)
                    yield event
        except openai.APIError as error:
            explained = _explained(error, request.assistant)
            raise (once_answering(explained) if answering else explained) from error

    async def cancel(self, request: RunRequest, shown: str = "") -> RunEnded | None:
        """Nobody goes on with it: closing the stream was its end. What was asked stays, calls are answered."""
        mine = (await self._exchanges(request)).get(request.run)
        if mine is None or not is_open(mine):
            return None
        items: list[Any] = [_not_carried_out(call.id) for call in calls_of(mine)]
        if shown.strip():
            items.append(answer(shown))
        await self._keep(request.backend_thread, request.run, items)
        return None

    async def _events(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        yield RunStarted(request.run)
        exchanges = await self._exchanges(request)
        mine = exchanges.get(request.run)
        if mine is None:
            await self._answer_left(request.backend_thread, exchanges)
            items = [await input_of(message) for message in request.messages if _says(message)]
            if request.attempt == 1 or not ends_with(list(exchanges.values()), items):
                await self._keep(request.backend_thread, request.run, items)
        elif not is_open(mine):
            # An earlier attempt got its answer and kept it; then the process died.
            yield TextDone(said_in(mine))
            yield RunEnded(RunStatus.COMPLETED)
            return
        elif calls := calls_of(mine):
            if not request.outputs:
                yield CallsWanted(calls)
                return
            longest = self.message_limit // (2 * len(calls))
            outputs = [_told(output, longest) for output in request.outputs]
            await self._keep(request.backend_thread, request.run, outputs)
        async with aclosing(self._answer(request)) as events:
            async for event in events:
                yield event

    async def _answer(self, request: RunRequest) -> AsyncGenerator[RunEvent, None]:
        models = deque(dict.fromkeys([request.assistant.model, *request.assistant.fallback_models]))
        while True:
            opened = await self._opened(request, models)
            progress = ResponseProgress()
            if isinstance(opened, types.Response):
                progress.ended = opened
            else:
                try:
                    async for event in read_stream(opened, progress):
                        if not isinstance(event, RunStarted):
                            yield event
                except BREAKS as error:
                    _log.info("stream-broke", run=request.run, error=type(error).__name__)
                    progress.broke = True
                finally:
                    await opened.close()
            if not (models and failed_for_its_model(progress)):
                break
            _log.warning("model-passed-over", run=request.run)
        for last in await self._concluded(request, progress):
            yield last

    async def _opened(
        self, request: RunRequest, models: deque[str]
    ) -> openai.AsyncStream[types.ResponseStreamEvent] | types.Response:
        """The response, with as much of the conversation as the model can read, by the first model that there is;
        `models` are those left then."""
        tokens = self._context - (request.assistant.max_output_tokens or _ANSWER)
        halving, model = 0, models.popleft()
        while True:
            parameters = await self._parameters(request, tokens >> halving) | {"model": model}
            patience = self._patience.in_haste if models else self._patience
            try:
                return await patiently(partial(self._create, parameters), patience)
            except openai.APIStatusError as error:
                if models and needs_other_model(error):
                    _log.warning("model-passed-over", model=model, code=error.code, status=error.status_code)
                    model = models.popleft()
                elif halving < _HALVINGS and isinstance(_explained(error, request.assistant), ContextOverflow):
                    halving += 1
                else:
                    raise

    async def _create(self, parameters: dict[str, Any]) -> openai.AsyncStream[Any] | types.Response:
        create = partial(self._client.responses.with_raw_response.create, **parameters, timeout=self._silence)
        made = await self._streamed.make(create)
        if isinstance(made, openai.AsyncStream):
            return made
        if "output" not in made:
            raise RunBroken("The model server's answer cannot be read. Please try again.")
        return types.Response.construct(**made)

    async def _parameters(self, request: RunRequest, tokens: int) -> dict[str, Any]:
        assistant = request.assistant
        instructions = f"{assistant.instructions}\n\n{request.context}"
        tools = [
            {"type": "function", "name": f.name, "description": f.description, "parameters": dict(f.parameters)}
            for f in request.functions
        ]
        room = tokens - (len(instructions) + len(json.dumps(tools))) // CHARACTERS_PER_TOKEN
        kept = trimmed(list((await self._exchanges(request)).values()), room)
        if kept is None:
            raise PostTooLong(
                f"That is more than this model can read at once (about {max(room, 0) * CHARACTERS_PER_TOKEN:,} "
                "characters). Please shorten it, or send it in parts."
            )
        wanted = {
            "input": kept,
            "instructions": instructions,
            "store": False,
            "tools": tools or None,
            "tool_choice": _choice(request) if tools else None,
            "temperature": assistant.temperature,
            "top_p": assistant.top_p,
            "max_output_tokens": assistant.max_output_tokens,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    async def _concluded(self, request: RunRequest, progress: ResponseProgress) -> list[RunEvent]:
        """The last events; what was answered is kept first."""
        response, shown = progress.ended, progress.transcript.text
        if progress.error is not None:
            raise progress.error
        if response is None:
            # Some servers end their stream without a word; a cut is something else.
            if progress.broke or not shown:
                raise RunBroken(
                    "The connection to the model server broke in the middle of the answer. Please try again."
                )
            await self._keep(request.backend_thread, request.run, [answer(shown)])
            return [RunEnded(RunStatus.COMPLETED, model=request.assistant.model)]
        if response.status == "failed" and not shown:
            failure = failure_of(response)
            if isinstance(failure, ContextOverflow):
                raise failure
        text = progress.transcript.settle(answer_of(response), final=response.status == "completed")
        whole = text if text is not None else shown
        calls = _own_ids(request, response)
        items: list[Any] = [answer(whole, cut=response.status == "incomplete")] if whole else []
        items += [
            {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
            for call in calls
        ]
        if response.status in ("completed", "incomplete", None):
            await self._keep(request.backend_thread, request.run, items)
        told: list[RunEvent] = [] if text is None else [TextDone(text)]
        if calls:
            return [*told, CallsWanted(calls, usage_of(response), response.model)]
        return [*told, ended_event(response)]

    async def _answer_left(self, thread: str, exchanges: Mapping[str, Exchange]) -> None:
        """Calls that earlier runs left without their outputs would make every request fail."""
        for exchange, earlier in exchanges.items():
            if left := calls_of(earlier):
                await self._keep(thread, exchange, [_not_carried_out(call.id) for call in left])

    async def _exchanges(self, request: RunRequest) -> dict[str, Exchange]:
        return exchanges_of(await self._histories.items(request.backend_thread))

    async def _keep(self, thread: str, exchange: str, items: Sequence[Any]) -> None:
        known = await self._histories.items(thread)
        begin = known[-1].seq + 1 if known else 0
        await self._histories.add_items(
            [HistoryItem(thread, begin + place, exchange, json.dumps(item)) for place, item in enumerate(items)]
        )


def _own_ids(request: RunRequest, response: types.Response) -> tuple[ToolCall, ...]:
    """The calls of a response under ids that no other call of the thread has: some servers begin anew each time."""
    wanted = [item for item in output_of(response) if item.type == "function_call"]
    mark = uuid.uuid5(uuid.NAMESPACE_OID, f"{request.run} {response.id}").hex[:12]
    return tuple(ToolCall(f"call_{mark}_{n}", item.name, item.arguments or "{}") for n, item in enumerate(wanted))


def _says(message: Message) -> bool:
    return bool(message.text.strip() or message.files)


def _told(output: ToolOutput, longest: int) -> dict[str, Any]:
    """What a call came to, cut so that the conversation still fits."""
    text = f"Error: {output.text}" if output.failed else output.text
    return _output(output.call, text if len(text) <= longest else f"{text[:longest]}\n… cut: it was too long to read.")


def _output(call: str, text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call, "output": text}


def _not_carried_out(call: str) -> dict[str, Any]:
    return _output(call, "Error: this was cancelled. Nothing was done.")


def _choice(request: RunRequest) -> Any:
    """Whoever has called what it was told to call may answer now, else it would call for ever; and a tool whose server
    is down cannot be called."""
    wanted = request.assistant.tool_choice
    if wanted in (None, "none", "auto"):
        return wanted
    if request.outputs:
        return "auto"
    if wanted == "required":
        return wanted
    offered = any(spec.name == wanted for spec in request.functions)
    return {"type": "function", "name": wanted} if offered else "auto"


def _explained(error: openai.APIError, assistant: Assistant) -> BackendError:
    said = str(error.message).lower()
    if "context" in said and ("length" in said or "exceed" in said or "window" in said or "size" in said):
        return ContextOverflow("This conversation is too long for the model. Reset the thread, or start a new one.")
    if isinstance(error, openai.NotFoundError) and not lacks_model(error):
        return BackendUnsupported(
            "This server does not offer the Responses API. An admin can set OPENAI_BASE_URL to another."
        )
    return translated(error, assistant)
