"""MCP servers that take their time to start: no answer waits for one, and none is given up too soon."""

import asyncio
import os
from pathlib import Path

from bot.tools.mcp_server import Patience
from tests.tools.mcp_servers import call, helper, opened, raw, tool

#: An answer does not wait at all.
_HASTY = Patience(wait=0.0)


async def test_an_answer_goes_without_a_server_that_is_starting_and_a_later_one_has_it(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    server = raw(tmp_path, tools=[tool("t")], gate=str(gate))
    async with opened(server, patience=_HASTY) as toolbox:
        assert await toolbox.functions(helper()) == ()
        assert await toolbox.functions(helper()) == ()
        # Whoever asks for the server itself waits.
        waiting = asyncio.create_task(toolbox.check())
        await asyncio.to_thread(gate.write_text, "open")
        assert [check.problem for check in await waiting] == [None]
        assert [spec.name for spec in await toolbox.functions(helper())] == ["s__t"]
        assert (await call(toolbox, "s__t")).text == "t"


async def test_servers_are_started_before_anybody_asks_and_only_those_of_assistants(tmp_path: Path) -> None:
    gates = {name: tmp_path / name for name in ("s", "nobodys")}
    for gate in gates.values():
        os.mkfifo(gate)
    servers = [raw(tmp_path, name, gate=str(gate)) for name, gate in gates.items()]
    async with opened(*servers) as toolbox:
        toolbox.start([helper("s", "gone")])
        await asyncio.to_thread(gates["s"].write_text, "open")
        # Nobody reads the other one's gate: it was not started.
        try:
            os.close(os.open(gates["nobodys"], os.O_WRONLY | os.O_NONBLOCK))
            started = True
        except OSError:
            started = False
        assert not started


async def test_closing_does_not_wait_for_a_server_that_is_starting(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with opened(raw(tmp_path, gate=str(gate))) as toolbox:
        toolbox.start([helper()])
        waiting = asyncio.create_task(toolbox.functions(helper()))
    assert await waiting == ()
