"""`bobbin assistants try`: a real process, at a terminal or without one, against the local assistants server."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.engine.ports import FileMade, Task, TaskStatus, ToolCall
from bot.playground.openai import (
    Brain,
    CodeInterpreterCall,
    FileLink,
    FunctionCall,
    LocalOpenAI,
    MadeFile,
    Piece,
    Question,
    Reasoning,
    ScriptedBrain,
    UrlCitation,
    WebSearch,
)
from bot.settings import load_settings
from bot.terminal import Terminal
from bot.trial import attempt
from tests.conftest import BACKENDS

_PIPE = asyncio.subprocess.PIPE


class Place:
    """A folder with an assistant, and what starts `bobbin assistants try` in it."""

    def __init__(self, folder: Path, backend: str, server: LocalOpenAI | None) -> None:
        self.folder = folder
        self.settings = {
            "OPENAI_API_KEY": "sk-local",
            "OPENAI_BASE_URL": server.url if server else "http://127.0.0.1:9/v1",
            "BOBBIN_BACKEND": backend,
            "BOBBIN_ASSISTANTS": "mine",
            "BOBBIN_TOOLS": "tests.tools_of_ours",
            "PYTHONPATH": str(Path.cwd()),
        }

    def assistant(self, more: str = "", key: str = "a") -> None:
        (self.folder / "mine").mkdir(exist_ok=True)
        text = f"---\nname: A\nmodel: gpt-6.1-terra\n{more}---\nHi\n"
        (self.folder / "mine" / f"{key}.md").write_text(text)

    @contextlib.asynccontextmanager
    async def trying(
        self, *words: str, keyboard: int | None = None, screen: int = _PIPE
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """`keyboard` is its standard input, `screen` its standard error."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "assistants", "try", *words, cwd=self.folder, env=self.settings,
            stdin=asyncio.subprocess.DEVNULL if keyboard is None else keyboard, stdout=_PIPE, stderr=screen,
            # What starts the tests in the background may have them ignore Ctrl-C, which is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def tried(self, *words: str) -> tuple[int, str, str]:
        async with self.trying(*words) as process:
            out, err = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode or 0, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def place(folder: Path, backend: str, brain: Brain) -> AsyncIterator[tuple[Place, LocalOpenAI]]:
    async with LocalOpenAI(brain=brain) as server:
        there = Place(folder, backend, server)
        there.assistant()
        yield there, server


async def read_until(stream: asyncio.StreamReader | None, words: bytes) -> bytes:
    assert stream is not None
    return await asyncio.wait_for(stream.readuntil(words), 30)


def calling(name: str, **arguments: Any) -> ScriptedBrain:
    """A model that says that it looks, calls a tool, and says what it was told."""

    async def call() -> AsyncIterator[Piece]:
        yield "Let me see."
        yield FunctionCall(name, json.dumps(arguments))

    def answer(question: Question) -> Any:
        role, said = question.messages[-1]
        return f"I was told: {said}" if role == "tool" else call()

    return ScriptedBrain(answer)


@pytest.fixture(params=["assistants", "responses", "local"])
def backend(request: pytest.FixtureRequest) -> str:
    """A process for each test takes its time: `agents` has only the test in which it differs."""
    return str(request.param)


async def test_text_is_written_as_it_comes(tmp_path: Path, backend: str) -> None:
    gate = asyncio.Event()
    brain = ScriptedBrain({"why": "Because it is so."}, gate=gate)
    async with place(tmp_path, backend, brain) as (there, _), there.trying("a", "why") as process:
        assert await read_until(process.stdout, b"Because") == b"Because"
        gate.set()
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out, err) == (0, b" it is so.\n", b"")


@pytest.mark.parametrize("backend", BACKENDS)
async def test_tools_are_called_until_the_answer_is_there(tmp_path: Path, backend: str) -> None:
    async with place(tmp_path, backend, calling("weather", town="Rome")) as (there, _):
        there.assistant("tools: [weather]\n")
        code, out, err = await there.tried("a", "weather?")
    assert (code, out) == (0, "Let me see.\n\nI was told: sunny in Rome\n")
    assert "· Uses weather" in err


async def test_a_tool_that_the_assistant_has_not_got_is_not_called(tmp_path: Path, backend: str) -> None:
    async with place(tmp_path, backend, calling("flood")) as (there, _):
        there.assistant("tools: [weather]\n")
        code, out, err = await there.tried("a", "weather?")
    # Some servers refuse such a call themselves.
    assert "x" * 100 not in out
    assert "Uses flood" not in err
    assert code in (0, 1)


