"""How the pieces of an answer become a response's output: each kind of piece, written as the API would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.playground.openai.brain import (
    CodeInterpreterCall,
    FileCitation,
    FileLink,
    FileSearch,
    FunctionCall,
    GeneratedImage,
    McpCall,
    McpTools,
    Piece,
    Reasoning,
    UrlCitation,
    WebSearch,
)
from bot.playground.openai.containers import container_for, keep_made
from bot.playground.openai.mcp_approvals import approved_by, is_allowed, needs_approval, server_of
from bot.playground.openai.response_items import (
    code_interpreter_call,
    file_search_call,
    function_call,
    image_generation_call,
    mcp_approval_request,
    mcp_call,
    mcp_list_tools,
    reasoning,
    web_search_call,
)
from bot.playground.openai.vector_store_files import searchable, stores_of_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.playground.openai.records import Container, File, Json, Response
    from bot.playground.openai.response_items import ToolItem
    from bot.playground.openai.response_output import ResponseOutput
    from bot.playground.openai.state import State


_OneItem = FunctionCall | FileSearch | WebSearch | GeneratedImage | Reasoning | McpTools
"""Pieces that become one item each."""


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
        self._summarized = bool(response.reasoning.get("summary"))
        self.waiting = False
        """Whether the response asked for an approval: then it can only ask for more of them, and end."""
        self.thought_characters = 0

    def write(self, piece: Piece) -> None:
        """Puts one piece on the wire."""
        match piece:
            case str():
                self._output.write(piece)
            case CodeInterpreterCall():
                self._run_code(piece)
            case McpCall():
                self._call_mcp(piece)
            case FileLink() | FileCitation() | UrlCitation():
                self._cite(piece)
            case _:
                self._output.add(self._item(piece))

    def _item(self, piece: _OneItem) -> ToolItem:
        match piece:
            case FunctionCall():
                return function_call(piece)
            case FileSearch():
                return file_search_call(piece, [(self._searched(each.filename), each) for each in piece.passages])
            case WebSearch():
                self._tool("web_search")
                return web_search_call(piece)
            case GeneratedImage():
                return image_generation_call(piece, self._tool("image_generation"))
            case Reasoning():
                self.thought_characters += sum(map(len, piece.summary))
                return reasoning(piece, summarized=self._summarized)
            case McpTools():
                server_of(self._tools, piece.server_label)
                return mcp_list_tools(piece)

    def _tool(self, kind: str) -> Json:
        for tool in self._tools:
            if tool["type"].startswith(kind):
                return tool
        raise LookupError(f"this response was not given {kind}")

    def _call_mcp(self, call: McpCall) -> None:
        server = server_of(self._tools, call.server_label)
        if not is_allowed(server, call.name):
            raise LookupError(f"this response may not call {call.name!r} of {call.server_label!r}")
        approval = approved_by(call, self._heard)
        if approval is None and needs_approval(server, call.name):
            self._output.add(mcp_approval_request(call))
            self.waiting = True
        else:
            self._output.add(mcp_call(call, approval))

    def _cite(self, piece: FileLink | FileCitation | UrlCitation) -> None:
        match piece:
            case FileLink():
                self._link(piece)
            case FileCitation():
                file = self._searched(piece.filename)
                self._output.cite_here({"type": "file_citation", "file_id": file.id, "filename": file.filename})
            case UrlCitation():
                citation = {"type": "url_citation", "url": piece.url, "title": piece.title}
                self._output.cite(f"([{piece.title}]({piece.url}))", citation)

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
