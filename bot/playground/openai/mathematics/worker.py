"""The process that does the mathematics: one JSON line in, one JSON line out.

In: the texts that people wrote, oldest first. Out: null when the last of them poses no problem, else an object with
`start`, `steps`, `result`, `check`, `python`, `logs` (what the Python printed) and `pictures` (what it drew), or with
`trouble`, a sentence.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bot.playground.openai.mathematics.drawing import draw
from bot.playground.openai.mathematics.formulas import TooBig, Undefined
from bot.playground.openai.mathematics.problems import read
from bot.playground.openai.mathematics.solutions import Unsolved
from bot.playground.openai.mathematics.tutor import solve

if TYPE_CHECKING:
    from sympy import Expr, Symbol

_MEMORY = 2**31
"""Bytes that the process may take."""
_ABANDONED_SECONDS = 60
"""After so long on one problem nobody is waiting any more: whoever started this process was killed."""


def work(texts: list[str]) -> dict[str, Any] | None:
    """The answer to one line."""
    try:
        problem = read(texts)
        if problem is None:
            return None
        solution = solve(problem)
        logs, pictures = run(solution.python)
        return {**asdict(solution), "kind": problem.kind, "logs": logs, "pictures": pictures}
    except TooBig as error:
        return {"trouble": f"That is too big for me: {error}."}
    except Unsolved as error:
        return {"trouble": str(error)}
    except Undefined as error:
        return {"trouble": f"I could not work that out: {error}."}
    except Exception as error:  # noqa: BLE001 -- sympy has no one class for what is beyond it
        return {"trouble": f"I could not work that out ({type(error).__name__})."}


def run(program: str) -> tuple[str, dict[str, str]]:
    """What the program prints, and the pictures that it draws: PNG in base64, by name."""
    printed = io.StringIO()
    pictures: dict[str, str] = {}

    def draw_picture(name: str, function: Expr, variable: Symbol, low: Expr, high: Expr) -> None:
        pictures[name] = base64.b64encode(draw(function, variable, float(low), float(high))).decode()
        printed.write(f"{name} drawn\n")

    with contextlib.redirect_stdout(printed):
        exec(program, {"draw": draw_picture})  # noqa: S102 -- written by the tutor, never by people
    return printed.getvalue(), pictures


def limit_memory() -> None:
    """Lets a formula that grows without end fail, rather than take the machine's memory."""
    try:
        import resource
    except ImportError:
        return  # Windows has no such limits.
    with contextlib.suppress(ValueError):  # macOS refuses this one.
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _within_time(texts: list[str]) -> dict[str, Any] | None:
    if not hasattr(signal, "alarm"):
        return work(texts)  # Windows
    signal.alarm(_ABANDONED_SECONDS)
    try:
        return work(texts)
    finally:
        signal.alarm(0)


def main() -> None:
    """Answers lines until there are no more."""
    limit_memory()
    for line in sys.stdin:
        answer = _within_time(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
