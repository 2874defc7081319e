"""One bad tool takes neither its server away nor, with OpenAI, every request of the assistant."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import WithJsonSchema
from structlog.testing import capture_logs

from bot.errors import SettingsError
from bot.playground.openai.function_schemas import refusal
from bot.tools import tool as marked
from bot.tools.functions import FunctionTool
from tests.tools.mcp_servers import helper, opened, raw, tool

_OBJECT = {"type": "object", "properties": {}}
_BAD: list[Any] = [
    {"name": "text", "inputSchema": {"type": "string"}},
    {"name": "wat", "inputSchema": {"type": "object", "properties": {"a": {"type": "wat"}}}},
    {"name": "dead", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/nope"}}}},
    {"name": "listed", "inputSchema": {"type": "object", "properties": []}},
    {"name": "circle", "inputSchema": {"allOf": [{"$ref": "#"}]}},
    {"name": "null", "inputSchema": None},
    {"inputSchema": _OBJECT},
    "no tool",
]


async def test_bad_tools_are_left_out_by_name_and_the_others_stay(tmp_path: Path) -> None:
    async with opened(raw(tmp_path, tools=[*_BAD, tool("fine")])) as toolbox:
        with capture_logs() as log:
            assert [spec.name for spec in await toolbox.functions(helper())] == ["s__fine"]
        [check] = await toolbox.check()
    left_out = [each["tool"] for each in log if each["event"] == "mcp-tool-left-out"]
    assert left_out == ["text", "wat", "dead", "listed", "circle", "null", "number 7", "number 8"]
    assert "wat, because its schema.a has the type 'wat'" in str(check.problem)


@pytest.mark.parametrize(
    ("schema", "properties", "required"),
    [
        ({}, {}, None),
        ({"type": "object"}, {}, None),
        ({"type": ["object", "null"], "properties": {"a": True}}, {"a": True}, None),
        (
            {"type": "object", "properties": {"a": {}, "b": {}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": {}, "b": {}},
            None,
        ),
        (
            {
                "oneOf": [
                    {"properties": {"kind": {"const": "x"}, "x": {}}, "required": ["kind", "x"]},
                    {"properties": {"kind": {"const": "y"}, "y": {}}, "required": ["kind", "y"]},
                ]
            },
            {"kind": {"anyOf": [{"const": "x"}, {"const": "y"}]}, "x": {}, "y": {}},
            ["kind"],
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {}}, "required": ["a"]}}},
            {"a": {}},
            ["a"],
        ),
        ({"properties": {"a": {"type": "array"}}}, {"a": {"type": "array", "items": {}}}, None),
        (
            {"properties": {"a": {"type": "array", "items": [{"type": "string"}]}}},
            {"a": {"type": "array", "prefixItems": [{"type": "string"}], "items": {}}},
            None,
        ),
        ({"properties": {"a": {"exclusiveMinimum": True, "required": True}}}, {"a": {}}, None),
        ({"properties": {"$ref": {}, "enum": {}, "type": {}}}, {"$ref": {}, "enum": {}, "type": {}}, None),
        ({"properties": {"a": {"default": {"type": "wat"}}}}, {"a": {"default": {"type": "wat"}}}, None),
    ],
)
async def test_what_openai_would_refuse_is_put_right(
    tmp_path: Path, schema: dict[str, Any], properties: dict[str, Any], required: list[str] | None
) -> None:
    async with opened(raw(tmp_path, tools=[{"name": "t", "inputSchema": schema}])) as toolbox:
        [spec] = await toolbox.functions(helper())
    assert spec.parameters["type"] == "object"
    assert spec.parameters["properties"] == properties
    assert spec.parameters.get("required") == required
    assert refusal(spec.parameters) is None


async def test_what_else_is_wrong_with_a_tool_takes_nothing_away(tmp_path: Path) -> None:
    odd = tool("t", description="y" * 50_000, outputSchema={"type": "wat"}, annotations=5, title=7, icons="none")
    async with opened(raw(tmp_path, tools=[odd, tool("u", description=5)])) as toolbox:
        specs = await toolbox.functions(helper())
    assert [len(spec.description) for spec in specs] == [1_024, 0]


def test_a_function_of_ours_is_held_to_the_same() -> None:
    @marked
    async def odd(what: Annotated[int, WithJsonSchema({"type": "wat"})]) -> None:
        """Odd."""

    with pytest.raises(SettingsError, match="has the type 'wat'"):
        FunctionTool.of(odd)

    async def long(many: list[Any], pair: tuple[int, str]) -> None: ...

    long.__doc__ = "x" * 5_000
    spec = FunctionTool.of(marked(long)).spec
    assert len(spec.description) == 1_024
    assert refusal(spec.parameters) is None
