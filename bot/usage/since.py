"""From when on usage is counted."""

import re
from datetime import UTC, datetime, timedelta

from bot.errors import CommandError

_SPAN = re.compile(r"([1-9][0-9]{0,3})([hdw])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def beginning(since: str, now: datetime) -> datetime:
    """The moment that `since` names: a span before `now` (12h, 7d, 4w), or the begin of a day (2026-11-01, in UTC).

    Raises CommandError where it is neither, or lies in the future.
    """
    if span := _SPAN.fullmatch(since):
        return now - int(span[1]) * _UNITS[span[2]]
    if _DATE.fullmatch(since) is None:
        raise CommandError(
            f"--since: {since!r} is neither a span such as 12h, 7d or 4w, nor a date such as 2026-11-01."
        )
    try:
        day = datetime.fromisoformat(since).replace(tzinfo=UTC)
    except ValueError:
        raise CommandError(f"--since: there is no day {since}; a date is year, month, day: 2026-11-01.") from None
    if day > now:
        raise CommandError(f"--since: {since} is in the future; days begin in UTC.")
    return day
