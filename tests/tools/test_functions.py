"""Function tools: what a function becomes, what a model may call it with, and what the model is told."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from structlog.testing import capture_logs

from bot.engine.ports import Assistant, ChannelMessage, HostedMcp, ThreadKey, ToolCall, ToolOutput, ToolScene
from bot.errors import SettingsError
from bot.settings import environment, load_settings
from bot.tools import ChannelReader, PartlyRead, ToolError, tool
from bot.tools.discovery import find_tools
from bot.tools.functions import FunctionTool
from bot.tools.mcp_file import StdioServer
from bot.tools.mcp_server import McpServer
from bot.tools.output import as_text
from bot.tools.toolbox import CombinedToolbox, open_toolbox

_SCENE = ToolScene(ThreadKey("T", "C1", "1.0"), "U1", "channel", "helper")


def toolbox(*functions: Any, channels: ChannelReader | None = None) -> CombinedToolbox:
    tools = [FunctionTool.of(function) for function in functions]
    return CombinedToolbox({each.spec.name: each for each in tools}, (), channels)


async def call(function: Any, arguments: str = "{}", *, channels: ChannelReader | None = None) -> ToolOutput:
    name = FunctionTool.of(function).spec.name
    return await toolbox(function, channels=channels).call(ToolCall("call_1", name, arguments), _SCENE)


class Point(BaseModel):
    x: int
    y: int = 0


async def test_a_function_becomes_a_schema_without_what_bobbin_fills_in() -> None:
    @tool
    async def forecast(
        city: str,
        scene: ToolScene,
        days: Annotated[int, Field(ge=1, le=14, description="How far ahead.")] = 3,
        unit: Literal["C", "F"] = "C",
        where: Point | None = None,
    ) -> str:
        """The weather of the next days.

        It is only a guess.

        Args:
            city (str): The city,
                with its country.
            days: This is overruled.

        Returns:
            Nothing of this.
        """
        return f"{city} {days} {unit} {where} {scene.asker}"

    spec = FunctionTool.of(forecast).spec
    assert spec.name == "forecast"
    assert spec.description == "The weather of the next days.\n\nIt is only a guess."
    assert spec.parameters["additionalProperties"] is False
    assert spec.parameters["required"] == ["city"]
    properties = spec.parameters["properties"]
    assert properties["city"] == {"type": "string", "description": "The city, with its country."}
    assert properties["days"] == {
        "type": "integer", "minimum": 1, "maximum": 14, "default": 3, "description": "How far ahead."
    }  # fmt: skip
    assert properties["unit"]["enum"] == ["C", "F"]
    assert spec.parameters["$defs"]["Point"]["additionalProperties"] is False
    assert set(properties) == {"city", "days", "unit", "where"}
    # It stays the function that it is.
    assert await forecast("Rome", _SCENE) == "Rome 3 C None U1"
    assert (await call(forecast, '{"city": "Rome", "where": {"x": 1}}')).text == "Rome 3 C x=1 y=0 U1"


@given(
    st.text(),
    st.integers(),
    st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    st.dictionaries(st.text(), st.booleans()),
    st.none() | st.dates(),
)
async def test_arguments_arrive_as_they_were_sent(
    text: str, number: int, numbers: list[float], flags: dict[str, bool], day: date | None
) -> None:
    got: list[Any] = []

    @tool(name="take-it")
    async def take(json: str, model_config: int, self: list[float], copy: dict[str, bool], _day: date | None) -> None:
        """Take arguments, under names that pydantic keeps for itself."""
        got.extend([json, model_config, self, copy, _day])

    sent = {"json": text, "model_config": number, "self": numbers, "copy": flags, "_day": day and day.isoformat()}
    output = await call(take, json.dumps(sent))
    assert output == ToolOutput("call_1", "Done.")
    assert got == [text, number, numbers, flags, day]


@tool
async def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("{", "json"),
        ("[]", "object"),
        ("twelve", "json"),
        ("\ud800", "unicode"),
        ("[" * 100_000, "json"),
        ("{}", "number: field required"),
        ('{"number": "many"}', "number: input should be a valid integer"),
        ('{"number": 1, "other": 2}', "other: extra inputs are not permitted"),
    ],
)
async def test_wrong_arguments_are_told_and_nothing_is_done(arguments: str, says: str) -> None:
    output = await call(double, arguments)
    assert output.failed
    assert says in output.text
    assert output.text.endswith("Nothing was done.")


async def test_a_tool_without_arguments_may_be_called_with_nothing() -> None:
    @tool
    async def ping() -> str:
        """Answer."""
        return "pong"

    assert (await call(ping, "")).text == "pong"


class Panic(BaseException):
    """As extension modules raise it (pyo3's PanicException)."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("s3cret"),
        SystemExit("s3cret"),
        asyncio.CancelledError(),
        Panic("s3cret"),
        GeneratorExit("s3cret"),
        BaseExceptionGroup("s3cret", [GeneratorExit()]),
    ],
)
async def test_a_tool_that_raises_is_told_without_a_traceback(error: BaseException) -> None:
    @tool
    async def broken() -> None:
        """Fail."""
        raise error

    output = await call(broken)
    assert output.failed
    assert "The tool broken" in output.text
    assert "s3cret" not in output.text
    assert "Traceback" not in output.text


