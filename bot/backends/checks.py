"""What `bobbin doctor` asks a backend."""

import datetime
from collections.abc import Sequence

import openai

from bot.backends.failures import translated, unknown_model
from bot.engine.ports import Check

#: Days before a model's end at which its assistants should be moved.
_NOTICE = 30


async def check_models(client: openai.AsyncOpenAI, models: Sequence[str]) -> list[Check]:
    """Whether the server has each model, and keeps it."""
    return [await _check_model(client, model) for model in dict.fromkeys(models)]


async def _check_model(client: openai.AsyncOpenAI, name: str) -> Check:
    try:
        model = await client.models.retrieve(name)
    except openai.NotFoundError:
        return Check(f"model {name}", unknown_model(name))
    except openai.APIError as error:
        return Check(f"model {name}", translated(error, name).sentence)
    end = (model.model_extra or {}).get("shutdown_date") or getattr(model, "shutdown_date", None)
    if end and datetime.date.fromisoformat(str(end)) - datetime.datetime.now(datetime.UTC).date() < datetime.timedelta(
        days=_NOTICE
    ):
        return Check(f"model {name}", f"{name} is switched off on {end}; name another in the assistant's file.")
    return Check(f"model {name}", None)
