"""A run in a terminal: the answer on one stream, what else there is to say on the other, y or n from the keyboard."""

import asyncio
import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from bot.engine.ports import FileMade, Source, Task, TaskStatus, ToolCall
from bot.render.harmless import UnlinkedText, unlinked

#: Of what a tool does or says, in one line.
_NOTE_LIMIT = 300
#: What is not written: control characters, those that turn the direction of text or hide it, halves of characters. A
#: few of them every text has, and emoji and some scripts are joined by others.
_STEERING = frozenset({"Cc", "Cf", "Cs"})
_HARMLESS = frozenset("\n\t\u200c\u200d")


class Terminal:
    """Shows one run. What comes from a model may hold anything: none of it gets to steer the terminal."""

    def __init__(self, say: Callable[[str], object], note: Callable[[str], object], *, together: bool = False) -> None:
        """`say` writes text as it is; `note` writes a line elsewhere, or to the same place where they go `together`."""
        self._say = say
        self._note = note
        self._together = together
        #: The text of earlier legs, and of this one.
        self._before = ""
        self._own = ""
        #: Of this one, without links that lead nowhere (the files are copied): what can be shown, and how much is.
        self._showable = UnlinkedText()
        self._shown = 0
        self._line_is_open = False
        #: What was told of each task while it goes on; None once it is over.
        self._tasks: dict[str, str | None] = {}

    def grow(self, text: str) -> None:
        """More of the answer."""
        if not self._own and self._before:
            text = text.lstrip("\n")  # some backends keep the texts of a run apart themselves
            self._write("\n\n" if text else "")
        self._own += text
        self._show(self._showable.grow(self._own))

    def settle(self, text: str) -> None:
        """The answer is whole: what was missed of it is shown. Some backends count one leg, some the whole run."""
        if self._before and text.startswith(self._before):
            text = text.removeprefix(self._before).lstrip("\n")
        if text.startswith(self._own):
            self.grow(text.removeprefix(self._own))
        elif text.split() != self._own.split():
            # What is written cannot be taken back.
            self.note("the answer was corrected; this is all of it")
            self._own, self._shown = "", 0
            self.grow(text)
        self._show(unlinked(self._own))

    def leg(self) -> None:
        """Tools are called; what comes after that is a text of its own."""
        self._show(unlinked(self._own))
        self._before = "\n\n".join(part for part in (self._before, self._own) if part)
        self._own, self._shown = "", 0

    def task(self, task: Task) -> None:
        """What a tool does, once, when it begins; and what came of it, with what was not known before."""
        told = self._tasks.setdefault(task.id, "")
        if task.status is TaskStatus.IN_PROGRESS:
            if told == "":
                self._tasks[task.id] = f"{task.title} {task.details}"
                self.note(f"{task.title} {task.details}")
        elif told is not None:
            self._tasks[task.id] = None
            if task.details and not told.endswith(task.details):
                self.note(task.details if told else f"{task.title} {task.details}")
            if task.status is TaskStatus.ERROR:
                self.note(f"{task.title}: failed {task.output}")
            elif task.output:
                self.note(f"{task.title}: {task.output}")

    def file(self, file: FileMade) -> None:
        """Copy a file that the run made into the current folder, under a name that is free."""
        try:
            self.note(f"made {_copied(file)}")
        except OSError as error:
            self.note(f"{file.name} could not be kept here ({(error.strerror or '').lower()})")

    def note(self, line: str) -> None:
        """A line beside the answer."""
        words = _visible(" ".join(line.split()))
        self._note(self._new_line() + "· " + words[:_NOTE_LIMIT])

    async def approves(self, call: ToolCall) -> bool | None:
        """Ask whether a tool may be called. None where nobody is there to ask."""
        if sys.stdin is None or not sys.stdin.isatty():
            self.note(f"{call.name} needs approval, and nobody is at a terminal to give it")
            return None
        where = f" of {call.server}" if call.server else ""
        question = f"May I use {call.name}{where} with {call.arguments}? [y/N] "
        sys.stderr.write(self._new_line() + _visible(question))
        sys.stderr.flush()
        return (await _typed(sys.stdin.fileno())).strip().lower() in ("y", "yes")

    def end(self, sources: Sequence[Source] = ()) -> None:
        """The last line of the answer is over; below it is what the answer rests on."""
        self._show(unlinked(self._own))
        if self._line_is_open:
            self._write("\n")
        for number, source in enumerate(sources, 1):
            self._write(f"[{number}] {' '.join(source.title.split())} {source.url or ''}".rstrip() + "\n")

    def _show(self, text: str) -> None:
        """The beginning of this leg's text, as far as it is not there yet."""
        if len(text) > self._shown:
            self._write(text[self._shown :])
            self._shown = len(text)

    def _write(self, text: str) -> None:
        if text:
            self._say(
                "".join(each for each in text if each in _HARMLESS or unicodedata.category(each) not in _STEERING)
            )
            self._line_is_open = not text.endswith("\n")

    def _new_line(self) -> str:
        """What stands between the answer's open line and a line beside it, where both are seen in one place."""
        if not (self._together and self._line_is_open):
            return ""
        self._line_is_open = False
        return "\n"


def one_place() -> bool:
    """Whether standard output and standard error go to the same terminal, file or pipe."""
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno()))
    except (OSError, ValueError, AttributeError):  # closed, or none of the system's
        return False


def _visible(text: str) -> str:
    """One line in which everything can be seen: what is asked about must not be able to hide."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


async def _typed(keyboard: int) -> str:
    """A line from the keyboard. Not read in a thread, which Ctrl-C could not end."""
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(keyboard, there.set)
    try:
        await there.wait()
        return os.read(keyboard, 1024).decode(errors="replace")
    finally:
        loop.remove_reader(keyboard)


def _copied(file: FileMade) -> Path:
    """The copy. It never is a hidden file: programs, Bobbin among them, obey some of those."""
    name = _visible(Path(file.name).name).lstrip(".") or "file"
    content = file.path.read_bytes()
    target, number = Path(name), 2
    while True:
        try:
            with target.open("xb") as copy:
                copy.write(content)
        except FileExistsError:
            target, number = Path(f"{Path(name).stem}-{number}{Path(name).suffix}"), number + 1
        else:
            return target
