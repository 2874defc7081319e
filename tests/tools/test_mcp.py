"""MCP servers: real ones, on standard input and output and over HTTP, and all that can go wrong with them."""

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.ports import Assistant, ThreadKey, ToolCall, ToolOutput, ToolScene
from bot.errors import SettingsError
from bot.tools.mcp_file import HttpServer, StdioServer, load_servers
from bot.tools.mcp_names import may_be_of, offered_name
from bot.tools.mcp_server import McpServer, Patience
from bot.tools.toolbox import CombinedToolbox, open_toolbox

_WILD = str(Path(__file__).with_name("wild_server.py"))
_OLD = str(Path(__file__).with_name("old_server.py"))
_SCENE = ToolScene(ThreadKey("T", "C", "1.0"), "U", "channel", "helper")
_HELPER = Assistant("helper", "Helper", "Help.", "model", mcp_servers=("wild",))
#: A machine that does many things at once starts a server slowly.
_PATIENT = Patience(wait=40.0, listing=40.0, first_rest=0.01, longest_rest=0.02)


def stdio(*arguments: str, script: str = _WILD, **options: Any) -> StdioServer:
    return StdioServer("wild", sys.executable, (script, *arguments), **options)


@contextlib.asynccontextmanager
async def http_server() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(sys.executable, _WILD, "--http", stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}/mcp", process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def opened(*servers: StdioServer | HttpServer, patience: Patience = _PATIENT) -> AsyncIterator[CombinedToolbox]:
    toolbox = CombinedToolbox({}, [McpServer(server, patience) for server in servers])
    try:
        yield toolbox
    finally:
        await toolbox.close()


async def call(toolbox: CombinedToolbox, tool: str, **arguments: Any) -> ToolOutput:
    output = await toolbox.call(ToolCall("call_1", f"wild__{tool}", json.dumps(arguments)), _SCENE)
    assert output.call == "call_1"
    return output


async def names(toolbox: CombinedToolbox) -> list[str]:
    return [spec.name for spec in await toolbox.functions(_HELPER)]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def test_tools_are_listed_with_their_schemas_and_called() -> None:
    async with opened(stdio()) as toolbox:
        specs = {spec.name: spec for spec in await toolbox.functions(_HELPER)}
        assert specs["wild__add"].description == "Add two numbers."
        assert specs["wild__add"].parameters["required"] == ["a", "b"]
        assert await call(toolbox, "add", a=2, b=3) == ToolOutput("call_1", "5")
        assert toolbox.repeatable(ToolCall("1", "wild__add", ""))
        assert not toolbox.repeatable(ToolCall("1", "wild__die", ""))
        assert toolbox.servers() == {"wild"}
        assert await toolbox.functions(Assistant("other", "Other", "Help.", "model")) == ()


async def test_a_call_kept_through_a_restart_finds_its_server_though_nothing_was_listed_yet() -> None:
    async with opened(stdio()) as toolbox:
        assert (await call(toolbox, "add", a=1, b=1)).text == "2"


