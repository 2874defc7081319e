"""A report for people, for programs and for spreadsheets."""

import csv
import io
import json
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bot.usage.sums import Report, Sum

_UNKNOWN = "unknown"
#: What is left of a price in a table: a hundredth of a cent.
_SMALLEST = Decimal("0.0001")
#: With these a formula begins.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBERS = ("runs", "input", "cached", "output", "reasoning", "USD")


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def formed(report: Report, form: Form) -> str:
    """The report in this form, without a last line break."""
    match form:
        case Form.TABLE:
            return _table(report)
        case Form.JSON:
            return _json(report)
        case Form.CSV:
            return _csv(report)


def _table(report: Report) -> str:
    total = ["total", *[""] * (len(report.by) - 1)]
    rows = [
        [*report.by, *_NUMBERS],
        *([*group.names, *_cells(group.sum)] for group in report.groups),
        [*total, *_cells(report.total)],
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths, len(report.by)) for row in rows]
    if uncounted := report.total.uncounted:
        lines += ["", f"What {uncounted:,} of the runs used is in no sum: they were stopped, or no server said it."]
    return "\n".join(lines)


def _line(row: list[str], widths: list[int], names: int) -> str:
    """Names to the left, numbers to the right."""
    cells = [
        cell.ljust(width) if place < names else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells)


def _cells(of: Sum) -> list[str]:
    counts = (of.runs, of.input_tokens, of.cached_tokens, of.output_tokens, of.reasoning_tokens)
    return [*(f"{count:,}" for count in counts), _price(of)]


def _price(of: Sum) -> str:
    """What is not known is never shown as nothing."""
    if of.price is not None:
        return _dollars(of.known_price)
    return f"{_dollars(of.known_price)} + {_UNKNOWN}" if of.known_price else _UNKNOWN


def _dollars(price: Decimal) -> str:
    return f"<{_SMALLEST}" if 0 < price < _SMALLEST else f"{price:,.4f}"


def _json(report: Report) -> str:
    groups = [dict(zip(report.by, group.names, strict=True)) | _numbers(group.sum) for group in report.groups]
    whole = {"since": report.since.isoformat(), "by": report.by, "groups": groups, "total": _numbers(report.total)}
    return json.dumps(whole, indent=2, ensure_ascii=False)


def _numbers(of: Sum) -> dict[str, Any]:
    return {
        "runs": of.runs,
        "uncounted_runs": of.uncounted,
        "input_tokens": of.input_tokens,
        "cached_tokens": of.cached_tokens,
        "output_tokens": of.output_tokens,
        "reasoning_tokens": of.reasoning_tokens,
        "price_usd": None if of.price is None else float(of.price),
        "known_price_usd": float(of.known_price),
        "unpriced_models": list(of.unpriced),
    }


def _inert(name: str) -> str:
    """A name that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{name}" if name.startswith(_FORMULA) else name


def _csv(report: Report) -> str:
    """Without a total, which a spreadsheet would count twice."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*report.by, *_numbers(report.total)])
    for group in report.groups:
        row = _numbers(group.sum) | {
            "price_usd": _UNKNOWN if group.sum.price is None else f"{group.sum.price:f}",
            "known_price_usd": f"{group.sum.known_price:f}",
            "unpriced_models": _inert(", ".join(group.sum.unpriced)),
        }
        writer.writerow([*map(_inert, group.names), *row.values()])
    return text.getvalue().removesuffix("\n")
