"""The SDK's errors, as Bobbin's: each with the sentence that a person in Slack reads."""

import re
from collections.abc import Sequence

import openai

from bot.engine.ports import Assistant, Message
from bot.errors import (
    BackendBusy,
    BackendError,
    BackendRefused,
    BackendUnreachable,
    ContextOverflow,
    PostTooLong,
    RunBroken,
    ThreadGone,
    ThreadLocked,
)

#: Codes of errors and of failed runs, wherever they turn up (openai/types/responses/response_error.py,
#: openai/types/beta/threads/run.py; https://platform.openai.com/docs/guides/error-codes).
_BY_CODE: dict[str, tuple[type[BackendError], str]] = {
    "context_length_exceeded": (
        ContextOverflow,
        "This conversation is too long for the model. Reset the thread, or start a new one.",
    ),
    "conversation_locked": (
        ThreadLocked,
        "Something else is at work in this conversation on the server. Please try again in a minute.",
    ),
    "insufficient_quota": (
        BackendRefused,
        "OpenAI says this account's quota is used up. An admin can check the plan and billing at platform.openai.com.",
    ),
    "invalid_api_key": (
        BackendRefused,
        "The model server refuses Bobbin's key. An admin has to check OPENAI_API_KEY.",
    ),
    "invalid_prompt": (
        BackendRefused,
        "The model provider refused this request. Please put it in other words.",
    ),
    "rate_limit_exceeded": (
        BackendBusy,
        "The model is busy: its rate limit is reached. Please try again in a minute.",
    ),
    "server_error": (
        RunBroken,
        "The model server failed while it answered. Please try again.",
    ),
    "string_above_max_length": (
        PostTooLong,
        "That post is too long for the model server. Please shorten it, or send it in parts.",
    ),
}
_IMAGE = (
    BackendRefused,
    "The model server cannot use one of these images. PNG, JPEG, GIF and WebP can be read, if they are whole.",
)
#: Codes of a request that was refused for a picture in it (openai/types/responses/response_error.py).
PICTURE_CODES = frozenset(
    {
        "empty_image_file",
        "failed_to_download_image",
        "image_content_policy_violation",
        "image_file_too_large",
        "image_parse_error",
        "image_too_large",
        "image_too_small",
        "invalid_base64_image",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_mode",
        "invalid_image_url",
        "unsupported_image_media_type",
    }
)
#: ... and for any file.
FILE_CODES = frozenset({"file_too_large", "invalid_file", "unsupported_file"})
_FILE = (BackendRefused, "The model server cannot read one of these files.")
_BY_CODE |= dict.fromkeys(PICTURE_CODES, _IMAGE) | dict.fromkeys(FILE_CODES, _FILE)
_OVERLOADED = (BackendBusy, "The model has more to do than it can. Please try again in a minute.")
_NOT_ALLOWED = "The model server does not allow this to Bobbin's key. An admin has to check the key's permissions."
_REFUSED = "The model server refused the request. An admin finds its reason in Bobbin's log."
_UNREACHABLE = "The model server cannot be reached right now. Please try again in a minute."
_BROKEN_SERVER = "The model server has a problem of its own right now. Please try again in a minute."

#: What an error without a code of ours means; the first that fits.
_BY_KIND: tuple[tuple[type[openai.APIError], tuple[type[BackendError], str]], ...] = (
    (openai.AuthenticationError, _BY_CODE["invalid_api_key"]),
    (openai.PermissionDeniedError, (BackendRefused, _NOT_ALLOWED)),
    (openai.RateLimitError, _BY_CODE["rate_limit_exceeded"]),
    (openai.APIConnectionError, (BackendUnreachable, _UNREACHABLE)),
    (openai.InternalServerError, (BackendUnreachable, _BROKEN_SERVER)),
    (openai.APIStatusError, (BackendRefused, _REFUSED)),
)


#: What a model is told of a call whose outcome did not reach Bobbin's rows.
OUTCOME_UNKNOWN = (
    "Error: the answer was interrupted. Nobody knows whether this was carried out: do not repeat it, but say so."
)
#: So much of a server's words is looked at.
_WORDS = 500
#: Words of servers that give no code of OpenAI's: Ollama's, vLLM's, llama.cpp's.
_NO_MODEL = re.compile(r"\bmodel\b.*\b(?:not found|not exist|not loaded|unknown)\b", re.IGNORECASE | re.DOTALL)
#: A model that was switched off (https://platform.openai.com/docs/deprecations), and one that has no time: in codes and
#: in words.
_RETIRED = re.compile(r"deprecat|retired|decommission|shut[ _]?down", re.IGNORECASE)
_BUSY = re.compile(r"overload|slow[ _]down", re.IGNORECASE)
_MODEL = re.compile(r"\bmodel(?:\b|_)", re.IGNORECASE)
#: HTTP statuses that say the same: gone; and not now, of which 529 is some proxies'.
_GONE, _NOT_NOW = 410, (503, 529)


