"""Usage, summed up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from bot.usage.prices import Prices
from storage.base import Usage


class By(StrEnum):
    """What usage can be summed by."""

    ASSISTANT = "assistant"
    PERSON = "person"
    CHANNEL = "channel"
    DAY = "day"
    MODEL = "model"
    RUN = "run"

    def of(self, usage: Usage) -> str:
        if self is By.DAY:
            # In UTC, so that a day is the same wherever it is asked for.
            return datetime.fromtimestamp(usage.at, UTC).date().isoformat()
        return str(getattr(usage, self.value))


@dataclass(frozen=True, slots=True)
class Sum:
    """`known_price` is that of the models whose price is known, in USD; `unpriced` names the others. Of `uncounted`
    runs no server said what they used: they were stopped, or it never does."""

    runs: int
    uncounted: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    known_price: Decimal
    unpriced: tuple[str, ...]

    @property
    def price(self) -> Decimal | None:
        """None where a part of it is not known."""
        return None if self.unpriced or self.uncounted else self.known_price


@dataclass(frozen=True, slots=True)
class Group:
    """`names` says of whom or what this is the sum, in the order of the report's `by`."""

    names: tuple[str, ...]
    sum: Sum


@dataclass(frozen=True, slots=True)
class Report:
    by: tuple[By, ...]
    since: datetime
    groups: tuple[Group, ...]
    total: Sum


def summed(usages: Sequence[Usage], by: Iterable[By], since: datetime, prices: Prices) -> Report:
    """Usage by all of `by` together: days in order, the most expensive group first."""
    keys = tuple(dict.fromkeys(by))
    grouped: dict[tuple[str, ...], list[Usage]] = {}
    for usage in usages:
        grouped.setdefault(tuple(key.of(usage) for key in keys), []).append(usage)
    groups = [Group(names, _sum(each, prices)) for names, each in grouped.items()]
    groups.sort(key=lambda group: _place(group, keys))
    return Report(keys, since, tuple(groups), _sum(usages, prices))


def _place(group: Group, by: tuple[By, ...]) -> tuple[str, Decimal, int, tuple[str, ...]]:
    day = group.names[by.index(By.DAY)] if By.DAY in by else ""
    return day, -group.sum.known_price, -group.sum.input_tokens - group.sum.output_tokens, group.names


def _sum(usages: Sequence[Usage], prices: Prices) -> Sum:
    priced = [(usage, prices.of(usage)) for usage in usages]
    counted = {usage.run for usage in usages if usage.input_tokens or usage.output_tokens}
    return Sum(
        # A run that two models worked on has two records.
        runs=len({usage.run for usage in usages}),
        uncounted=len({usage.run for usage in usages} - counted),
        input_tokens=sum(usage.input_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        known_price=sum((price for _, price in priced if price is not None), Decimal(0)),
        unpriced=tuple(sorted({usage.model for usage, price in priced if price is None})),
    )
