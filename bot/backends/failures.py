"""The SDK's errors, as Bobbin's: each with the sentence that a person in Slack reads."""

import openai

from bot.errors import (
    BackendBusy,
    BackendError,
    BackendRefused,
    BackendUnreachable,
    ContextOverflow,
    PostTooLong,
    RunBroken,
)

#: Codes of errors and of failed runs, wherever they turn up (openai/types/responses/response_error.py,
#: openai/types/beta/threads/run.py; https://platform.openai.com/docs/guides/error-codes).
_BY_CODE: dict[str, type[BackendError]] = {
    "context_length_exceeded": ContextOverflow,
    "insufficient_quota": BackendRefused,
    "invalid_api_key": BackendRefused,
    "model_not_found": BackendRefused,
    "rate_limit_exceeded": BackendBusy,
    "server_error": RunBroken,
    "string_above_max_length": PostTooLong,
}
_SENTENCES = {
    "content_filter": "The answer was stopped by the model provider's content filter.",
    "context_length_exceeded": "This conversation is too long for the model. Reset the thread, or start a new one.",
    "insufficient_quota": "The model account's quota is used up. An admin can check its plan and billing.",
    "invalid_api_key": "The model server refuses Bobbin's key. An admin has to check OPENAI_API_KEY.",
    "invalid_prompt": "The model provider refused this request. Please put it in other words.",
    "rate_limit_exceeded": "The model is busy (its rate limit is reached). Please try again in a minute.",
    "server_error": "The model server failed while it answered. Please try again.",
    "string_above_max_length": "That post is too long for the model. Please shorten it, or send it in parts.",
}
_NOT_ALLOWED = "The model server does not allow this to Bobbin's key. An admin has to look at it."
_REFUSED = "The model server refused the request. An admin finds the reason in Bobbin's log."
_UNREACHABLE = "The model server cannot be reached right now. Please try again in a minute."

#: What an error without a code of ours means.
_BY_KIND: tuple[tuple[type[openai.APIError], tuple[type[BackendError], str]], ...] = (
    (openai.AuthenticationError, (BackendRefused, _SENTENCES["invalid_api_key"])),
    (openai.PermissionDeniedError, (BackendRefused, _NOT_ALLOWED)),
    (openai.RateLimitError, (BackendBusy, _SENTENCES["rate_limit_exceeded"])),
    (openai.APIConnectionError, (BackendUnreachable, _UNREACHABLE)),
    (openai.InternalServerError, (BackendUnreachable, _UNREACHABLE)),
)


def translated(error: openai.APIError, model: str = "") -> BackendError:
    """Bobbin's error for the SDK's. `model` is named where the server does not know it. Chain it with `from`."""
    code = error.code or ""
    if code == "model_not_found":
        return BackendRefused(unknown_model(model))
    if code in _BY_CODE:
        return _BY_CODE[code](_SENTENCES[code])
    kinds = (kind for errors, kind in _BY_KIND if isinstance(error, errors))
    kind, sentence = next(kinds, (RunBroken, _REFUSED))
    return kind(sentence)


def unknown_model(model: str) -> str:
    """The sentence for a model that the server does not have."""
    return f"The model server does not know the model {model}. An admin can name another in the assistant's file."


def raised_in_run(code: str | None, message: str | None = None) -> BackendError:
    """The error for a run that failed with this code."""
    if code and "context_length" in f"{code} {message}":
        code = "context_length_exceeded"
    if code and code in _BY_CODE:
        return _BY_CODE[code](reason(code))
    return RunBroken(reason(code))


def reason(code: str | None) -> str:
    """The sentence for a run that failed with this code."""
    return _SENTENCES.get(code or "", _SENTENCES["server_error"])


def cut_off(why: str | None) -> str:
    """The sentence for an answer that is not whole."""
    if why == "content_filter":
        return _SENTENCES["content_filter"]
    return "The answer was cut off: it reached the model's limit."
