"""HTTP to MCP servers, and what their refusals mean.

The mcp package tells of an answer that is no JSON-RPC only that there was one (client/streamable_http.py,
`_handle_post_request`). So such an answer is made a JSON-RPC error that carries the status: it then comes out of the
call, or of the handshake, that it belongs to.
"""

from typing import Any

import httpx2
from mcp import MCPError, types

#: Seconds to reach a server, and without a byte on a stream; a call has its own limit.
_TIMEOUT = httpx2.Timeout(10.0, read=300.0)
#: The package reads a meaning out of this one: a session or a method that is not known.
_KEPT = httpx2.codes.NOT_FOUND
#: Where the error keeps the status.
_STATUS = "bobbin.status"
#: The server is not willing to do anything now, and has not done anything.
_BUSY = frozenset({httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE})
_UNAUTHORISED = frozenset({httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN})


class HttpClient(httpx2.AsyncClient):
    """Makes a failure that is no JSON-RPC one that is."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(headers=headers, timeout=_TIMEOUT)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        response = await super().send(request, **options)
        if request.method != "POST" or response.status_code < 400 or response.status_code == _KEPT:
            return response
        try:
            content = await response.aread() if _is_json(response) else b""
        except httpx2.HTTPError:
            content = b""
        finally:
            await response.aclose()
        if _is_error(content):
            return httpx2.Response(response.status_code, headers=_JSON, content=content, request=request)
        error = {"code": types.INTERNAL_ERROR, "message": "", "data": {_STATUS: response.status_code}}
        failure = {"jsonrpc": "2.0", "id": None, "error": error}
        return httpx2.Response(response.status_code, json=failure, request=request)


_JSON = {"content-type": "application/json"}


def status_of(error: MCPError) -> int | None:
    """The HTTP status of an answer that was no JSON-RPC."""
    status = error.data.get(_STATUS) if isinstance(error.data, dict) else None
    return status if isinstance(status, int) else None


def why_not(status: int) -> str:
    """For whoever runs Bobbin: what a status says of a server, as a part of a sentence."""
    if status in _UNAUTHORISED:
        return f"it does not accept the token in `headers` (HTTP {status})"
    return f"it answered with HTTP {status}"


def refusal(server: str, status: int) -> str:
    """For the model: what a status says of a call."""
    if status in _UNAUTHORISED:
        return (
            f"The server {server} does not accept Bobbin's token, so the call was not carried out. An admin can put "
            "that right."
        )
    if status in _BUSY:
        return f"The server {server} is too busy and did not carry out the call. Try again later."
    if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        return f"The server {server} failed (HTTP {status}); nobody knows whether the call was carried out."
    return f"The server {server} refused the call (HTTP {status})."


def _is_json(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").lower().startswith("application/json")


def _is_error(content: bytes) -> bool:
    """Whether a body is an error in JSON-RPC's own form, which says more than a status."""
    try:
        return isinstance(types.jsonrpc_message_adapter.validate_json(content, by_name=False), types.JSONRPCError)
    except ValueError:
        return False
