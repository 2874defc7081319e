"""A run in a terminal: the answer on one stream, what else there is to say on the other, y or n from the keyboard."""

import asyncio
import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from bot.engine.ports import FileMade, Source, Task, TaskStatus, ToolCall

#: Of what a tool does or says, in one line.
_NOTE_LIMIT = 300


class Terminal:
    """Shows one run. What comes from a model may hold anything: none of it gets to steer the terminal."""

    def __init__(self, say: Callable[[str], object], note: Callable[[str], object]) -> None:
        """`say` writes text as it is; `note` writes a line elsewhere."""
        self._say = say
        self._note = note
        #: The text of earlier legs, and of this one, as far as it is shown.
        self._before = ""
        self._own = ""
        self._line_is_open = False

    def grow(self, text: str) -> None:
        """More of the answer."""
        if not self._own and self._before:
            text = text.lstrip("\n")  # some backends keep the texts of a run apart themselves
            self._write("\n\n" if text else "")
        self._own += text
        self._write(text)

    def settle(self, text: str) -> None:
        """The answer is whole: what was missed of it is shown. Some backends count one leg, some the whole run."""
        if self._before and text.startswith(self._before):
            text = text.removeprefix(self._before).lstrip("\n")
        if text.startswith(self._own):
            self.grow(text.removeprefix(self._own))
        elif text.split() != self._own.split():
            # What is written cannot be taken back.
            self.note("the answer was corrected; this is all of it")
            self._own = ""
            self.grow(text)

    def leg(self) -> None:
        """Tools are called; what comes after that is a text of its own."""
        self._before = "\n\n".join(part for part in (self._before, self._own) if part)
        self._own = ""

    def task(self, task: Task) -> None:
        """What a tool does, when it begins and where it fails."""
        if task.status is TaskStatus.IN_PROGRESS:
            self.note(f"{task.title} {task.details}")
        elif task.status is TaskStatus.ERROR:
            self.note(f"{task.title}: failed {task.output}")

    def file(self, file: FileMade) -> None:
        """Copy a file that the run made into the current folder, under a name that is free."""
        try:
            self.note(f"made {_copied(file)}")
        except OSError as error:
            self.note(f"{file.name} could not be kept here ({(error.strerror or '').lower()})")

    def note(self, line: str) -> None:
        """A line beside the answer."""
        words = _visible(" ".join(line.split()))
        self._note(("\n· " if self._line_is_open else "· ") + words[:_NOTE_LIMIT])
        self._line_is_open = False

    async def approves(self, call: ToolCall) -> bool:
        """Ask whether a tool may be called. No, where nobody is there to ask."""
        if sys.stdin is None or not sys.stdin.isatty():
            self.note(f"{call.name} needs approval, and nobody is at a terminal to give it")
            return False
        where = f" of {call.server}" if call.server else ""
        question = f"May I use {call.name}{where} with {call.arguments}? [y/N] "
        sys.stderr.write(("\n" if self._line_is_open else "") + _visible(question))
        sys.stderr.flush()
        self._line_is_open = False
        return (await _typed(sys.stdin.fileno())).strip().lower() in ("y", "yes")

    def end(self, sources: Sequence[Source] = ()) -> None:
        """The last line of the answer is over; below it is what the answer rests on."""
        if self._line_is_open:
            self._write("\n")
        for number, source in enumerate(sources, 1):
            self._write(f"[{number}] {' '.join(source.title.split())} {source.url or ''}".rstrip() + "\n")

    def _write(self, text: str) -> None:
        if text:
            self._say("".join(each for each in text if each in "\n\t" or unicodedata.category(each) != "Cc"))
            self._line_is_open = not text.endswith("\n")


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
