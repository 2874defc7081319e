"""Checks of request parameters: what a parameter may be, and OpenAI's sentence when it is something else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from bot.playground.openai import limits
from bot.playground.openai.errors import bad_request

Check = Callable[[Any, str], None]
"""Takes a value and its parameter's path, such as `tools[0].type`; raises `ApiError` when the value is wrong."""

_KINDS = ((bool, "a boolean"), (int, "an integer"), (float, "a decimal"), (str, "a string"), (list, "an array"))


def kind_of(value: object) -> str:
    """The JSON kind of a value, as OpenAI's errors name it."""
    if value is None:
        return "null"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "an object")


def _require(kind: type, expected: str, value: object, path: str) -> None:
    # bool is an int to Python, but not to JSON.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise bad_request(
            f"Invalid type for '{path}': expected {expected}, but got {kind_of(value)} instead.",
            code="invalid_type",
            param=path,
        )


def text(maximum: int | None = None, minimum: int = 0) -> Check:
    """A string of `minimum` to `maximum` characters."""

    def check(value: Any, path: str) -> None:
        _require(str, "a string", value, path)
        if maximum is not None and len(value) > maximum:
            raise _out_of_bounds("string", path, "long", maximum, len(value), "string_above_max_length")
        if len(value) < minimum:
            raise _out_of_bounds("string", path, "short", minimum, len(value), "string_below_min_length")

    return check


def _out_of_bounds(kind: str, path: str, how: str, bound: int, length: int, code: str) -> Exception:
    edge = "maximum" if how == "long" else "minimum"
    return bad_request(
        f"Invalid '{path}': {kind} too {how}. Expected a{'n' if kind == 'array' else ''} {kind} with {edge} "
        f"length {bound}, but got a{'n' if kind == 'array' else ''} {kind} with length {length} instead.",
        code=code,
        param=path,
    )


def pattern(expression: str) -> Check:
    """A string that matches the regular expression."""
    compiled = re.compile(expression)

    def check(value: Any, path: str) -> None:
        _require(str, "a string", value, path)
        if compiled.search(value) is None:
            raise bad_request(
                f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
                f"'{expression}'.",
                code="invalid_value",
                param=path,
            )

    return check


def number(low: float, high: float) -> Check:
    """A number from `low` to `high`."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _require(float, "a decimal", value, path)
        _within(value, low, high, path, "decimal")

    return check


def integer(low: float = float("-inf"), high: float = float("inf")) -> Check:
    """An integer from `low` to `high`."""

    def check(value: Any, path: str) -> None:
        _require(int, "an integer", value, path)
        _within(value, low, high, path, "integer")

    return check


def _within(value: float, low: float, high: float, path: str, kind: str) -> None:
    if value > high:
        raise bad_request(
            f"Invalid '{path}': {kind} above maximum value. Expected a value <= {high}, but got {value} instead.",
            code=f"{kind}_above_max_value",
            param=path,
        )
    if value < low:
        raise bad_request(
            f"Invalid '{path}': {kind} below minimum value. Expected a value >= {low}, but got {value} instead.",
            code=f"{kind}_below_min_value",
            param=path,
        )


def boolean(value: Any, path: str) -> None:
    """True or false."""
    _require(bool, "a boolean", value, path)


def mapping(value: Any, path: str) -> None:
    """Any object: its fields are not looked at."""
    _require(dict, "an object", value, path)


def anything(_value: Any, _path: str) -> None:
    """Accepted unseen."""


def one_of(*values: str) -> Check:
    """One of these strings."""

    def check(value: Any, path: str) -> None:
        _require(str, "a string", value, path)
        if value not in values:
            supported = ", ".join(f"'{each}'" for each in values)
            raise bad_request(
                f"Invalid value: '{value}'. Supported values are: {supported}.", code="invalid_value", param=path
            )

    return check


def array(each: Check, maximum: int | None = None, minimum: int = 0) -> Check:
    """An array of `minimum` to `maximum` values that all pass `each`."""

    def check(value: Any, path: str) -> None:
        _require(list, "an array", value, path)
        if maximum is not None and len(value) > maximum:
            raise _out_of_bounds("array", path, "long", maximum, len(value), "array_above_max_length")
        if len(value) < minimum:
            raise _out_of_bounds("array", path, "short", minimum, len(value), "array_below_min_length")
        for index, element in enumerate(value):
            each(element, f"{path}[{index}]")

    return check


def nullable(inner: Check) -> Check:
    """Null, or what `inner` accepts."""

    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def either(as_string: Check, otherwise: Check) -> Check:
    """A string that passes the first check, or anything else that passes the second."""

    def check(value: Any, path: str) -> None:
        (as_string if isinstance(value, str) else otherwise)(value, path)

    return check


def shape(required: Mapping[str, Check] | None = None, optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these fields and no others. An `optional` field may be null."""
    known: dict[str, Check] = {name: nullable(check) for name, check in (optional or {}).items()}
    known |= required or {}

    def check(value: Any, path: str) -> None:
        _require(dict, "an object", value, path or "body")
        prefix = f"{path}." if path else ""
        for name in value:
            if name not in known:
                raise bad_request(
                    f"Unknown parameter: '{prefix}{name}'.", code="unknown_parameter", param=f"{prefix}{name}"
                )
        for name in required or {}:
            if name not in value:
                raise missing(f"{prefix}{name}")
        for name, field in value.items():
            known[name](field, f"{prefix}{name}")

    return check


def tagged(kinds: Mapping[str, Check], default: str | None = None) -> Check:
    """An object whose `type` chooses its check; without a type it is a `default`."""

    def check(value: Any, path: str) -> None:
        _require(dict, "an object", value, path)
        kind = value.get("type") or default
        if kind is None:
            raise missing(f"{path}.type")
        one_of(*kinds)(kind, f"{path}.type")
        kinds[kind](value, path)

    return check


def missing(path: str) -> Exception:
    """The refusal of a request that lacks a parameter."""
    return bad_request(f"Missing required parameter: '{path}'.", code="missing_required_parameter", param=path)


def metadata(value: Any, path: str) -> None:
    """Up to 16 strings under short keys."""
    _pairs(value, path)
    for key, entry in value.items():
        text(limits.METADATA_VALUE)(entry, f"{path}.{key}")


def attributes(value: Any, path: str) -> None:
    """Up to 16 strings, numbers or booleans under short keys."""
    _pairs(value, path)
    for key, entry in value.items():
        if isinstance(entry, str):
            text(limits.METADATA_VALUE)(entry, f"{path}.{key}")
        elif not isinstance(entry, bool | int | float):
            _require(str, "a string", entry, f"{path}.{key}")


def _pairs(value: Any, path: str) -> None:
    _require(dict, "an object", value, path)
    if len(value) > limits.METADATA_PAIRS:
        raise bad_request(
            f"Invalid '{path}': too many properties. Expected an object with at most {limits.METADATA_PAIRS} "
            f"properties, but got an object with {len(value)} properties instead.",
            code="object_above_max_properties",
            param=path,
        )
    for key in value:
        text(limits.METADATA_KEY)(key, path)