@pytest.mark.parametrize(("typed", "told"), [(b"y\n", "all deleted"), (b"\n", "denied"), (b"\x04", "denied")])
async def test_a_call_that_needs_approval_is_asked_for(tmp_path: Path, backend: str, typed: bytes, told: str) -> None:
    keyboard, terminal = os.openpty()
    brain = calling("delete_all", what="all")
    async with place(tmp_path, backend, brain) as (there, _):
        there.assistant("tools: [delete_all]\n")
        async with there.trying("a", "delete", keyboard=terminal) as process:
            asked = await read_until(process.stderr, b"[y/N] ")
            assert b'May I use delete_all with {"what": "all"}?' in asked
            os.write(keyboard, typed)
            out, _ = await asyncio.wait_for(process.communicate(), 30)
    os.close(keyboard)
    os.close(terminal)
    assert process.returncode == 0
    assert told in out.decode()


async def test_without_a_terminal_it_is_refused(tmp_path: Path, backend: str) -> None:
    async with place(tmp_path, backend, calling("delete_all", what="all")) as (there, _):
        there.assistant("tools: [delete_all]\n")
        code, out, err = await there.tried("a", "delete")
    assert code == 0
    assert "This needs approval, and nobody could be asked. Nothing was done." in out
    assert "The person denied" not in out
    assert "delete_all needs approval" in err


async def test_ctrl_c_ends_the_run_at_the_server(tmp_path: Path, backend: str) -> None:
    brain = ScriptedBrain({"why": "Because it is so."}, gate=asyncio.Event())
    async with place(tmp_path, backend, brain) as (there, server):
        async with there.trying("a", "why") as process:
            await read_until(process.stdout, b"Because")
            process.send_signal(signal.SIGINT)
            _, err = await asyncio.wait_for(process.communicate(), 30)
        runs: list[Any] = [*server.runs.values(), *server.responses.values()]
        assert [run.status for run in runs] == ["cancelled"]
    assert (process.returncode, err) == (130, b"")


async def test_ctrl_c_ends_a_question_too(tmp_path: Path, backend: str) -> None:
    keyboard, terminal = os.openpty()
    async with place(tmp_path, backend, calling("delete_all", what="all")) as (there, server):
        there.assistant("tools: [delete_all]\n")
        async with there.trying("a", "delete", keyboard=terminal) as process:
            await read_until(process.stderr, b"[y/N] ")
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.communicate(), 30)
        assert [run.status for run in server.runs.values() if run.status != "cancelled"] == []
    os.close(keyboard)
    os.close(terminal)
    assert process.returncode == 130


async def test_a_run_that_takes_too_long_is_ended_at_the_server(tmp_path: Path, backend: str) -> None:
    brain = ScriptedBrain({"why": "Because it is so."}, gate=asyncio.Event())
    async with place(tmp_path, backend, brain) as (there, server):
        there.settings["BOBBIN_RUN_TIMEOUT"] = "1"
        code, out, err = await there.tried("a", "why")
        runs: list[Any] = [*server.runs.values(), *server.responses.values()]
        assert [run.status for run in runs if run.status != "cancelled"] == []
    assert code == 2
    assert out in ("", "Because\n", "Because it is so.\n")
    assert err == "bobbin: This took longer than 1 seconds (BOBBIN_RUN_TIMEOUT), so I ended it.\n"


