"""The steps of a run on an Assistants server, as tasks.

https://platform.openai.com/docs/api-reference/run-steps
"""

from collections.abc import Sequence
from dataclasses import replace

from openai.types.beta.threads import runs

from bot.engine.ports import Task, TaskStatus, ToolOutput

_TITLES = {"code_interpreter": "Runs code", "file_search": "Searches its files"}
#: Characters of a line about a task.
_LINE = 200


class StepTasks:
    """What the server's own tools are at. Functions are not among them: who calls those tells of them."""

    def __init__(self) -> None:
        self._told: dict[str, Task] = {}
        #: The call and its code so far, by step and place in it: later deltas name neither id nor type.
        self._growing: dict[tuple[str, int], tuple[str, str]] = {}

    def grow(self, delta: runs.RunStepDeltaEvent) -> list[Task]:
        """More of a step. Returns what is new to tell."""
        details = delta.delta.step_details
        if details is None or details.type != "tool_calls":
            return []
        tasks = (self._grown(delta.id, call) for call in details.tool_calls or [])
        return [task for task in tasks if task is not None and self._is_news(task)]

    def settle(self, step: runs.RunStep) -> list[Task]:
        """A step as the server shows it now. Returns what is new to tell."""
        output = one_line(step.last_error.message) if step.last_error else ""
        tasks = [
            Task(call.id, _TITLES[call.type], _status(step), _details(call), output)
            for call in _calls(step)
            if call.type in _TITLES
        ]
        return [task for task in tasks if self._is_news(task)]

    def close(self, *, well: bool) -> list[Task]:
        """The run is over: what was never said to have ended has ended too."""
        status = TaskStatus.COMPLETE if well else TaskStatus.ERROR
        open_ones = [task for task in self._told.values() if task.status is TaskStatus.IN_PROGRESS]
        ended = [replace(task, status=status) for task in open_ones]
        return [task for task in ended if self._is_news(task)]

    def _grown(self, step: str, call: runs.ToolCallDelta) -> Task | None:
        key = (step, call.index)
        if call.id and call.type in _TITLES:
            self._growing.setdefault(key, (call.id, ""))
        if key not in self._growing:
            return None
        call_id, code = self._growing[key]
        if call.type == "code_interpreter" and call.code_interpreter:
            code += call.code_interpreter.input or ""
            self._growing[key] = (call_id, code)
        # An unfinished line would be told word by word.
        return Task(call_id, _TITLES[call.type], TaskStatus.IN_PROGRESS, one_line(code.rpartition("\n")[0]))

    def _is_news(self, task: Task) -> bool:
        news = self._told.get(task.id) != task
        self._told[task.id] = task
        return news


def images_of(step: runs.RunStep) -> list[str]:
    """The ids of the images that a step's code made."""
    ran = [call.code_interpreter for call in _calls(step) if call.type == "code_interpreter"]
    outputs = [output for code in ran if code for output in code.outputs or []]
    return [output.image.file_id for output in outputs if output.type == "image"]


def before_outputs(steps: Sequence[runs.RunStep], outputs: Sequence[ToolOutput]) -> Sequence[runs.RunStep]:
    """Of a run's steps, oldest first, those until it waited for these outputs; none where it never did."""
    answered = {output.call for output in outputs}
    last = max((place for place, step in enumerate(steps, 1) if answered & _functions(step)), default=0)
    return steps[:last]


def left_waiting(step: runs.RunStep) -> bool:
    """Whether a function of this step was never answered."""
    return any(call.type == "function" and call.function.output is None for call in _calls(step))


def messages_of(steps: Sequence[runs.RunStep]) -> set[str]:
    """The ids of the messages that these steps made."""
    details = [step.step_details for step in steps]
    return {each.message_creation.message_id for each in details if each and each.type == "message_creation"}


def one_line(text: str) -> str:
    """The first line that says anything, and not too much of it."""
    lines = (line.strip() for line in text.splitlines())
    line = next((line for line in lines if line), "")
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"


def _functions(step: runs.RunStep) -> set[str]:
    return {call.id for call in _calls(step) if call.type == "function"}


def _calls(step: runs.RunStep) -> Sequence[runs.ToolCall]:
    """A step's calls of tools. Servers leave out what is not known yet: a list, an object, code's outputs."""
    details = step.step_details
    return (details.tool_calls or []) if details and details.type == "tool_calls" else []


def _status(step: runs.RunStep) -> TaskStatus:
    if step.status == "in_progress":
        return TaskStatus.IN_PROGRESS
    return TaskStatus.COMPLETE if step.status == "completed" else TaskStatus.ERROR


def _details(call: runs.ToolCall) -> str:
    if call.type != "code_interpreter" or not call.code_interpreter:
        return ""
    return one_line(call.code_interpreter.input or "")