async def test_what_a_tool_error_says_is_told() -> None:
    @tool
    async def broken() -> None:
        """Fail."""
        raise ToolError("There is no city Atlantis.")

    assert await call(broken) == ToolOutput("call_1", "There is no city Atlantis.", failed=True)


async def test_a_tool_that_hangs_is_stopped() -> None:
    stopped = asyncio.Event()

    @tool(timeout=0.05)
    async def slow() -> None:
        """Take for ever."""
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    output = await call(slow)
    assert output.failed
    assert "longer than 0.05 seconds" in output.text
    assert stopped.is_set()


async def test_a_tool_that_will_not_be_stopped_does_not_hold_the_run() -> None:
    over = asyncio.Event()

    @tool(timeout=0.01)
    async def stubborn() -> None:
        """Take for ever, whatever is said."""
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    assert (await call(stubborn)).failed
    over.set()


async def test_a_run_that_is_stopped_stops_its_tool() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    @tool
    async def slow() -> None:
        """Take for ever."""
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    running = asyncio.create_task(call(slow))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await stopped.wait()


class Endless(list[int]):
    """A list that would be written out for ever."""

    def __iter__(self) -> Any:
        number = 0
        while True:
            yield number
            number += 1

    def __len__(self) -> int:
        return 1 << 40


@pytest.mark.parametrize(
    "value", ["x" * 10_000_000, ["x" * 1000] * 10_000, {"a": {"b": "x" * 10_000_000}}, Endless([1])]
)
async def test_ten_megabytes_are_cut_and_the_model_knows(value: Any) -> None:
    @tool
    async def much() -> Any:
        """Say a lot."""
        return value

    output = await call(much)
    assert len(output.text) == 100_000
    assert output.text.endswith("[Cut: the output is longer; these are its first 100,000 characters.]")
    assert not output.failed


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_what_is_no_text_becomes_json(value: Any) -> None:
    text = as_text(value)
    text.encode("utf-8")
    if value is not None and not isinstance(value, str):
        assert json.loads(text) == json.loads(json.dumps(value))


async def test_models_and_dates_become_json_and_what_cannot_is_told() -> None:
    assert as_text([Point(x=1), datetime(2026, 1, 2, tzinfo=UTC)]) == '[{"x": 1, "y": 0}, "2026-01-02T00:00:00Z"]'
    assert as_text("half \ud800") == "half ?"
    loop: list[Any] = []
    loop.append(loop)

    @tool
    async def endless() -> list[Any]:
        """Return what contains itself."""
        return loop

    assert await call(endless) == ToolOutput("call_1", "The tool endless failed (ValueError).", failed=True)


