"""The offline brain: what answers in the playground without a key. Deterministic, and honest about what it is."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from bot.playground.openai.brain import CodeInterpreterCall, FileLink, MadeFile, Piece, Question, words
from bot.playground.openai.demonstrations import demonstration
from bot.playground.openai.small_talk import ABILITIES, REAL_MODEL, Post, given_files, introduction, posts, small_talk
from bot.playground.openai.wishes import told_outputs, wished_call, wished_source
from bot.playground.openai.workshop import TookTooLong, Workshop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

_POSTS_READ = 40
_CHARACTERS_READ = 2_000
"""Of each post: whoever writes more than that asks for no mathematics."""


class OfflineBrain:
    """Solves school mathematics with sympy, draws functions, calls the tool and cites the file that a post names; for
    anything else it says that it cannot."""

    def __init__(self, deadline: float = 10.0) -> None:
        """`deadline` is how long it tries to solve something, in seconds."""
        self._workshop = Workshop(deadline)

    async def answer(self, question: Question) -> AsyncIterator[Piece]:
        """A call, where a post asks for one; else who it is and what it was given, where that is due, and the answer.
        What it does comes before what it says: so that is one text."""
        heard = posts(question) or [Post(None, "")]
        told = told_outputs(question)
        if not told and (call := wished_call(question, heard[-1].text)):
            yield call
            return
        first = "".join(f"{part}\n\n" for part in (introduction(question), given_files(question)) if part)
        if not told and (cited := wished_source(question, heard[-1].text)):
            search, *rest = cited
            for piece in (search, *words(first), *rest):
                yield piece
            return
        text = told or small_talk(question, heard) or demonstration(heard[-1].text)
        async for piece in self._worked_out(question, heard, first, text):
            yield piece

    async def _worked_out(
        self, question: Question, heard: Sequence[Post], first: str, text: str | None
    ) -> AsyncIterator[Piece]:
        """What comes `first`, then the text; where there is none it is worked out, with code where code may run."""
        solution = None if text else await self._solve(heard)
        run = solution if solution and "python" in solution and "code_interpreter" in question.tools else None
        if run:
            yield CodeInterpreterCall(run["python"], run["logs"], tuple(_pictures(run)))
        for word in words(first + (text or _explained(solution, question))):
            yield word
        for name in run["pictures"] if run else ():
            yield FileLink(name, text=False)

    async def close(self) -> None:
        """Ends the process that does the mathematics."""
        await self._workshop.close()

    async def _solve(self, heard: Sequence[Post]) -> dict[str, Any] | None:
        texts = [post.text[:_CHARACTERS_READ] for post in heard[-_POSTS_READ:]]
        try:
            return await self._workshop.solve(texts)
        except TookTooLong:
            return {"trouble": "That took me too long, so I gave up."}
        except ConnectionError:
            return {"trouble": "That was too much for me, so I gave up."}


def _pictures(solution: dict[str, Any]) -> Iterator[MadeFile]:
    for name, content in solution["pictures"].items():
        yield MadeFile(name, base64.b64decode(content), "image/png")


def _explained(solution: dict[str, Any] | None, question: Question) -> str:
    if solution is None:
        return f"I cannot answer that. {ABILITIES}\n\n{REAL_MODEL}"
    if "trouble" in solution:
        return str(solution["trouble"])
    if solution["pictures"] and "code_interpreter" not in question.tools:
        return "I could draw that, but this assistant has no code interpreter among its tools."
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(solution["steps"], 1))
    check = f"Check: {solution['check']}." if solution["check"] else ""
    parts = (solution["start"], steps, check, f"**`{solution['result']}`**")
    return "\n\n".join(part for part in parts if part)
