"""How the pieces of an answer become a response's output: each kind of piece, written as the API would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.playground.openai.brain import CodeInterpreterCall, FileCitation, FileLink, FileSearch, FunctionCall, Piece
from bot.playground.openai.containers import container_for, keep_made
from bot.playground.openai.response_items import code_interpreter_call, file_search_call, function_call
from bot.playground.openai.vector_store_files import searchable, stores_of_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.playground.openai.records import Container, File, Json, Response
    from bot.playground.openai.response_output import ResponseOutput
    from bot.playground.openai.state import State


class PieceWriter:
    """Writes the pieces of one response.

    A piece that its request could not bring forth, such as a search in no store, raises `LookupError`: the brain of
    a test is wrong then, and its response fails.
    """

    def __init__(self, state: State, response: Response, output: ResponseOutput, heard: Sequence[Json]) -> None:
        """`heard` are the items behind the question."""
        self._state = state
        self._tools = response.tools
        self._output = output
        self._heard = heard
        self._container: Container | None = None

    def write(self, piece: Piece) -> None:
        """Puts one piece on the wire."""
        match piece:
            case str():
                self._output.write(piece)
            case FunctionCall():
                self._output.add(function_call(piece))
            case CodeInterpreterCall():
                self._run_code(piece)
            case FileLink():
                self._link(piece)
            case FileSearch():
                found = [(self._searched(each.filename), each) for each in piece.passages]
                self._output.add(file_search_call(piece, found))
            case FileCitation():
                file = self._searched(piece.filename)
                citation = {"type": "file_citation", "file_id": file.id, "filename": file.filename}
                self._output.cite_here(citation)

    def _run_code(self, call: CodeInterpreterCall) -> None:
        if self._container is None:
            self._container = container_for(self._state, self._tools, self._heard)
        self._output.add(code_interpreter_call(call, self._container.id))
        for made in call.files:
            keep_made(self._state, self._container, made)

    def _link(self, link: FileLink) -> None:
        made = {} if self._container is None else self._state.container_files[self._container.id]
        file = next((each for each in reversed(made.values()) if each.name == link.name), None)
        if file is None:
            raise LookupError(f"no code made a file {link.name!r}")
        citation = {
            "type": "container_file_citation",
            "container_id": file.container_id,
            "file_id": file.id,
            "filename": file.name,
        }
        path = f"sandbox:{file.path}"
        self._output.cite(f"[{file.name}]({path})" if link.text else "", citation, path if link.text else "")

    def _searched(self, name: str) -> File:
        ready = searchable(self._state, stores_of_tools(self._tools))
        if name not in ready:
            raise LookupError(f"no vector store of this response has {name!r} ready")
        return ready[name]