def lacks_model(error: openai.APIError) -> bool:
    """Whether the server has not got the model that it was asked for, or has it no more."""
    if error.code == "model_not_found":
        return True
    if not isinstance(error, openai.APIStatusError) or error.status_code not in (400, 404, _GONE):
        return False
    said = _said(error.code, error.message)
    spoken_of = error.param == "model" or _MODEL.search(said) is not None
    # What else could be gone (a conversation, a file) has no model in its name.
    gone = error.status_code != 400 or bool(_NO_MODEL.search(said) or _RETIRED.search(said))
    return error.param == "model" or (spoken_of and gone)


def _said(code: str | None, message: str | None) -> str:
    # Compatible servers have numbers for codes.
    return f"{code or ''} {message or ''}"[:_WORDS]


def translated(error: openai.APIError, assistant: Assistant | None = None) -> BackendError:
    """Bobbin's error for the SDK's; `assistant` is named where the server lacks its model. Chain it with `from`."""
    if assistant is not None and lacks_model(error):
        return BackendRefused(unknown_model(assistant.model, f"the file of the assistant {assistant.key}"))
    # In a run `server_error` says that the model failed; of a request it says no more than the HTTP status.
    if error.code in _BY_CODE and error.code != "server_error":
        kind, sentence = _BY_CODE[error.code]
        return kind(sentence)
    kinds = (known for errors, known in _BY_KIND if isinstance(error, errors))
    kind, sentence = next(kinds, _BY_CODE["server_error"])
    return kind(sentence)


def unknown_model(model: str, file: str = "the assistant's file") -> str:
    """The sentence for a model that the server does not have."""
    return f"The model server does not know the model {model}. An admin can name another in {file}."


def raised_in_run(code: str | None, message: str | None) -> BackendError:
    """The error for a run, or its stream, that failed with this code and the server's words for it."""
    said = f"{code} {message}".lower()
    if "context_length" in said or "context window" in said:
        code = "context_length_exceeded"
    elif "quota" in said:
        code = "insufficient_quota"
    known = _BY_CODE.get(code or "")
    if known is None or code == "server_error":
        known = _OVERLOADED if _BUSY.search(said) else _BY_CODE["server_error"]
    kind, sentence = known
    return kind(sentence)


def needs_other_model(error: openai.APIError) -> bool:
    """Whether another model may do what this one did not: it is not there, or has no time."""
    if lacks_model(error):
        return True
    if isinstance(error, openai.RateLimitError):
        return error.code != "insufficient_quota"
    if not isinstance(error, openai.APIStatusError):
        return False
    busy = error.status_code >= 500 and _BUSY.search(_said(error.code, error.message)) is not None
    return busy or error.status_code in (_GONE, *_NOT_NOW)


def run_needs_other_model(code: str | None, message: str | None) -> bool:
    """The same of a run that failed with this code and the server's words for it."""
    said = _said(code, message)
    if code == "rate_limit_exceeded":
        return "quota" not in said.lower()
    return code == "model_not_found" or bool(_BUSY.search(said) or _RETIRED.search(said))


def cut_off(why: str | None) -> str:
    """The sentence for an answer that is not whole; `why` is the run's incomplete_details.reason."""
    if why == "content_filter":
        return "The answer was cut off by the model provider's content filter."
    if why == "max_prompt_tokens":
        return "The answer was cut off: the conversation is at the limit of what a run may read."
    return "The answer was cut off: it reached the limit of the model's length."


def check_lengths(messages: Sequence[Message], limit: int) -> None:
    """Raises PostTooLong for the first message over the limit."""
    for message in messages:
        if len(message.text) > limit:
            raise PostTooLong(
                f"That post has {len(message.text):,} characters; the model server takes at most {limit:,} at once. "
                "Please shorten it, or send it in parts."
            )


def once_answering(error: BackendError) -> BackendError:
    """The error as it is to be raised after a part of the answer was yielded: nothing may begin anew then."""
    return RunBroken(error.sentence) if isinstance(error, ThreadGone | ContextOverflow) else error
