"""What models cost: the table that comes with Bobbin, and the file of an admin's own."""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bot.errors import SettingsError
from storage.base import Usage

_Dollars = Annotated[Decimal, Field(ge=0)]
#: What OpenAI appends to a model's name for one of its snapshots, such as gpt-5.4-mini-2026-03-17.
_SNAPSHOT = re.compile(r"-20[0-9]{2}-[0-9]{2}-[0-9]{2}\Z")
_MILLION = 1_000_000
_FORM = 'a model is a table with its name in quotes: ["my-model"], then input = 1.00 and output = 5.00'
#: What is wrong with a price, where pydantic would speak of its classes.
_WRONG = {
    "model_type": "it is no model's table",
    "extra_forbidden": "it is none of input, cached_input and output",
    "missing": "it is missing",
}


class Price(BaseModel):
    """USD per million tokens. Where the price of cached input is not known, it is the input's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: _Dollars
    cached_input: _Dollars | None = None
    output: _Dollars


_TABLE = TypeAdapter(dict[str, Price])


class Prices:
    def __init__(self, known: Mapping[str, Price]) -> None:
        self._known = dict(known)

    def of(self, usage: Usage) -> Decimal | None:
        """The price of what was used, in USD; None where the model's is not known."""
        price = self._price(usage.model)
        if price is None:
            return None
        # A server that counts more as cached than it counts at all must not make the rest negative.
        cached = min(usage.cached_tokens, usage.input_tokens)
        cached_price = price.input if price.cached_input is None else price.cached_input
        total = (usage.input_tokens - cached) * price.input + cached * cached_price + usage.output_tokens * price.output
        return total / _MILLION

    def _price(self, model: str) -> Price | None:
        """A snapshot costs what its model costs, unless it has a price of its own."""
        return self._known.get(model) or self._known.get(_SNAPSHOT.sub("", model))


def load_prices(own: Path | None = None) -> Prices:
    """Bobbin's prices; those in an admin's `own` file are added and win. Raises SettingsError for a wrong file."""
    shipped = resources.files("bot").joinpath("prices.toml").read_text(encoding="utf-8")
    return Prices(_read(shipped) | (_own(own) if own else {}))


def _own(path: Path) -> dict[str, Price]:
    try:
        return _read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"BOBBIN_PRICES: {path} cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ", ".join(str(each) for each in first["loc"])
        said = _WRONG.get(first["type"], first["msg"].replace("Input should", "it should"))
        raise SettingsError(f"BOBBIN_PRICES: {path}: {where}: {said}; {_FORM}.") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise SettingsError(f"BOBBIN_PRICES: {path} is no TOML ({error}); {_FORM}.") from error


def _read(text: str) -> dict[str, Price]:
    return _TABLE.validate_python(tomllib.loads(text, parse_float=Decimal))
