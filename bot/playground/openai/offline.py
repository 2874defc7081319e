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
        """Who it is and what it was given, where that is due; then the answer, with its code where code may run."""
        heard = posts(question) or [Post(None, "")]
        told = told_outputs(question)
        call = None if told else wished_call(question, heard[-1].text)
        if call:
            yield call
            return
        for part in (introduction(question), given_files(question)):
            for word in words(f"{part}\n\n" if part else ""):
                yield word
        cited = [] if told else list(wished_source(question, heard[-1].text))
        for piece in cited:
            yield piece
        if not cited:
            async for piece in self._said(question, heard, told):
                yield piece

    async def _said(self, question: Question, heard: Sequence[Post], told: str | None) -> AsyncIterator[Piece]:
        text = told or small_talk(question, heard) or demonstration(heard[-1].text)
        solution = None if text else await self._solve(heard)
        run = solution if solution and "python" in solution and "code_interpreter" in question.tools else None
        if run:
            yield CodeInterpreterCall(run["python"], run["logs"], tuple(_pictures(run)))
        for word in words(text or _explained(solution, question)):
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