async def test_a_tool_that_blocks_everything_is_named_in_the_log() -> None:
    @tool(timeout=0.001)
    async def busy() -> None:
        """Compute."""
        time.sleep(0.01)

    with capture_logs() as log:
        await call(busy)
    [warning] = [each for each in log if each["event"] == "tool-blocked-everything"]
    assert warning["tool"] == "busy"


@pytest.mark.parametrize(
    "hint",
    [
        ToolScene | None,
        Optional[ToolScene],  # noqa: UP045 - as people write it
        Annotated[ToolScene, "who asks"],
        Annotated[ToolScene | None, "who asks"],
        Annotated[ToolScene, "who asks"] | None,
    ],
)
async def test_a_model_never_says_who_is_asking(hint: Any) -> None:
    async def give(amount: int, scene: hint = None) -> str:
        """Give money."""
        return f"{amount} for {scene.asker}"

    give = tool(give)
    assert set(FunctionTool.of(give).spec.parameters["properties"]) == {"amount"}
    assert (await call(give, '{"amount": 1}')).text == "1 for U1"
    forged = {"thread": {"team": "T", "channel": "C", "ts": "1"}, "asker": "UADMIN", "surface": "im", "assistant": "x"}
    assert "extra inputs are not permitted" in (await call(give, json.dumps({"amount": 1, "scene": forged}))).text


class Enclosed(BaseModel):
    scene: ToolScene | None = None
    more: "list[Enclosed]" = []


@pytest.mark.parametrize(
    "hint", [list[ToolScene], dict[str, ToolScene], ToolScene | str, Enclosed, list[Enclosed], type[ToolScene]]
)
def test_what_bobbin_fills_in_is_refused_within_an_argument(hint: Any) -> None:
    async def give(scene: hint) -> None:
        """Give money."""

    with pytest.raises(SettingsError, match="ToolScene is filled in by Bobbin and no part of an argument") as refused:
        FunctionTool.of(tool(give))
    assert "\n" not in refused.value.sentence


async def test_a_reader_that_may_be_missing_is_none_where_it_is() -> None:
    @tool
    async def look(channels: ChannelReader | None = None) -> str:
        """Look."""
        return "nothing to look at" if channels is None else "there it is"

    assert (await call(look)).text == "nothing to look at"
    assert (await call(look, channels=FakeChannels())).text == "there it is"


def _not_async() -> Any:
    def plain() -> None:
        """Not async."""

    return plain


def _no_docstring() -> Any:
    async def silent() -> None: ...

    return silent


def _no_hint() -> Any:
    async def vague(what) -> None:  # type: ignore[no-untyped-def]
        """No hint."""

    return vague