async def test_time_in_which_a_person_is_asked_does_not_count(
    tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    clock = loop.time
    said: list[str] = []

    class Slow(Terminal):
        """A person who takes twice the time that a run has. The clock is moved on, nobody waits."""

        async def approves(self, call: ToolCall) -> bool:
            monkeypatch.setattr(loop, "time", lambda: clock() + 60)
            # Whatever is due by now gets its turn.
            await asyncio.to_thread(said.clear)
            return True

    async with place(tmp_path, backend, calling("delete_all", what="all")) as (there, server):
        there.assistant("tools: [delete_all]\n")
        settings = load_settings(
            _env_file=None, openai_api_key="sk-local", openai_base_url=server.url, bobbin_backend=backend,
            bobbin_assistants=tmp_path / "mine", bobbin_tools="tests.tools_of_ours", bobbin_run_timeout=30,
        )  # fmt: skip
        await attempt(settings, "a", "delete", Slow(said.append, said.append))
    assert "all deleted" in "".join(said)


@pytest.mark.parametrize("backend", ["assistants", "responses"])
async def test_files_are_copied_under_free_names(tmp_path: Path, backend: str) -> None:
    async def plot() -> AsyncIterator[Piece]:
        files = (MadeFile("t.csv", b"1,2", "text/csv"), MadeFile(".env", b"BOBBIN_TOOLS=evil", "text/plain"))
        yield CodeInterpreterCall("plot()", "", files=files)
        yield "Here: "
        yield FileLink("t.csv")
        yield " and "
        yield FileLink(".env")

    async with place(tmp_path, backend, ScriptedBrain(lambda _: plot())) as (there, _):
        there.assistant("tools: [code_interpreter]\n")
        (tmp_path / "t.csv").write_text("mine")
        code, out, err = await there.tried("a", "plot")
    assert (code, re.sub(r"[][]", "", out)) == (0, "Here: t.csv and .env\n"), err
    assert err.count("Runs code") == 1
    assert "· plot()\n" in err
    assert (tmp_path / "t.csv").read_text() == "mine"
    assert (tmp_path / "t-2.csv").read_bytes() == b"1,2"
    assert "· made t-2.csv\n" in err
    assert not (tmp_path / ".env").exists()
    assert (tmp_path / "env").read_text() == "BOBBIN_TOOLS=evil"


async def test_sources_are_listed_below(tmp_path: Path) -> None:
    async def look_up() -> AsyncIterator[Piece]:
        yield WebSearch("bobbins")
        yield "It is wound"
        yield UrlCitation("https://bobbins.example/", "All of bobbins")
        yield "."

    async with place(tmp_path, "responses", ScriptedBrain(lambda _: look_up())) as (there, _):
        there.assistant("tools: [web_search]\n")
        code, out, err = await there.tried("a", "bobbin?")
    assert code == 0, err
    assert out.startswith("It is wound")
    assert out.endswith("\n[1] All of bobbins https://bobbins.example/\n")


async def test_a_model_cannot_steer_the_terminal(tmp_path: Path, backend: str) -> None:
    brain = ScriptedBrain({"why": "Red \x1b[31mand \x07bell."})
    async with place(tmp_path, backend, brain) as (there, _):
        assert await there.tried("a", "why") == (0, "Red [31mand bell.\n", "")


def shown(*, together: bool = False) -> tuple[Terminal, list[str], list[str]]:
    said: list[str] = []
    noted: list[str] = []
    return Terminal(said.append, noted.append, together=together), said, noted


def test_what_would_turn_or_hide_text_is_not_written() -> None:
    terminal, said, _ = shown()
    terminal.grow("evil \u202etxt\u202c \u2066a\u2069 \u00adb \U000e0041c \udcffd \u200bz 👩\u200d🔬 می\u200cخواهم")
    terminal.end()
    assert "".join(said) == "evil txt a b c d z 👩\u200d🔬 می\u200cخواهم\n"


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_links_into_the_sandbox_are_not_written_however_they_come(size: int) -> None:
    text = "See [t.csv](sandbox:/mnt/data/t.csv), ![p](sandbox:/p.png) and [a](https://a.example) [x"
    terminal, said, _ = shown()
    for start in range(0, len(text), size):
        terminal.grow(text[start : start + size])
    terminal.settle(text)
    terminal.end()
    assert "".join(said) == "See t.csv, p and [a](https://a.example) [x\n"


@pytest.mark.parametrize(("together", "note"), [(True, "\n· made t.csv"), (False, "· made t.csv")])
def test_the_answer_ends_with_its_line_where_a_file_comes_last(
    together: bool, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").write_bytes(b"1")
    terminal, said, noted = shown(together=together)
    terminal.grow("Here.")
    terminal.file(FileMade("t.csv", tmp_path / "made"))
    terminal.end()
    assert noted == [note]
    assert said == (["Here."] if together else ["Here.", "\n"])


def test_a_task_is_told_once_and_what_came_of_it() -> None:
    terminal, _, noted = shown()
    going, over = TaskStatus.IN_PROGRESS, TaskStatus.COMPLETE
    terminal.task(Task("1", "Runs code", going))
    terminal.task(Task("1", "Runs code", going, "x = 1"))
    terminal.task(Task("1", "Runs code", over, "x = 1 print(x)"))
    terminal.task(Task("1", "Runs code", over, "x = 1 print(x)"))
    terminal.task(Task("2", "Searches the web", going, "bobbins"))
    terminal.task(Task("2", "Searches the web", over, "bobbins", "3 pages"))
    terminal.task(Task("3", "Thinks", over, output="It is simple."))
    terminal.task(Task("4", "Runs code", TaskStatus.ERROR, output="too slow"))
    assert noted == [
        "· Runs code",
        "· x = 1 print(x)",
        "· Searches the web bobbins",
        "· Searches the web: 3 pages",
        "· Thinks: It is simple.",
        "· Runs code: failed too slow",
    ]


async def test_what_the_model_says_of_its_reasoning_is_shown(tmp_path: Path) -> None:
    async def think() -> AsyncIterator[Piece]:
        yield Reasoning(("I consider it.",))
        yield "So."

    async with place(tmp_path, "responses", ScriptedBrain(lambda _: think())) as (there, _):
        there.assistant("reasoning_summary: true\n")
        assert await there.tried("a", "why") == (0, "So.\n", "· Thinks: I consider it.\n")


@pytest.mark.parametrize(
    ("settings", "dimmed"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
async def test_no_color_is_obeyed(tmp_path: Path, settings: dict[str, str], dimmed: bool) -> None:
    screen, terminal = os.openpty()
    async with place(tmp_path, "local", ScriptedBrain({"why": "So."})) as (there, _):
        there.settings |= settings
        there.assistant("tools: [code_interpreter]\noptional_tools: [code_interpreter]\n")
        async with there.trying("a", "why", screen=terminal) as process:
            out, _ = await asyncio.wait_for(process.communicate(), 30)
    os.close(terminal)
    with contextlib.closing(os.fdopen(screen, "rb", buffering=0)) as seen:
        written = seen.read(10_000)
    assert out == b"So.\n"
    assert b"without code_interpreter" in written
    assert (b"\x1b[" in written) is dimmed


async def test_another_assistant_that_cannot_be_used_here_is_not_in_the_way(tmp_path: Path) -> None:
    async with place(tmp_path, "local", ScriptedBrain({"why": "So."})) as (there, _):
        there.assistant("tools: [web_search]\n", key="b")
        assert await there.tried("a", "why") == (0, "So.\n", "")
        code, out, err = await there.tried("b", "why")
    assert (code, out) == (2, "")
    assert "web_search cannot be used with BOBBIN_BACKEND=local" in err


async def test_a_token_that_another_assistant_lacks_is_not_in_the_way(tmp_path: Path) -> None:
    server = "{label: wiki, url: https://wiki.example/mcp, approval: false, authorization: '${NOPE_TOKEN}'}"
    async with place(tmp_path, "responses", ScriptedBrain({"why": "So."})) as (there, _):
        there.assistant(f"hosted_mcp: [{server}]\n", key="b")
        assert await there.tried("a", "why") == (0, "So.\n", "")
        code, out, err = await there.tried("b", "why")
    assert (code, out) == (2, "")
    assert err == "bobbin: mine/b.md: hosted_mcp: NOPE_TOKEN is not set; put it into the environment or into .env.\n"


async def test_a_tool_that_it_can_do_without_is_left_out_and_told(tmp_path: Path) -> None:
    async with place(tmp_path, "local", ScriptedBrain({"why": "So."})) as (there, _):
        there.assistant("tools: [code_interpreter]\noptional_tools: [code_interpreter]\n")
        told = "· without code_interpreter, which BOBBIN_BACKEND=local cannot carry\n"
        assert await there.tried("a", "why") == (0, "So.\n", told)


async def test_errors_are_their_sentence(tmp_path: Path, backend: str) -> None:
    there = Place(tmp_path, backend, None)
    there.assistant()
    code, out, err = await there.tried("b", "why")
    assert (code, out) == (2, "")
    assert err.startswith("bobbin: There is no assistant `b`.")
    code, out, err = await there.tried("a", " ")
    assert (code, out, err) == (2, "", "bobbin: The question is empty.\n")
    code, out, err = await there.tried("a", "why")
    assert (code, out) == (2, "")
    assert err.startswith(f"bobbin: backend {backend}: http://127.0.0.1:9/v1/ cannot be reached")
    there.settings |= {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    code, out, err = await there.tried("a", "why")
    assert (code, out) == (2, "")
    assert err.startswith("bobbin: OPENAI_API_KEY is missing")


async def test_a_run_that_fails_says_why(tmp_path: Path, backend: str) -> None:
    async with place(tmp_path, backend, ScriptedBrain({})) as (there, _):
        code, _, err = await there.tried("a", "why")
    assert code == 1  # nothing that has to be put right here
    assert err.startswith("bobbin: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("backend", ["responses"])
async def test_what_nobody_could_reach_and_what_the_server_said_is_told(tmp_path: Path, backend: str) -> None:
    async with place(tmp_path, backend, ScriptedBrain(lambda _: "It is so.")) as (there, server):
        servers = {"mcpServers": {"gone": {"command": "there-is-no-such-program"}, "other": {"command": "nor-this"}}}
        (tmp_path / "mcp.json").write_text(json.dumps(servers))
        there.settings["BOBBIN_MCP"] = "mcp.json"
        there.assistant("mcp_servers: [gone]\n")
        code, out, err = await there.tried("a", "why \udcff?")
        assert (code, out) == (0, "It is so.\n")
        assert "· MCP server gone: " in err
        assert "other" not in err
        server.faults.add(method="POST", path="/responses", status=400, message="Unknown parameter: 'x'.")
        code, _, err = await there.tried("a", "why?")
    assert code == 2
    assert "Unknown parameter: 'x'." in err
