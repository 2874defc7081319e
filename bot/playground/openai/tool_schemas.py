"""The tools that a request may offer, and the choice among them.

https://developers.openai.com/api/reference, "Create assistant" and "Create a model response"; the fields are those of
openai 3.54, types/responses/tool_param.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.playground.openai import limits
from bot.playground.openai.errors import bad_request
from bot.playground.openai.function_schemas import refusal
from bot.playground.openai.parameters import (
    anything,
    array,
    boolean,
    either,
    integer,
    mapping,
    missing,
    nullable,
    number,
    one_of,
    pattern,
    shape,
    tagged,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.playground.openai.parameters import Check
    from bot.playground.openai.records import Json

NAME = pattern(r"^[a-zA-Z0-9_-]+$")
"""Of functions and of MCP servers."""


def _function_name(maximum: int) -> Check:
    length = text(maximum, 1)

    def check(value: Any, path: str) -> None:
        length(value, path)
        NAME(value, path)

    return check


def _strict_schema(name: str, path: str, schema: Json, inside: tuple[str, ...] = ()) -> None:
    """Refuses a schema that `strict` cannot follow: https://developers.openai.com/api/docs/guides/structured-outputs."""
    properties = schema.get("properties") or {}
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise _bad_schema(name, path, inside, "'additionalProperties' is required to be supplied and to be false.")
        left_out = [each for each in properties if each not in (schema.get("required") or ())]
        if left_out:
            raise _bad_schema(
                name,
                path,
                inside,
                "'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{left_out[0]}'.",
            )
    for key, each in properties.items():
        _strict_schema(name, path, each, (*inside, "properties", key))
    if isinstance(schema.get("items"), dict):
        _strict_schema(name, path, schema["items"], (*inside, "items"))


def _bad_schema(name: str, path: str, inside: tuple[str, ...], why: str) -> Exception:
    message = f"Invalid schema for function '{name}': In context={inside}, {why}"
    return bad_request(message, code="invalid_function_parameters", param=path)


def _function(inner: Check) -> Check:
    """A function that passes `inner`, and whose parameters are a schema of an object."""

    def check(value: Any, path: str) -> None:
        inner(value, path)
        schema = value.get("parameters")
        if schema is None:
            return
        place = f"{path}.parameters"
        if schema.get("type") != "object":
            kind = schema.get("type")
            raise bad_request(
                f"Invalid schema for function '{value['name']}': schema must be a JSON Schema of 'type: \"object\"', "
                f"got 'type: \"{kind}\"'.",
                code="invalid_function_parameters",
                param=place,
            )
        if why := refusal(schema):
            message = f"Invalid schema for function '{value['name']}': {why}"
            raise bad_request(message, code="invalid_function_parameters", param=place)
        if value.get("strict"):
            _strict_schema(value["name"], place, schema)

    return check


# --- Assistants ------------------------------------------------------------------------------------------------------

_ASSISTANT_RANKING = shape({"score_threshold": number(0, 1)}, {"ranker": one_of("auto", "default_2024_08_21")})
ASSISTANT_TOOL = tagged(
    {
        "code_interpreter": shape({"type": text()}),
        "file_search": shape(
            {"type": text()},
            {"file_search": shape(optional={"max_num_results": integer(1, 50), "ranking_options": _ASSISTANT_RANKING})},
        ),
        "function": shape(
            {
                "type": text(),
                "function": _function(
                    shape(
                        {"name": _function_name(64)},
                        {"description": text(1024), "parameters": mapping, "strict": boolean},
                    )
                ),
            }
        ),
    }
)

# --- Responses -------------------------------------------------------------------------------------------------------

MEMORY_LIMIT = one_of("1g", "4g", "16g", "64g")
NETWORK_POLICY = tagged(
    {
        "disabled": shape({"type": text()}),
        "allowlist": shape(
            {"type": text(), "allowed_domains": array(text(), minimum=1)}, {"domain_secrets": array(mapping)}
        ),
    }
)
_CALLERS = array(one_of("direct", "programmatic"))
_LOCATION = shape(
    optional={
        "type": one_of("approximate"), "city": text(), "country": text(2, 2), "region": text(), "timezone": text()
    }
)  # fmt: skip
_CONTEXT_SIZE = one_of("low", "medium", "high")
_WEB_SEARCH = shape(
    {"type": text()},
    {
        "external_web_access": boolean,
        "filters": shape(optional={"allowed_domains": array(text(), 100)}),
        "search_context_size": _CONTEXT_SIZE,
        "user_location": _LOCATION,
    },
)
_WEB_SEARCH_PREVIEW = shape(
    {"type": text()},
    {
        "search_content_types": array(one_of("text", "image")),
        "search_context_size": _CONTEXT_SIZE,
        "user_location": _LOCATION,
    },
)


def _filter(value: Any, path: str) -> None:
    """A comparison of an attribute, or several joined by `and` or `or`."""
    comparison = shape({"type": text(), "key": text(), "value": anything})
    compound = shape({"type": text(), "filters": array(_filter, minimum=1)})
    comparisons = dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"), comparison)
    tagged({**comparisons, "and": compound, "or": compound})(value, path)


