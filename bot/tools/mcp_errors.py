"""What an error of the mcp package, or of a server, says: to the model of a call, and to whoever runs Bobbin of a
connection.

A model is passed on a server's own words about its call, and nothing else: the package's hold addresses and what could
not be read, and those of a server that does not start may hold secrets.
"""

import re
from enum import Enum, auto

import httpx2
from mcp import MCPError, types

from bot.tools.mcp_http import refusal, status_of, why_not
from bot.tools.mcp_tool import ServerDown
from bot.tools.output import as_text

#: Characters of what a server said, for the line that says why it is not there.
TAIL = 300
#: Characters of a server's words about a call.
_WORDS = 2_000


class Kind(Enum):
    """Where the mcp package itself made an error."""

    #: HTTP servers forget sessions when they restart.
    FORGOTTEN = auto()
    #: The connection is over, or only the stream of one answer.
    CLOSED = auto()
    CUT = auto()
    #: What came is no answer.
    NO_ANSWER = auto()
    #: The server was never asked.
    ELSEWHERE = auto()


#: Servers use the same codes, so only the package's words tell (client/streamable_http.py and
#: shared/jsonrpc_dispatcher.py of mcp 2.3).
_MADE = (
    (Kind.FORGOTTEN, types.INVALID_REQUEST, "Session terminated"),
    (Kind.CLOSED, types.CONNECTION_CLOSED, "Connection closed"),
    (Kind.CUT, types.CONNECTION_CLOSED, "SSE stream .*"),
    (Kind.NO_ANSWER, types.INVALID_REQUEST, "Unexpected content type: .*|server answered a request with 202 .*"),
    (Kind.NO_ANSWER, types.PARSE_ERROR, ".*"),
    (Kind.ELSEWHERE, types.INVALID_REQUEST, "Redirect to .*"),
)
_TOLD = {
    Kind.FORGOTTEN: "The server {} was restarted and did not carry out the call. Call it again.",
    Kind.CLOSED: "The connection to the server {} broke; nobody knows whether the call was carried out.",
    Kind.CUT: "The connection to the server {} broke; nobody knows whether the call was carried out.",
    Kind.NO_ANSWER: "The server {} gave no usable answer; nobody knows whether the call was carried out.",
    Kind.ELSEWHERE: "The server {} is not at its address any more, so the call was not made. An admin can mend that.",
}
_DOWN = {
    Kind.CLOSED: "it ended before it answered",
    Kind.CUT: "it ended before it answered",
    Kind.NO_ANSWER: "what it answers is not MCP",
    Kind.ELSEWHERE: "it is at another address",
}
#: Codes with which a server says that it did not do what was asked (https://www.jsonrpc.org/specification#error_object).
_REFUSALS = frozenset({types.INVALID_REQUEST, types.METHOD_NOT_FOUND, types.INVALID_PARAMS})


def kind_of(error: MCPError) -> Kind | None:
    """What the package says with an error that it made; None for a server's own."""
    for kind, code, words in _MADE:
        if error.code == code and re.fullmatch(words, error.message, re.DOTALL):
            return kind
    return None


def told(server: str, error: MCPError) -> str:
    """What the model hears of a call that came to an error."""
    status, kind = status_of(error), kind_of(error)
    if status is not None:
        return refusal(server, status)
    if kind is not None:
        return _TOLD[kind].format(server)
    said = as_text(error.message, _WORDS)
    if error.code in _REFUSALS:
        return f"The server {server} refused the call: {said}"
    doubt = "; nobody knows whether the call was carried out" if error.code == types.INTERNAL_ERROR else ""
    return f"The server {server} answered with an error{doubt}: {said}"


def down(error: BaseException, last_words: str) -> ServerDown:
    """Why there is no connection; `last_words` are what the server wrote on its standard error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    said = " ".join(last_words.split())
    if isinstance(error, MCPError) and not said and status_of(error) is None:
        said = " ".join(error.message.split())[:TAIL]
    return ServerDown(why(error), said)


def why(error: BaseException) -> str:
    """Why a connection failed, or a call, as a part of a sentence without anybody's words."""
    match error:
        case TimeoutError():
            reason = "it did not answer in time"
        case MCPError() if (status := status_of(error)) is not None:
            reason = why_not(status)
        case MCPError() if (kind := kind_of(error)) in _DOWN:
            reason = _DOWN[kind]
        case MCPError():
            reason = "it refused the connection"
        case httpx2.HTTPError() | httpx2.InvalidURL():
            reason = f"it cannot be reached ({type(error).__name__})"
        case OSError():
            reason = f"it cannot be started ({error.strerror or type(error).__name__})"
        case _:
            reason = f"the connection failed ({type(error).__name__})"
    return reason