async def test_a_server_gets_the_environment_it_is_given_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLACK_BOT_TOKEN", "LOGNAME", "SHELL", "USER", "TERM"):
        monkeypatch.setenv(name, "ours")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with opened(stdio(env={"GIVEN": "yes", "TERM": "dumb"}, cwd=str(tmp_path))) as toolbox:
        seen = json.loads((await call(toolbox, "environment")).text)
        # What the interpreter sets by itself where there is no locale (PEP 538).
        seen.pop("LC_CTYPE", None)
        assert seen == {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIVEN": "yes", "TERM": "dumb"}
        assert json.loads((await call(toolbox, "where")).text)[0] == str(tmp_path.resolve())


async def test_closing_leaves_no_process() -> None:
    async with opened(stdio()) as toolbox:
        process = json.loads((await call(toolbox, "where")).text)[1]
        assert alive(process)
    assert not alive(process)
    assert (await call(toolbox, "add", a=1, b=1)).failed


async def test_closing_in_the_middle_of_a_handshake_leaves_no_process(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    os.mkfifo(starts)
    async with opened(stdio("--mute", "--starts", str(starts))) as toolbox:
        asking = asyncio.create_task(toolbox.functions(_HELPER))
        process = int(await asyncio.to_thread(starts.read_text))
        assert alive(process)
    assert await asking == ()
    assert not alive(process)


async def test_a_server_that_dies_in_the_middle_of_a_call_is_told_and_started_again() -> None:
    async with opened(stdio()) as toolbox:
        before = json.loads((await call(toolbox, "where")).text)[1]
        output = await call(toolbox, "die")
        assert output.failed
        assert "nobody knows whether the call was carried out" in output.text
        assert await names(toolbox)
        after = json.loads((await call(toolbox, "where")).text)[1]
        assert before != after
        assert not alive(before)


async def test_every_call_of_a_server_that_dies_is_told() -> None:
    async with opened(stdio()) as toolbox:
        hanging = asyncio.create_task(call(toolbox, "hang"))
        await call(toolbox, "add", a=1, b=1)  # the server has the other one by now
        await call(toolbox, "die")
        assert "nobody knows" in (await hanging).text


async def test_a_call_that_takes_too_long_is_told_and_the_connection_stays() -> None:
    async with opened(stdio(timeout=0.3)) as toolbox:
        await names(toolbox)
        output = await call(toolbox, "hang")
        assert output.failed
        assert "0.3 seconds; nobody knows" in output.text


async def test_a_server_that_never_answers_is_left_out_and_let_alone(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    patience = Patience(wait=40.0, first_rest=3_600, longest_rest=3_600)
    server = stdio("--mute", "--starts", str(starts), start_timeout=0.5)
    async with opened(server, patience=patience) as toolbox:
        assert await names(toolbox) == []
        output = await call(toolbox, "add", a=1, b=1)
        assert output.failed
        assert "Nothing was done" in output.text
        check = (await toolbox.check())[0]
        assert check.problem
        assert "did not answer in time" in check.problem
    # It was given half a second, in which it may not even have come to leave its line.
    assert not starts.exists() or len(starts.read_text().split()) == 1


async def test_a_server_that_cannot_start_says_why() -> None:
    async with opened(stdio("--refuse")) as toolbox:
        assert await names(toolbox) == []
        check = (await toolbox.check())[0]
        assert check.problem
        assert "no licence" in check.problem
    async with opened(StdioServer("wild", "there-is-no-such-command")) as toolbox:
        check = (await toolbox.check())[0]
        assert check.problem
        assert "there-is-no-such-command" in check.problem
    async with opened(stdio(cwd="/there/is/none")) as toolbox:
        check = (await toolbox.check())[0]
        assert check.problem
        assert "cannot be started" in check.problem


async def test_one_server_that_is_down_takes_nothing_from_the_others() -> None:
    assistant = Assistant("helper", "Helper", "Help.", "model", mcp_servers=("gone", "wild", "unheard-of"))
    async with opened(StdioServer("gone", "there-is-no-such-command"), stdio()) as toolbox:
        assert "wild__add" in [spec.name for spec in await toolbox.functions(assistant)]


async def test_of_500_tools_the_first_100_are_offered() -> None:
    async with opened(stdio("--many", "500")) as toolbox:
        offered = await names(toolbox)
        assert len(offered) == 100
        assert offered[-1].startswith("wild__tool_")
        check = (await toolbox.check())[0]
        assert check.problem
        assert "the first 100 are" in check.problem
        assert (await call(toolbox, "tool_499", a=1, b=2)).failed


async def test_tools_of_several_servers_are_as_many_as_a_model_may_be_offered() -> None:
    both = Assistant("helper", "Helper", "Help.", "model", mcp_servers=("wild", "other"))
    other = StdioServer("other", sys.executable, (_WILD, "--many", "80"))
    async with opened(stdio("--many", "80"), other) as toolbox:
        offered = [spec.name for spec in await toolbox.functions(both)]
    assert len(offered) == len(set(offered)) == 120


@pytest.mark.parametrize("protocol", ["2026-07-28 stdio", "2026-07-28 http"])
async def test_a_changed_list_is_read_again(protocol: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server: StdioServer | HttpServer = stdio()
        if protocol.endswith("http"):
            url, _ = await stack.enter_async_context(http_server())
            server = HttpServer("wild", url)
        toolbox = await stack.enter_async_context(opened(server))
        assert "wild__newcomer" not in await names(toolbox)
        assert (await call(toolbox, "grow")).text == "grown"
        async with asyncio.timeout(20):
            # The news takes a way of its own, and may be behind the call's result.
            while "wild__newcomer" not in await names(toolbox):
                await asyncio.sleep(0)
        assert (await call(toolbox, "newcomer", a=4, b=4)).text == "8"


async def test_an_older_server_is_spoken_to_in_its_own_way() -> None:
    async with opened(stdio(script=_OLD)) as toolbox:
        assert await names(toolbox) == ["wild__grow"]
        assert (await call(toolbox, "grow")).text == "grown\n[image/png, which cannot be shown]"
        assert await names(toolbox) == ["wild__grow", "wild__tool_1"]


async def test_a_failing_tool_is_told_in_the_servers_words_and_much_is_cut() -> None:
    async with opened(stdio()) as toolbox:
        output = await call(toolbox, "fail", words="out of paper")
        assert output.failed
        assert "out of paper" in output.text
        assert "Traceback" not in output.text
        assert (await call(toolbox, "add", a="a lot")).failed
        much = await call(toolbox, "shout", characters=3_000_000)
        assert len(much.text) == 100_000
        assert "Cut" in much.text
        assert not much.failed


@pytest.mark.parametrize("arguments", ["{", "[1]", "nothing", '"text"', "[" * 100_000, "\ud800"])
async def test_arguments_that_are_no_json_object_never_reach_a_server(arguments: str) -> None:
    async with opened(stdio()) as toolbox:
        output = await toolbox.call(ToolCall("1", "wild__add", arguments), _SCENE)
        assert output.failed
        assert "Nothing was done" in output.text


async def test_an_http_server_is_called_with_its_headers() -> None:
    async with http_server() as (url, _), opened(HttpServer("wild", url, {"X-Token": "secret"})) as toolbox:
        assert "wild__add" in await names(toolbox)
        assert (await call(toolbox, "add", a=20, b=3)).text == "23"
        assert json.loads((await call(toolbox, "headers")).text)["x-token"] == "secret"


async def test_an_older_http_server_that_was_restarted_is_spoken_to_anew() -> None:
    sessions: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(status=405)
        message = await request.json()
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "old", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "add", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": "5"}]},
        }
        if "id" not in message:
            return web.Response(status=202)
        if message["method"] == "initialize":
            sessions.append(f"session-{len(sessions)}")
        elif message["method"] in results and request.headers.get("Mcp-Session-Id") != sessions[-1]:
            return web.Response(status=404)
        known = {"result": results.get(message["method"])}
        unknown = {"error": {"code": -32601, "message": "Method not found"}}
        body = {"jsonrpc": "2.0", "id": message["id"]} | (known if message["method"] in results else unknown)
        return web.json_response(body, headers={"Mcp-Session-Id": sessions[-1]} if sessions else {})

    app = web.Application()
    app.router.add_route("*", "/mcp", answer)
    async with TestServer(app) as server, opened(HttpServer("wild", str(server.make_url("/mcp")))) as toolbox:
        assert (await call(toolbox, "add")).text == "5"
        sessions.append("of the server's next life")
        output = await call(toolbox, "add")
        assert output.failed
        assert "did not carry out the call" in output.text
        assert (await call(toolbox, "add")).text == "5"


async def test_an_http_server_that_dies_in_the_middle_of_a_call_is_told() -> None:
    async with http_server() as (url, process), opened(HttpServer("wild", url)) as toolbox:
        await names(toolbox)
        output = await call(toolbox, "die")
        assert output.failed
        assert "nobody knows" in output.text
        await process.wait()
        assert (await call(toolbox, "add", a=1, b=1)).failed
        check = (await toolbox.check())[0]
        assert check.problem


async def test_an_http_server_that_is_not_there_is_left_out(unused_tcp_port: int) -> None:
    async with opened(HttpServer("wild", f"http://127.0.0.1:{unused_tcp_port}/mcp")) as toolbox:
        assert await names(toolbox) == []
        check = (await toolbox.check())[0]
        assert check.problem
        assert "cannot be reached" in check.problem


async def test_an_http_server_that_never_answers_is_left_out() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    async with server, opened(HttpServer("wild", url, start_timeout=0.3)) as toolbox:
        assert await names(toolbox) == []


async def test_a_run_that_is_stopped_takes_the_connection_from_nobody() -> None:
    async with opened(stdio()) as toolbox:
        stopped, other = asyncio.create_task(names(toolbox)), asyncio.create_task(names(toolbox))
        await asyncio.sleep(0)
        stopped.cancel()
        assert "wild__add" in await other
        hanging = asyncio.create_task(call(toolbox, "hang"))
        await call(toolbox, "add", a=1, b=1)
        hanging.cancel()
        await asyncio.wait({hanging})
        assert (await call(toolbox, "add", a=1, b=1)).text == "2"


def test_rests_grow_and_end_growing() -> None:
    patience = Patience(first_rest=1, longest_rest=60)
    assert [patience.rest(failures) for failures in (0, 1, 2, 3, 7, 1000)] == [0, 1, 2, 4, 60, 60]


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), unique=True, max_size=20))
def test_every_tool_has_a_name_of_its_own_that_fits(tools: list[tuple[str, str]]) -> None:
    offered = [offered_name(server, tool) for server, tool in tools]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in offered)
    assert len(set(offered)) == len(tools)
    assert all(may_be_of(server, name) for (server, _), name in zip(tools, offered, strict=True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b__c"), ("a__b", "c")),
        (("a_", "b"), ("a", "_b")),
        (("s", "x" * 80), ("s", "x" * 81)),
        (("s" * 80, "x"), ("s" * 81, "x")),
        (("s", "a.b"), ("s", "a/b")),
    ],
)
def test_names_that_would_be_the_same_are_kept_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert offered_name("git", "log") == "git__log"
    assert offered_name(*one) != offered_name(*other)