_FILE_SEARCH = shape(
    {"type": text(), "vector_store_ids": array(text(), limits.SEARCHED_VECTOR_STORES, minimum=1)},
    {
        "filters": _filter,
        "max_num_results": integer(1, 50),
        "ranking_options": shape(
            optional={
                "ranker": one_of("none", "auto", "default-2024-11-15"),
                "score_threshold": number(0, 1),
                "hybrid_search": shape({"embedding_weight": number(0, 1), "text_weight": number(0, 1)}),
            }
        ),
    },
)
_CODE_INTERPRETER = shape(
    {
        "type": text(),
        "container": either(
            text(minimum=1),
            shape(
                {"type": one_of("auto")},
                {
                    "file_ids": array(text(), limits.CONTAINER_FILES),
                    "memory_limit": MEMORY_LIMIT,
                    "network_policy": NETWORK_POLICY,
                },
            ),
        ),
    },
    {"allowed_callers": _CALLERS},
)
_IMAGE_GENERATION = shape(
    {"type": text()},
    {
        "action": one_of("generate", "edit", "auto"),
        "background": one_of("transparent", "opaque", "auto"),
        "complexity": one_of("low", "medium", "high"),
        "frame_count": integer(1),
        "frame_duration_ms": integer(10),
        "input_fidelity": one_of("high", "low"),
        "input_image_mask": shape(optional={"file_id": text(), "image_url": text()}),
        "model": text(),
        "moderation": one_of("auto", "low"),
        "output_compression": integer(0, 100),
        "output_format": one_of("png", "webp", "jpeg", "gif", "svg"),
        "partial_images": integer(0, 3),
        "quality": one_of("low", "medium", "high", "xhigh", "max", "auto"),
        "size": pattern(r"^(auto|[1-9][0-9]{1,4}x[1-9][0-9]{1,4})$"),
        "svg": mapping,
    },
)

_TOOL_FILTER = shape(optional={"tool_names": array(text()), "read_only": boolean})
_CONNECTORS = (
    "connector_dropbox", "connector_gmail", "connector_googlecalendar", "connector_googledrive",
    "connector_microsoftteams", "connector_outlookcalendar", "connector_outlookemail", "connector_sharepoint",
)  # fmt: skip
_MCP_FIELDS = shape(
    {"type": text(), "server_label": NAME},
    {
        "server_url": pattern(r"^https?://\S+$"),
        "connector_id": one_of(*_CONNECTORS),
        "tunnel_id": text(),
        "server_description": text(),
        "headers": mapping,
        "authorization": text(),
        "require_approval": either(
            one_of("always", "never"), shape(optional={"always": _TOOL_FILTER, "never": _TOOL_FILTER})
        ),
        "allowed_tools": lambda value, path: (array(text()) if isinstance(value, list) else _TOOL_FILTER)(value, path),
        "allowed_callers": _CALLERS,
        "defer_loading": boolean,
    },
)


def _mcp(value: Any, path: str) -> None:
    _MCP_FIELDS(value, path)
    if not any(value.get(name) for name in ("server_url", "connector_id", "tunnel_id")):
        raise missing(f"{path}.server_url")


_UNKNOWN_TO_US = (
    "apply_patch", "computer", "computer_use_preview", "custom", "local_shell", "namespace",
    "programmatic_tool_calling", "shell", "tool_search",
)  # fmt: skip
"""Tools that no brain of ours uses: their fields are not looked at."""

RESPONSE_TOOL = tagged(
    {
        "function": _function(
            shape(
                {"type": text(), "name": _function_name(128)},
                {
                    "description": text(),
                    "parameters": mapping,
                    "strict": boolean,
                    "defer_loading": boolean,
                    "async": boolean,
                    "allowed_callers": _CALLERS,
                    "output_schema": mapping,
                },
            )
        ),
        "file_search": _FILE_SEARCH,
        "code_interpreter": _CODE_INTERPRETER,
        "web_search": _WEB_SEARCH,
        "web_search_2025_08_26": _WEB_SEARCH,
        "web_search_preview": _WEB_SEARCH_PREVIEW,
        "web_search_preview_2025_03_11": _WEB_SEARCH_PREVIEW,
        "image_generation": _IMAGE_GENERATION,
        "mcp": _mcp,
        **dict.fromkeys(_UNKNOWN_TO_US, mapping),
    }
)

_HOSTED = ("file_search", "code_interpreter", "image_generation", "web_search", "web_search_2025_08_26",
           "web_search_preview", "web_search_preview_2025_03_11")  # fmt: skip
_CHOICES: Mapping[str, Check] = {
    **dict.fromkeys(_HOSTED, shape({"type": text()})),
    "function": shape({"type": text(), "name": text()}),
    "mcp": shape({"type": text(), "server_label": text()}, {"name": text()}),
    "allowed_tools": shape({"type": text(), "mode": one_of("auto", "required"), "tools": array(mapping)}),
    **dict.fromkeys(_UNKNOWN_TO_US, mapping),
}
RESPONSE_TOOL_CHOICE = nullable(either(one_of("none", "auto", "required"), tagged(_CHOICES)))


def check_choice(choice: str | Json | None, tools: list[Json]) -> None:
    """Refuses the choice of a tool that is not offered."""
    if choice == "required" and not tools:
        raise bad_request("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
    if not isinstance(choice, dict) or choice["type"] == "allowed_tools":
        return
    key = {"function": "name", "mcp": "server_label"}.get(choice["type"], "type")
    if not any(tool["type"] == choice["type"] and tool.get(key) == choice[key] for tool in tools):
        raise bad_request(f"Tool choice '{choice[key]}' not found in 'tools' parameter.", param="tool_choice")
