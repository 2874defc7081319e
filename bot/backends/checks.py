"""What `bobbin doctor` asks a backend."""

import datetime
from collections.abc import Mapping, Sequence

import openai

from bot.backends.failures import translated, unknown_model
from bot.engine.ports import Check

#: Days before a model's end at which its assistants should be moved.
_NOTICE = datetime.timedelta(days=30)


async def check_models(client: openai.AsyncOpenAI, models: Sequence[str]) -> list[Check]:
    """Whether the server has each model, and keeps it. Empty where the server does not list its models."""
    try:
        ends = {model.id: model.shutdown_date async for model in client.models.list()}
    except openai.NotFoundError:
        return []
    except openai.APIError as error:
        return [Check("models", translated(error).sentence)]
    today = datetime.datetime.now(datetime.UTC).date()
    return [Check(f"model {name}", _problem(name, ends, today)) for name in dict.fromkeys(models)]


def unreachable(client: openai.AsyncOpenAI, error: openai.APIConnectionError) -> str:
    """The sentence for an admin whose server does not answer."""
    cause = error.__cause__ or error
    why = "no answer in time" if isinstance(error, openai.APITimeoutError) else str(cause) or type(cause).__name__
    return f"{client.base_url} cannot be reached ({why}); check OPENAI_BASE_URL, and the network."


def _problem(name: str, ends: Mapping[str, str | None], today: datetime.date) -> str | None:
    if name not in ends:
        return unknown_model(name)
    end = ends[name]
    if end is not None and _date(end) - today < _NOTICE:
        return f"{name} is switched off on {end}. An admin can name another in the assistant's file."
    return None


def _date(text: str) -> datetime.date:
    """A date (YYYY-MM-DD); the end of time where it is none."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return datetime.date.max