def _unknown_hint() -> Any:
    async def vague(what: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
        """A hint that is not there."""

    return vague


def _no_schema() -> Any:
    async def odd(what: asyncio.Event) -> None:
        """A hint that JSON does not know."""

    return odd


def _stars() -> Any:
    async def many(*what: int) -> None:
        """Any number."""

    return many


def _field_default() -> Any:
    async def mixed(what: int = Field(default=3)) -> None:
        """Field in the wrong place."""

    return mixed


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_not_async, "write async def"),
        (_no_docstring, "docstring"),
        (_no_hint, "what has no type hint"),
        (_unknown_hint, "Nowhere"),
        (_no_schema, "no JSON schema"),
        (_stars, "cannot be given by name"),
        (_field_default, "Annotated"),
    ],
)
def test_a_function_that_can_be_no_tool_is_refused_in_one_line(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        FunctionTool.of(tool(make()))
    assert says in refused.value.sentence
    assert "\n" not in refused.value.sentence


@pytest.mark.parametrize("options", [{"name": "web_search"}, {"name": "no spaces"}, {"timeout": 0}])
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    async def fine() -> None:
        """Fine."""

    with pytest.raises(SettingsError):
        FunctionTool.of(tool(**options)(fine))


@tool(approval=True)
async def pay(euros: int) -> str:
    """Pay."""
    return f"paid {euros}"


async def test_the_toolbox_offers_what_an_assistant_lists_and_knows_what_needs_approval() -> None:
    box = toolbox(pay, double)
    assistant = Assistant(
        "helper", "Helper", "Help.", "model", tools=("code_interpreter", "double", "pay"), approval=("wild__*",)
    )
    assert box.known() == {"pay", "double"}
    assert [spec.name for spec in await box.functions(assistant)] == ["double", "pay"]
    assert box.needs_approval(assistant, ToolCall("1", "pay", "{}"))
    assert not box.needs_approval(assistant, ToolCall("1", "double", "{}"))
    assert box.needs_approval(assistant, ToolCall("1", "wild__die", "{}"))
    assert box.needs_approval(assistant, ToolCall("1", "double", "{}", server=HostedMcp("x", "https://x").label))
    assert not box.repeatable(ToolCall("1", "pay", "{}"))
    unknown = await box.call(ToolCall("1", "fly", "{}"), _SCENE)
    assert unknown.failed
    assert unknown.text == "There is no tool fly. Nothing was done."


def write(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(f"from bot.tools import tool\n{source}")


_ONE = '@tool\nasync def one() -> int:\n    """One."""\n    return 1\n'


def test_tools_are_found_in_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "found_one", _ONE)
    write(tmp_path, "found_again", "from found_one import one\n" + _ONE.replace("one", "two"))
    assert set(find_tools(["found_one", "found_again"])) == {"one", "two"}


def test_tools_are_found_in_installed_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "announced", _ONE)
    information = tmp_path / "announced-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: announced\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[bobbin.tools]\nall = announced\n")
    assert set(find_tools([])) == {"one"}
    (tmp_path / "announced.py").unlink()
    monkeypatch.delitem(sys.modules, "announced")
    with pytest.raises(SettingsError, match="installed tools announced cannot be imported"):
        find_tools([])


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("1 / 0", "cannot be imported (ZeroDivisionError"),
        ("import sys; sys.exit(3)", "cannot be imported (SystemExit"),
        ("one = 1", "no function marked with @tool"),
        (_ONE.replace("async ", ""), "write async def"),
        (
            _ONE + _ONE.replace("tool\n", "tool(name='one')\n").replace("def one", "def other"),
            "two tools have the name one",
        ),
    ],
)
def test_modules_that_are_wrong_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, says: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "wrong", source)
    monkeypatch.delitem(sys.modules, "wrong", raising=False)
    with pytest.raises(SettingsError) as refused:
        find_tools(["wrong"])
    assert says in refused.value.sentence
    assert "\n" not in refused.value.sentence


def test_a_module_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"BOBBIN_TOOLS: there is no module nowhere\.at\.all; .* PYTHONPATH"):
        open_toolbox(["nowhere.at.all"], None, {}, None)


def test_a_function_must_not_be_called_as_a_servers_tool_is() -> None:
    @tool(name="wild__add")
    async def add() -> None:
        """Add."""

    with pytest.raises(SettingsError, match="wild__add"):
        CombinedToolbox({"wild__add": FunctionTool.of(add)}, [McpServer(StdioServer("wild", "x"))])


def test_the_settings_name_tools_and_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("BOBBIN_TOOLS=mine.tools, theirs\nBOBBIN_MCP=mcp.json\nToken=from-the-file\nBoth=file\n")
    monkeypatch.setenv("Both", "environment")
    settings = load_settings()
    assert settings.bobbin_tools == ("mine.tools", "theirs")
    assert settings.bobbin_mcp == Path("mcp.json")
    assert environment()["Token"] == "from-the-file"
    assert environment()["Both"] == "environment"
    with pytest.raises(SettingsError, match="BOBBIN_TOOLS is wrong"):
        load_settings(bobbin_tools="mine-tools")


