"""What the model is told of a call that went wrong: what is known of it, in nobody's words but the server's own."""

from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bot.tools.mcp_file import HttpServer, StdioServer
from tests.tools.mcp_servers import call, helper, http, opened, raw, tool

_UNKNOWN = "nobody knows whether the call was carried out"


async def test_a_servers_own_error_leaves_its_connection_alone(tmp_path: Path) -> None:
    error = {"error": {"code": -32000, "message": "rate limited"}}
    async with opened(raw(tmp_path, tools=[tool("busy"), tool("fine")], calls={"busy": error})) as toolbox:
        with capture_logs() as log:
            busy = await call(toolbox, "s__busy")
            assert (await call(toolbox, "s__fine")).text == "fine"
    assert (busy.failed, busy.text) == (True, "The server s answered with an error: rate limited")
    assert "mcp-server-down" not in {each["event"] for each in log}


@pytest.mark.parametrize(
    ("code", "says"),
    [(-32602, "The server s refused the call: no"), (-32603, f"answered with an error; {_UNKNOWN}: no")],
)
async def test_only_what_a_server_refused_is_called_refused(tmp_path: Path, code: int, says: str) -> None:
    error = {"error": {"code": code, "message": "no"}}
    async with opened(raw(tmp_path, tools=[tool("t")], calls={"t": error})) as toolbox:
        assert says in (await call(toolbox, "s__t")).text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (web.Response(status=500, text="oops"), f"failed (HTTP 500); {_UNKNOWN}"),
        (web.Response(status=502), _UNKNOWN),
        (web.Response(status=429), "too busy and did not carry out the call"),
        (web.Response(status=503), "too busy and did not carry out the call"),
        (web.json_response({"error": "invalid_token"}, status=401), "does not accept Bobbin's token"),
        (web.Response(status=403), "does not accept Bobbin's token"),
        (web.Response(text="<html>"), _UNKNOWN),
        (web.Response(text="{", content_type="application/json"), _UNKNOWN),
        (web.Response(text=": hi\n\n", content_type="text/event-stream"), f"broke; {_UNKNOWN}"),
        (web.Response(status=303, headers={"Location": "http://inside.example/"}), "was not made"),
        (
            web.json_response({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no"}}, status=400),
            "refused the call: no",
        ),
    ],
)
async def test_an_http_failure_says_whether_the_call_was_carried_out(answer: web.Response, says: str) -> None:
    async with http({"t": answer}) as server, opened(server) as toolbox:
        await toolbox.functions(helper())
        output = await call(toolbox, "s__t")
    assert output.failed
    assert says in output.text
    for word in ("pydantic", "validation", "JSONRPC", "inside.example", "oops"):
        assert word not in output.text


@pytest.mark.parametrize(("status", "says"), [(401, "does not accept the token in `headers` (HTTP 401)"), (503, "503")])
async def test_whoever_runs_bobbin_hears_why_an_http_server_is_not_there(status: int, says: str) -> None:
    async with http({}, connecting=status) as server, opened(server) as toolbox:
        with capture_logs() as log:
            [check] = await toolbox.check()
        told = (await call(toolbox, "s__t")).text
    assert says in str(check.problem)
    assert says in next(each["problem"] for each in log if each["event"] == "mcp-server-down")
    assert "secret words" not in told


@pytest.mark.parametrize("arguments", ['{"x": "\\ud800"}', '{"x": ' * 300 + "1" + "}" * 300])
async def test_arguments_that_cannot_be_written_end_no_connection(tmp_path: Path, arguments: str) -> None:
    async with opened(raw(tmp_path, tools=[tool("t")])) as toolbox:
        assert not (await call(toolbox, "s__t")).failed
        with capture_logs() as log:
            output = await call(toolbox, "s__t", arguments)
        assert not (await call(toolbox, "s__t")).failed
    assert output.failed
    assert "Nothing was done" in output.text
    assert "mcp-server-down" not in {each["event"] for each in log}


async def test_what_a_server_said_as_it_died_is_not_for_the_model(tmp_path: Path) -> None:
    words = "cannot log in with ghp_SECRETSECRET at db://admin:hunter2@10.0.0.1"
    async with opened(raw(tmp_path, last_words=words)) as toolbox:
        with capture_logs() as log:
            [check] = await toolbox.check()
        output = await call(toolbox, "s__t")
    assert words in str(check.problem)
    assert words in next(each["said"] for each in log if each["event"] == "mcp-server-down")
    assert (
        output.text
        == "There is no tool s__t. The server s is not there (it ended before it answered). Nothing was done."
    )


async def test_what_a_server_said_as_it_refused_is_not_for_the_model(unused_tcp_port: int) -> None:
    gone = HttpServer("s", f"http://user:hunter2@127.0.0.1:{unused_tcp_port}/mcp")
    for server in (gone, StdioServer("s", "/nowhere/hunter2")):
        async with opened(server) as toolbox:
            output = await call(toolbox, "s__t")
        assert "is not there" in output.text
        assert "hunter2" not in output.text
