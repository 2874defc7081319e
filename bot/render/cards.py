"""What tools do, as Slack's task cards, or as lines where there are none (https://docs.slack.dev/ai/developing-agents)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.engine.ports import Ending, Task, TaskStatus
from bot.render.harmless import harmless
from bot.render.limits import TASK_TEXT
from bot.render.notices import plain

#: What a card says last where its message ends before its tool does.
GOES_ON = "Goes on below."
#: Where there are no cards: a sign for each status, how many tasks are told, and the characters of each, which have
#: to go into a message together with a page of text (https://github.com/slackapi/bolt-js/issues/2509).
_SIGNS = {
    TaskStatus.IN_PROGRESS: ":hourglass_flowing_sand:",
    TaskStatus.COMPLETE: ":white_check_mark:",
    TaskStatus.ERROR: ":warning:",
}
_GOES_ON_SIGN = ":arrow_down:"
_TASKS, _LINE = 10, 80


class Cards:
    """What a reply knows of its tools, and what of it is not in Slack yet."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._untold: dict[str, Task] = {}
        self._place = 0

    @property
    def place(self) -> int | None:
        """Where in the text the first that is not told belongs; None where all is told."""
        return self._place if self._untold else None

    def tell(self, task: Task, place: int) -> None:
        """There is news of a task, after so much of the text."""
        if not self._untold:
            self._place = place
        before = self._tasks.get(task.id)
        if before is not None and not task.details:
            task = replace(task, details=before.details)
        self._tasks[task.id] = self._untold[task.id] = task

    def due(self, shown: int) -> list[Task]:
        """What can be told when so much of the text is shown."""
        return list(self._untold.values()) if self._place <= shown else []

    def told(self, tasks: Sequence[Task]) -> None:
        """These are in Slack now; a task of which there was other news meanwhile is not among them."""
        self._untold = {task.id: task for task in self._untold.values() if task not in tasks}

    def end(self, ending: Ending, place: int) -> None:
        """The run is over: a tool that nobody heard of again did not go on for ever."""
        over = TaskStatus.ERROR if ending.notice else TaskStatus.COMPLETE
        for task in list(self._tasks.values()):
            if task.status is TaskStatus.IN_PROGRESS:
                self.tell(replace(task, status=over), place)

    def leave(self, shown: Mapping[str, Task], place: int) -> list[Task]:
        """A message ends that has `shown` these: what it says last of those at work, since nothing will change there
        any more. They are to be told again after `place`, in the next one."""
        last: list[Task] = []
        again: dict[str, Task] = {}
        for told in shown.values():
            if told.status is not TaskStatus.IN_PROGRESS:
                continue
            task = self._tasks.get(told.id, told)
            self._untold.pop(task.id, None)
            if task.status is TaskStatus.IN_PROGRESS:
                again[task.id] = task
                task = replace(task, status=TaskStatus.COMPLETE, output=GOES_ON)
            last.append(task)
        if again:
            self._place = min(self._place, place) if self._untold else place
            self._untold = again | self._untold
        return last


def card(task: Task, before: Task | None) -> dict[str, Any]:
    """A card as it is now; `before` is what the same message says of it. Its title and status replace what was there,
    its details are added to it: they are said once."""
    chunk = {"type": "task_update", "id": task.id, "title": one_line(task.title, TASK_TEXT), "status": task.status}
    if task.details and not (before and before.details):
        chunk["details"] = one_line(task.details, TASK_TEXT)
    if task.output and not (before and before.output == task.output):
        chunk["output"] = one_line(task.output, TASK_TEXT)
    return chunk


def lines(tasks: Sequence[Task]) -> dict[str, Any]:
    """Where there are no cards: a line for each of the latest tasks."""
    text = "\n".join(f"{_sign(task)} {plain(one_line(task.title, _LINE), _LINE)}" for task in tasks[-_TASKS:])
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}


def _sign(task: Task) -> str:
    return _GOES_ON_SIGN if task.output == GOES_ON else _SIGNS[task.status]


def one_line(text: str, limit: int) -> str:
    """Text from a model or a tool on one line, pinging nobody."""
    text = harmless(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
