"""What a model may be told of a function: OpenAI refuses every request in which one function's schema is wrong.

Its rules, where `strict` is not set: the top level is an object with properties and without alternatives, every array
says what its items are, and the rest is valid JSON Schema, 2020-12
(https://platform.openai.com/docs/guides/function-calling; the refusals are quoted in
https://github.com/langchain-ai/langchainjs/issues/9804, https://github.com/github/github-mcp-server/issues/1548 and
https://github.com/streamnative/streamnative-mcp-server/issues/26). What only loosens a schema is put right here,
because who carries the call out checks its arguments anyway; a tool that cannot be helped is left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: Characters of a function's description (https://platform.openai.com/docs/api-reference/assistants/createAssistant).
DESCRIPTION = 1_024
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
#: Keywords whose value is a schema, a list of schemas, and schemas by name.
_SCHEMA = frozenset({
    "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "unevaluatedItems",
    "unevaluatedProperties",
})  # fmt: skip
_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
#: How many schemas within each other are taken into the top level.
_DEEPEST = 3
#: What OpenAI does not take at the top level.
_NOT_ON_TOP = ("allOf", "anyOf", "oneOf", "$ref", "enum", "not")


class UnusableSchema(Exception):
    """No model can be offered this; the message is a part of a sentence that says why."""


def brief(description: str) -> str:
    """A description of at most as many characters as a function may have."""
    return description if len(description) <= DESCRIPTION else description[: DESCRIPTION - 1] + "…"


def offerable(schema: Any) -> dict[str, Any]:
    """A function's schema as a model may be offered it. Raises UnusableSchema."""
    if not isinstance(schema, dict):
        raise UnusableSchema("its schema is no object")
    try:
        top = _object(schema, schema)
        checked: dict[str, Any] = _checked(top, top, "its schema")
    except RecursionError:
        raise UnusableSchema("its schema is too deep") from None
    return checked


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """A schema of an object, with what it refers to and what its alternatives allow taken into it."""
    if not _is_object(schema):
        raise UnusableSchema(f"its arguments are no object but {schema['type']!r:.40}")
    if depth > _DEEPEST:
        raise UnusableSchema("its schema refers to itself")
    properties = dict(_mapping(schema.get("properties", {})))
    required = set(_names(schema.get("required")))
    for branches, all_hold in _branches(schema, root):
        taken = [_object(each, root, depth + 1) for each in branches]
        properties = _united([each["properties"] for each in taken]) | properties
        wanted = [set(each.get("required", ())) for each in taken] or [set()]
        required |= set.union(*wanted) if all_hold else set.intersection(*wanted)
    rest = {key: value for key, value in schema.items() if key not in (*_NOT_ON_TOP, "required")}
    # In the order of the properties, of which an alternative may want one that nobody describes.
    names = [name for name in properties if name in required]
    return rest | {"type": "object", "properties": properties} | ({"required": names} if names else {})


def _branches(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[tuple[list[Mapping[str, Any]], bool]]:
    """The schemas that an object's schema refers to, and whether all of them hold."""
    if "$ref" in schema:
        yield [_mapping(_target(schema["$ref"], root))], True
    if "allOf" in schema:
        yield [_mapping(each) for each in _listed(schema["allOf"])], True
    for key in ("anyOf", "oneOf"):
        if key in schema:
            # Arguments are an object: what else there may be is no alternative for them.
            yield [each for each in _listed(schema[key]) if isinstance(each, dict) and _is_object(each)], False


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type", "object")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _united(described: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The properties of all; one that is not the same everywhere may be any of them."""
    forms: dict[str, list[Any]] = {}
    for properties in described:
        for name, form in properties.items():
            known = forms.setdefault(name, [])
            if form not in known:
                known.append(form)
    return {name: known[0] if len(known) == 1 else {"anyOf": known} for name, known in forms.items()}


def _checked(schema: Any, root: Mapping[str, Any], where: str) -> Any:
    """A schema within another, put right. Raises UnusableSchema, which says where."""
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        raise UnusableSchema(f"{where} is no schema")
    if isinstance(schema.get("items"), list):  # as they were before 2020-12
        schema = {key: value for key, value in schema.items() if key != "items"} | {"prefixItems": schema["items"]}
    checked = {key: _value(key, value, root, where) for key, value in schema.items() if not _is_old(key, value)}
    kinds = _kinds(checked.get("type"), where)
    return checked | ({"items": {}} if "array" in kinds and "items" not in checked else {})


def _value(key: str, value: Any, root: Mapping[str, Any], where: str) -> Any:
    if key in _SCHEMA:
        return _checked(value, root, f"{where}.{key}")
    if key in _SCHEMAS:
        return [_checked(each, root, f"{where}.{key}") for each in _listed(value)]
    if key in _NAMED:
        return {name: _checked(each, root, f"{where}.{name}") for name, each in _mapping(value).items()}
    if key == "$ref":
        _target(value, root)
    if key == "enum" and not isinstance(value, list):
        raise UnusableSchema(f"{where}.enum is no list")
    return value


def _is_old(key: str, value: Any) -> bool:
    """Keywords of drafts before 2020-12, where they meant something else; without them a schema is looser."""
    if key == "required":
        return not (isinstance(value, list) and all(isinstance(each, str) for each in value))
    return key in ("exclusiveMinimum", "exclusiveMaximum") and isinstance(value, bool)


def _kinds(kind: Any, where: str) -> list[str]:
    kinds = [] if kind is None else kind if isinstance(kind, list) else [kind]
    for each in kinds:
        if not isinstance(each, str) or each not in _TYPES:
            raise UnusableSchema(f"{where} has the type {each!r:.40}, which JSON Schema does not know")
    return kinds


def _target(reference: Any, root: Mapping[str, Any]) -> Any:
    """What a reference within the schema stands for (a JSON pointer, RFC 6901)."""
    found: Any = root
    pointer = reference if isinstance(reference, str) else ""
    if not pointer.startswith("#"):
        raise UnusableSchema(f"it refers to {reference!r:.80}, which is not within it")
    for part in pointer[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, TypeError, ValueError):
            raise UnusableSchema(f"it refers to {pointer!r:.80}, which is not there") from None
    return found


def _names(required: Any) -> list[str]:
    return [] if required is None or _is_old("required", required) else list(required)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UnusableSchema("a part of its schema is no object")
    return value


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise UnusableSchema("a part of its schema is no list of schemas")
    return value