class FakeChannels:
    """A channel that was written in, and another one that a search comes upon too."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def recent(self, scene: ToolScene, limit: int) -> list[ChannelMessage]:
        return await self.search(scene, "", limit)

    async def search(self, scene: ToolScene, words: str, limit: int) -> list[ChannelMessage]:
        self.asked.append((words, limit))
        return [
            ChannelMessage("C1", "1760000000.000100", "Ada", "Lunch at noon", "https://slack/p1"),
            ChannelMessage("C2", "1760000001.000100", "Eve", "A secret lunch"),
            ChannelMessage("C1", "1750000000.000100", "Bob", "Lunch?"),
        ]


async def test_search_channel_finds_in_the_scenes_conversation_only() -> None:
    search = find_tools(["bot.tools.examples"])["search_channel"].function
    channels = FakeChannels()
    output = await call(search, '{"words": " lunch  noon "}', channels=channels)
    assert json.loads(output.text) == [
        {"author": "Ada", "time": "2025-10-09 08:53 UTC", "text": "Lunch at noon", "permalink": "https://slack/p1"},
        {"author": "Bob", "time": "2025-06-15 15:06 UTC", "text": "Lunch?"},
    ]
    await call(search, '{"words": "", "limit": 5}', channels=channels)
    assert channels.asked == [("lunch noon", 20), ("", 5)]
    assert (await call(search, '{"words": "x", "limit": 51}', channels=channels)).failed
    assert (await call(search, '{"words": "x", "scene": {"thread": "C2"}}', channels=channels)).failed
    without = await call(search, '{"words": "x"}')
    assert without.failed
    assert "does not work here" in without.text


async def test_a_search_that_missed_threads_says_so() -> None:
    class Hurried(FakeChannels):
        async def search(self, scene: ToolScene, words: str, limit: int) -> list[ChannelMessage]:
            return PartlyRead(await super().search(scene, words, limit))

    search = find_tools(["bot.tools.examples"])["search_channel"].function
    output = json.loads((await call(search, '{"words": "lunch"}', channels=Hurried())).text)
    assert [message["author"] for message in output["messages"]] == ["Ada", "Bob"]
    assert "Not all threads were searched" in output["note"]


async def test_clock_tells_the_time_of_a_zone() -> None:
    clock = find_tools(["bot.tools.examples"])["clock"].function
    assert "UTC+0900" in (await call(clock, '{"time_zone": "Asia/Tokyo"}')).text
    assert str(datetime.now(UTC).year) in (await call(clock)).text
    for zone in ("Mars/Base", "../../etc/passwd", "", "/etc"):
        output = await call(clock, json.dumps({"time_zone": zone}))
        assert output.failed
        assert "There is no time zone" in output.text


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    text = Path("docs/tools.md").read_text(encoding="utf-8")
    source = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "my_tools.py").write_text(source)
    program = (
        "import asyncio; from bot.tools.toolbox import open_toolbox; from bot.engine.ports import *\n"
        "box = open_toolbox(['my_tools'], None, {}, None)\n"
        "scene = ToolScene(ThreadKey('T', 'C', '1.0'), 'U1', 'channel', 'helper')\n"
        'for arguments in (\'{"title": "Printer"}\', \'{"title": " "}\'):\n'
        "    print(asyncio.run(box.call(ToolCall('1', 'file_ticket', arguments), scene)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": f"{tmp_path}:."}, capture_output=True, text=True, check=True
    )
    assert "Filed as T-1 for U1: Printer (normal)" in done.stdout
    assert "A ticket needs a title." in done.stdout


async def test_a_lot_is_drawn_of_the_names_and_people_are_asked_first() -> None:
    lots = find_tools(["bot.tools.examples"])["draw_lots"]
    assert lots.approval
    said = await lots.call('{"names": ["Ada", "Grace"]}', {})
    assert said in ("The lot fell on Ada.", "The lot fell on Grace.")
    with pytest.raises(ToolError, match="names"):
        await lots.call('{"names": ["Ada"]}', {})
