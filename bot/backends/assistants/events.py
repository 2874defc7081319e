"""The Assistants protocol's stream and objects, as run events.

https://platform.openai.com/docs/api-reference/assistants-streaming/events
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from openai.types import beta
from openai.types.beta import threads
from openai.types.beta.threads import runs

from bot.backends.assistants.citations import Citations, GrowingText
from bot.backends.assistants.content import ContentPart, files_of, parts_of
from bot.backends.assistants.made_files import FileNames, RunFiles
from bot.backends.assistants.steps import StepTasks, images_of
from bot.backends.failures import cut_off, raised_in_run
from bot.backends.fields import field
from bot.backends.transcript import Transcript
from bot.backends.usage import counted, detailed
from bot.engine.ports import RunEnded, RunEvent, RunStarted, RunStatus, Source, Sources, TextDelta, TextDone

_ENDS = frozenset(f"thread.run.{status}" for status in RunStatus if status.ended or status == "requires_action")
_EXPIRED = "The server gave up on this answer: it took too long there. Please try again."
_WAITED = "The tools that this answer needs took longer than the server waits for them. Please try again."
_MESSAGE_ENDS = frozenset({"thread.message.completed", "thread.message.incomplete"})


class RunProgress:
    """What is known of a run: its id, what it said, made and cites, and the run as it ended, each as soon as the
    server says so."""

    def __init__(self, files: RunFiles, names: FileNames) -> None:
        self.run_id: str | None = None
        self.transcript = Transcript()
        self.tasks = StepTasks()
        self.ended: threads.Run | None = None
        self._files = files
        self._names = names
        self._citations = Citations()
        self._cited = 0
        self._growing = GrowingText(self._citations)
        self._message: tuple[str, int] = ("", 0)

    def skip(self, messages: Sequence[threads.Message], steps: Sequence[runs.RunStep]) -> None:
        """These came earlier in the run: their numbers go on, and their files were handed out."""
        for message in messages:
            self._written(message)
        for file in [*(file for step in steps for file in images_of(step)), *_files_of(messages)]:
            self._files.skip(file)

    async def grow(self, event: threads.MessageDeltaEvent) -> AsyncGenerator[RunEvent, None]:
        """More of a message."""
        for part in parts_of(field(event, "delta", "content")):
            text = self.transcript.grow(self._grown(event.id, part))
            if text:
                yield TextDelta(text)
            async for made in self._made(part.images):
                yield made
        async for cited in self._sources():
            yield cited

    async def close(self, message: threads.Message) -> AsyncGenerator[RunEvent, None]:
        """A message that is whole."""
        yield TextDone(self.transcript.close(self._written(message)))
        async for event in self._all_of([message]):
            yield event

    async def settle(self, messages: Sequence[threads.Message], *, final: bool) -> AsyncGenerator[RunEvent, None]:
        """The run's messages as the server keeps them, after the stream or instead of it."""
        text = self.transcript.settle([self._written(message) for message in messages], final=final)
        if text is not None:
            yield TextDone(text)
        async for event in self._all_of(messages):
            yield event

    async def step(self, step: runs.RunStep) -> AsyncGenerator[RunEvent, None]:
        """A step as it is now."""
        for task in self.tasks.settle(step):
            yield task
        async for made in self._made(images_of(step)):
            yield made

    def _grown(self, message: str, part: ContentPart) -> str:
        if not (part.text or part.marks):
            return ""
        between = ""
        if self._message != (message, part.index):
            between = "\n\n" if self._message[0] == message and self.transcript.open else ""
            self._message, self._growing = (message, part.index), GrowingText(self._citations)
        for mark, file in part.marks.items():
            self._growing.mark(mark, file)
        return between + self._growing.grow(part.text)

    def _written(self, message: threads.Message) -> str:
        """What a message says: its texts and refusals, and where pictures are that lie elsewhere."""
        said = [self._citations.rewritten(part.text, part.marks) or part.link for part in parts_of(message.content)]
        return "\n\n".join(each for each in said if each)

    async def _all_of(self, messages: Sequence[threads.Message]) -> AsyncGenerator[RunEvent, None]:
        async for event in self._made(_files_of(messages)):
            yield event
        async for cited in self._sources():
            yield cited

    async def _made(self, files: Sequence[str]) -> AsyncGenerator[RunEvent, None]:
        for file in files:
            made = await self._files.made(file)
            if made is not None:
                yield made

    async def _sources(self) -> AsyncGenerator[RunEvent, None]:
        files = self._citations.files
        if len(files) > self._cited:
            self._cited = len(files)
            yield Sources(tuple([Source(await self._names.name(file)) for file in files]))


async def read_stream(
    stream: AsyncIterator[beta.AssistantStreamEvent], progress: RunProgress
) -> AsyncGenerator[RunEvent, None]:
    """The events of one run but for its end, which `progress` has then. Raises what breaks the stream."""
    async for event in stream:
        # A server's own kinds of event come without a name.
        name: str | None = getattr(event, "event", None)
        data = getattr(event, "data", None)
        # `thread.run.created` comes first, unless something on the way swallows it.
        if isinstance(data, threads.Run) and data.id and progress.run_id is None:
            progress.run_id = data.id
            yield RunStarted(data.id)
        if name in _ENDS and isinstance(data, threads.Run):
            # One that does not tell which it is, or how it ended, is looked at.
            progress.ended = data if progress.run_id and name == f"thread.run.{data.status}" else None
            return
        async for said in _told(name, data, progress):
            yield said


async def _told(name: str | None, data: object, progress: RunProgress) -> AsyncGenerator[RunEvent, None]:
    if isinstance(data, threads.MessageDeltaEvent):
        async for event in progress.grow(data):
            yield event
    elif name in _MESSAGE_ENDS and isinstance(data, threads.Message):
        async for event in progress.close(data):
            yield event
    elif isinstance(data, runs.RunStepDeltaEvent):
        for task in progress.tasks.grow(data):
            yield task
    elif isinstance(data, runs.RunStep):
        async for event in progress.step(data):
            yield event


def ended_event(run: threads.Run, *, waited: bool = False) -> RunEnded:
    """How a run ended, with a sentence where it did not complete. `waited` is whether it was for a function's output
    that an expired one waited."""
    counts = counted(run.usage, input_tokens="prompt_tokens", output_tokens="completion_tokens")
    # Servers differ in the name, and the SDK knows neither.
    for details in ("prompt_tokens_details", "prompt_token_details"):
        counts |= detailed(run.usage, details, cached_tokens="cached_tokens")
    for details in ("completion_tokens_details", "completion_token_details"):
        counts |= detailed(run.usage, details, reasoning_tokens="reasoning_tokens")
    status, reason = _ending(run, waited)
    return RunEnded(status, reason, counts, run.model or None)


def _ending(run: threads.Run, waited: bool) -> tuple[RunStatus, str | None]:
    match run.status:
        case "completed":
            return RunStatus.COMPLETED, None
        case "incomplete":
            return RunStatus.INCOMPLETE, cut_off(run.incomplete_details.reason if run.incomplete_details else None)
        case "expired":
            return RunStatus.EXPIRED, _WAITED if waited else _EXPIRED
        case "cancelled":
            return RunStatus.CANCELLED, "This answer was cancelled on the server."
        case _:
            error = run.last_error
            failure = raised_in_run(error.code, error.message) if error else raised_in_run(None, None)
            return RunStatus.FAILED, failure.sentence


def _files_of(messages: Sequence[threads.Message]) -> list[str]:
    return [file for message in messages for file in files_of(message.content)]
