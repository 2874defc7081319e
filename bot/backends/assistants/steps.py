"""The steps of a run on an Assistants server, as tasks.

https://platform.openai.com/docs/api-reference/run-steps
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import field as field_of
from typing import Any

from openai.types.beta.threads import runs

from bot.backends.fields import field, listed, words
from bot.engine.ports import Task, TaskStatus, ToolOutput

_TITLES = {"code_interpreter": "Runs code", "file_search": "Searches its files"}
#: Characters of a line about a task.
_LINE = 200


@dataclass(slots=True)
class _Growing:
    """A call that is being written: what it is of, and the first line of its code that says anything, once that is
    whole: an unfinished one would be told word by word."""

    call: str
    title: str
    line: str = ""
    _begun: list[str] = field_of(default_factory=list)

    def grow(self, code: str) -> None:
        if self.line:
            return
        self._begun.append(code)
        if "\n" in code:
            whole, _, rest = "".join(self._begun).rpartition("\n")
            self.line, self._begun = one_line(whole), [rest]


class StepTasks:
    """What the server's own tools are at. Functions are not among them: who calls those tells of them."""

    def __init__(self) -> None:
        self._told: dict[str, Task] = {}
        #: By step and place in it: later deltas of a call name neither its id nor its type.
        self._growing: dict[tuple[str, int], _Growing] = {}

    def grow(self, delta: runs.RunStepDeltaEvent) -> list[Task]:
        """More of a step. Returns what is new to tell."""
        calls = enumerate(listed(delta, "delta", "step_details", "tool_calls"))
        tasks = (self._grown(words(delta, "id"), place, call) for place, call in calls)
        return [task for task in tasks if task is not None and self._is_news(task)]

    def settle(self, step: runs.RunStep) -> list[Task]:
        """A step as the server shows it now. Returns what is new to tell."""
        output = one_line(words(step, "last_error", "message"))
        tasks = [
            Task(words(call, "id"), title, _status(step), one_line(words(call, "code_interpreter", "input")), output)
            for call in _calls(step)
            if (title := _title(call)) and words(call, "id")
        ]
        return [task for task in tasks if self._is_news(task)]

    def close(self, *, well: bool) -> list[Task]:
        """The run is over: what was never said to have ended has ended too."""
        status = TaskStatus.COMPLETE if well else TaskStatus.ERROR
        open_ones = [task for task in self._told.values() if task.status is TaskStatus.IN_PROGRESS]
        ended = [replace(task, status=status) for task in open_ones]
        return [task for task in ended if self._is_news(task)]

    def _grown(self, step: str, place: int, call: object) -> Task | None:
        index = field(call, "index")
        key = (step, index if isinstance(index, int) else place)
        call_id, title = words(call, "id"), _title(call)
        if call_id and title:
            self._growing.setdefault(key, _Growing(call_id, title))
        growing = self._growing.get(key)
        if growing is None:
            return None
        growing.grow(words(call, "code_interpreter", "input"))
        return Task(growing.call, growing.title, TaskStatus.IN_PROGRESS, growing.line)

    def _is_news(self, task: Task) -> bool:
        news = self._told.get(task.id) != task
        self._told[task.id] = task
        return news


def images_of(step: runs.RunStep) -> list[str]:
    """The ids of the images that a step's code made."""
    outputs = [output for call in _calls(step) for output in listed(call, "code_interpreter", "outputs")]
    return [file for output in outputs if (file := words(output, "image", "file_id"))]


def before_outputs(steps: Sequence[runs.RunStep], outputs: Sequence[ToolOutput]) -> Sequence[runs.RunStep]:
    """Of a run's steps, oldest first, those until it waited for these outputs; none where it never did."""
    answered = {output.call for output in outputs}
    last = max((place for place, step in enumerate(steps, 1) if answered & _functions(step)), default=0)
    return steps[:last]


def left_waiting(step: runs.RunStep) -> bool:
    """Whether a function of this step was never answered."""
    return any(field(call, "type") == "function" and field(call, "function", "output") is None for call in _calls(step))


def messages_of(steps: Sequence[runs.RunStep]) -> set[str]:
    """The ids of the messages that these steps made."""
    made = (words(step, "step_details", "message_creation", "message_id") for step in steps)
    return {message for message in made if message}


def one_line(text: str) -> str:
    """The first line that says anything, and not too much of it."""
    lines = (line.strip() for line in text.splitlines())
    line = next((line for line in lines if line), "")
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"


def _functions(step: runs.RunStep) -> set[str]:
    return {words(call, "id") for call in _calls(step) if field(call, "type") == "function"}


def _calls(step: runs.RunStep) -> list[Any]:
    return listed(step, "step_details", "tool_calls")


def _title(call: object) -> str:
    return _TITLES.get(words(call, "type"), "")


def _status(step: runs.RunStep) -> TaskStatus:
    if step.status == "in_progress":
        return TaskStatus.IN_PROGRESS
    return TaskStatus.COMPLETE if step.status == "completed" else TaskStatus.ERROR
