"""What OpenAI refuses of any function's schema, `strict` or not: the whole request, for one of them.

Its words are quoted in https://github.com/langchain-ai/langchainjs/issues/9804,
https://github.com/github/github-mcp-server/issues/1548 and
https://github.com/streamnative/streamnative-mcp-server/issues/26.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_ALTERNATIVES = ("oneOf", "anyOf", "allOf", "enum", "not")


def refusal(schema: Mapping[str, Any]) -> str | None:
    """Why OpenAI would refuse a function with this schema of an object; None where it would not."""
    if any(key in schema for key in _ALTERNATIVES):
        return "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
    if "properties" not in schema:
        return "In context=(), object schema missing properties."
    return next(
        (f"In context={inside}, {why}" for inside, each in _all(schema, ()) if (why := _wrong(each, schema))), None
    )


def _all(schema: Any, inside: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A schema and all within it, each with where it is."""
    yield inside, schema
    if not isinstance(schema, dict):
        return
    for key in ("properties", "$defs", "definitions", "patternProperties"):
        for name, each in schema.get(key, {}).items():
            yield from _all(each, (*inside, key, name))
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for place, each in enumerate(schema.get(key, [])):
            yield from _all(each, (*inside, key, str(place)))
    for key in ("items", "additionalProperties", "not"):
        if key in schema:
            yield from _all(schema[key], (*inside, key))


def _wrong(schema: Any, root: Mapping[str, Any]) -> str | None:
    if not isinstance(schema, dict):
        return None if isinstance(schema, bool) else f"{schema!r} is not of type 'object', 'boolean'."
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if unknown := [kind for kind in kinds if kind not in _TYPES]:
        return f"{unknown[0]!r} is not valid under any of the given schemas."
    if "array" in kinds and "items" not in schema:
        return "array schema missing items."
    if "$ref" in schema and not _is_there(schema["$ref"], root):
        return f"reference to component '{schema['$ref']}' which was not found in the schema."
    return None


def _is_there(reference: str, root: Mapping[str, Any]) -> bool:
    found: Any = root
    for part in reference.split("/")[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    return reference.startswith("#") and found is not None