def test_the_file_is_read_and_variables_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    servers = {
        "files": {"command": "npx", "args": ["-y", "files"], "env": {"TOKEN": "x-${SECRET}"}, "cwd": "/tmp"},
        "web": {
            "type": "http",
            "url": "https://example.org/mcp",
            "headers": {"A": "${SECRET}"},
            "timeout": 5,
            "icon": 1,
        },
    }
    path.write_text(json.dumps({"mcpServers": servers, "other": 1}))
    assert load_servers(path, {"SECRET": "s3"}) == (
        StdioServer("files", "npx", ("-y", "files"), {"TOKEN": "x-s3"}, "/tmp"),
        HttpServer("web", "https://example.org/mcp", {"A": "s3"}, 5),
    )
    assert "s3" not in repr(load_servers(path, {"SECRET": "s3"}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "JSON"),
        ("{}", "mcpServers"),
        ('{"mcpServers": {"a": {}}}', "a: a server has either a command or a url"),
        ('{"mcpServers": {"a": {"command": "x", "url": "http://x"}}}', "either"),
        ('{"mcpServers": {"a": {"url": "file:///x"}}}', "mcpServers.a.url"),
        ('{"mcpServers": {"a": {"type": "sse", "url": "http://x"}}}', "streamable HTTP"),
        ('{"mcpServers": {"a": {"command": "x", "env": {"T": "${NOT_THERE}"}}}}', "NOT_THERE is not set"),
        ('{"mcpServers": {"a": {"command": "x", "env": {"T": []}}}}', "mcpServers.a.env.T"),
        ('{"mcpServers": {"": {"command": "x"}}}', "name"),
        ('{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', "a is there twice"),
        ('{"mcpServers": {"a": {"command": "x", "args": ["${input:token}"]}}}', "${input:token} is no variable"),
        ('{"mcpServers": {"a": {"command": "x", "args": ["${T-x}"]}}}', "${T-x} is no variable"),
        ('{"mcpServers": {"a": {"command": "x", "cwd": "${T"}}}', "a.cwd: ${T is no variable"),
        ('{"mcpServers": {"a": {"transport": "sse", "url": "http://x"}}}', "streamable HTTP"),
        ('{"mcpServers": {"a": {"type": "carrier-pigeon", "url": "http://x"}}}', "stdio or http"),
        ('{"mcpServers": {"a": {"command": "x", "startTimeout": 0}}}', "startTimeout"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_servers(path, {})
    assert refused.value.sentence.startswith("BOBBIN_MCP: ")
    assert says in refused.value.sentence
    assert "\n" not in refused.value.sentence


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        open_toolbox((), tmp_path / "none.json", {}, None)


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"mcpServers": {"a": {"command": "x"}}}')
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(SettingsError, match=r"bobbin\[mcp\]"):
        open_toolbox((), path, {}, None)


async def test_tools_import_without_the_package() -> None:
    program = "import sys; sys.modules['mcp'] = None; import bot.tools.toolbox, bot.tools.examples"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0


def test_variables_may_stand_anywhere_and_disabled_servers_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    servers = {
        "files": {"command": "${SHELL_OF_OURS}", "args": ["--root", "${ROOT:-/srv}/handbook"]},
        "tracker": {"url": "${TRACKER}/mcp"},
        "old": {"command": "${NOBODY_SETS_THIS}", "disabled": True},
    }
    path.write_text(json.dumps({"mcpServers": servers}))
    environment = {"SHELL_OF_OURS": "npx", "TRACKER": "https://tracker.example.org"}
    assert load_servers(path, environment) == (
        StdioServer("files", "npx", ("--root", "/srv/handbook")),
        HttpServer("tracker", "https://tracker.example.org/mcp"),
    )
    with pytest.raises(SettingsError, match=r"tracker\.url: it is no address"):
        load_servers(path, environment | {"TRACKER": "file:///etc"})
    with pytest.raises(SettingsError, match=r"files\.command: SHELL_OF_OURS is not set"):
        load_servers(path, {})


def test_files_of_other_programs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    servers = {
        "cursor": {"url": "https://x.example/mcp", "headers": {"Authorization": "Bearer ${env:T}"}},
        "cline": {"type": "streamableHttp", "url": "https://x.example/mcp", "disabled": False},
        "windsurf": {"serverUrl": "https://x.example/mcp", "env": None},
        "gemini": {"httpUrl": "https://x.example/mcp", "headers": None, "type": "streamable-http"},
        "other": {"transport": "streamable_http", "url": "https://x.example/mcp", "startTimeout": 90},
        "local": {"command": "x", "args": ["--port", 80], "env": {"PORT": 80, "ON": True}, "cwd": "${env:T:-/}/srv"},
        "off": {"command": "x", "enabled": False},
        "old": {"type": "sse", "url": 5, "env": {"A": "${input:a}"}, "disabled": True},
    }
    path.write_text("\ufeff" + json.dumps({"mcpServers": servers}))
    url = "https://x.example/mcp"
    assert load_servers(path, {"T": "t"}) == (
        HttpServer("cursor", url, {"Authorization": "Bearer t"}),
        HttpServer("cline", url),
        HttpServer("windsurf", url),
        HttpServer("gemini", url),
        HttpServer("other", url, start_timeout=90),
        StdioServer("local", "x", ("--port", "80"), {"PORT": "80", "ON": "true"}, "t/srv"),
    )
