"""What the server answers when it refuses: OpenAI's error envelope and its sentences."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refused request: its HTTP status and the fields of OpenAI's error envelope."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        """`kind` is the envelope's `type`."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind

    def envelope(self) -> dict[str, Any]:
        """The JSON body."""
        fields = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": fields}


def bad_request(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    """HTTP 400."""
    return ApiError(400, message, code=code, param=param)


def not_found(kind: str, key: str) -> ApiError:
    """HTTP 404: no object of this kind, such as "thread", has this id."""
    return ApiError(404, f"No {kind} found with id '{key}'.")


def invalid_url(method: str, path: str) -> ApiError:
    """HTTP 404 for a route that does not exist; since 2026-08-26 OpenAI answers so for the Assistants routes."""
    return ApiError(404, f"Invalid URL ({method} {path})")


def conversation_locked() -> ApiError:
    """HTTP 400: somebody else's response or write is under way on the conversation."""
    return bad_request(
        "Another process is currently operating on this conversation. Please retry in a few seconds.",
        code="conversation_locked",
        param="conversation",
    )
