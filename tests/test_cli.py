"""The command line: wrong input is one line and exit code 2, `doctor` says what is wrong."""

import asyncio
import contextlib
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot import cli
from bot.playground.openai import LocalOpenAI, ScriptedBrain
from bot.playground.slack import LocalSlack
from tests.conftest import House

_GOOD = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "OPENAI_API_KEY": "sk-1"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run `bobbin …` in an empty folder; gives its exit code and what it printed."""
    assistants = Path("assistants").absolute()
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **settings: str) -> tuple[int, str, str]:
        for name, value in {"BOBBIN_ASSISTANTS": str(assistants), **settings}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["bobbin", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "SLACK_BOT_TOKEN is missing: it starts with xoxb-"),
        ({**_GOOD, "SLACK_BOT_TOKEN": "xapp-1"}, "SLACK_BOT_TOKEN is wrong"),
        ({**_GOOD, "SLACK_APP_TOKEN": "xoxb-1"}, "SLACK_APP_TOKEN is wrong"),
        ({**_GOOD, "SLACK_APP_TOKEN": ""}, "SLACK_APP_TOKEN is missing"),
        ({**_GOOD, "OPENAI_API_KEY": ""}, "OPENAI_API_KEY is missing"),
        ({**_GOOD, "PORT": "http"}, "PORT is wrong"),
        ({**_GOOD, "BOBBIN_BACKEND": "magic"}, "BOBBIN_BACKEND is wrong"),
        ({**_GOOD, "BOBBIN_RUN_TIMEOUT": "soon"}, "BOBBIN_RUN_TIMEOUT is wrong"),
        ({**_GOOD, "SLACK_API_URL": "slack.com"}, "SLACK_API_URL is wrong"),
        ({**_GOOD, "DATABASE_URL": "mysql://x"}, "DATABASE_URL is wrong"),
        ({**_GOOD, "BOBBIN_LOG_FORMAT": "xml"}, "BOBBIN_LOG_FORMAT is wrong"),
        ({**_GOOD, "BOBBIN_ASSISTANTS": "/nowhere"}, "BOBBIN_ASSISTANTS: there is no folder"),
        ({**_GOOD, "BOBBIN_DEFAULT_ASSISTANT": "nobody"}, "BOBBIN_DEFAULT_ASSISTANT"),
        ({**_GOOD, "DATABASE_URL": "sqlite:////nowhere/x.db"}, "DATABASE_URL: there is no folder"),
        ({**_GOOD, "SLACK_API_URL": "http://127.0.0.1:1/api/"}, "SLACK_API_URL: "),
        ({**_GOOD, "SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": "  "}, "SLACK_SIGNING_SECRET is wrong"),
        ({**_GOOD, "OPENAI_API_KEY": "   "}, "OPENAI_API_KEY is wrong"),
        ({**_GOOD, "OPENAI_API_KEY": "sk\u2011typographic"}, "OPENAI_API_KEY is wrong"),
        ({**_GOOD, "DATABASE_URL": "postgresql://x/y"}, "DATABASE_URL is wrong: sqlite:///bobbin.db"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(run: Any, settings: dict[str, str], said: str) -> None:
    code, out, err = run("serve", **settings)
    assert code == 2
    assert not out
    assert err.startswith("bobbin: ")
    assert said in err
    assert err.count("\n") == 1
    assert "xapp-1" not in err
    assert "sk-1" not in err


def test_settings_are_read_from_a_file_too(run: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SLACK_BOT_TOKEN=xoxb-1\nSLACK_APP_TOKEN=xapp-1\n")
    code, _, err = run("serve")
    assert code == 2
    assert "OPENAI_API_KEY is missing" in err


@pytest.mark.parametrize("command", ["serve", "playground"])
def test_an_env_file_that_cannot_be_read_is_named(run: Any, tmp_path: Path, command: str) -> None:
    (tmp_path / ".env").write_bytes("# für Slack\n".encode("latin-1"))
    code, _, err = run(command)
    assert code == 2
    assert err.startswith("bobbin: .env cannot be read")
    assert err.count("\n") == 1


def test_a_playground_folder_that_is_none_is_one_line(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("playground", "--port", "0", "--folder", "file")
    assert (code, err) == (2, "bobbin: --folder: file cannot be used (file exists); choose another.\n")


def test_an_invalid_assistant_names_its_line(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.md").write_text("---\nname: A\nmodel: m\ncolour: red\n---\nHi\n")
    code, _, err = run("serve", **_GOOD, BOBBIN_ASSISTANTS="mine")
    assert (code, err) == (2, "bobbin: mine/a.md, line 4: colour: it is no setting (docs/assistants.md has them).\n")


def test_a_database_from_a_newer_version_is_refused_and_left_alone(run: Any, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "bobbin.db")) as database:
        database.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        database.execute("INSERT INTO schema_version VALUES (99)")
        database.commit()
    code, _, err = run("serve", **_GOOD)
    assert code == 2
    assert "newer Bobbin (schema 99" in err


def test_the_version_is_told(run: Any) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("bobbin ")


def test_doctor_ends_with_1_where_something_is_missing(run: Any) -> None:
    code, out, _ = run("doctor")
    assert code == 1
    assert "not ok  settings: SLACK_BOT_TOKEN is missing" in out


@contextlib.asynccontextmanager
async def bobbin(house: House, *words: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real `bobbin` process, connected to the house."""
    environment = {name.upper(): str(value) for name, value in house.settings.items()} | settings
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *words, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_real_process_serves_and_ends_at_sigterm(house: House) -> None:
    house.brain(lambda _: "Fine.")
    async with bobbin(house, "serve", BOBBIN_LOG_FORMAT="json") as process:
        ts = await house.ask("a very private question")
        assert await house.answers(ts, timeout=30) == ["Fine."]
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert b"Bobbin is serving (Socket Mode)" in err
    assert (b"tools-left-out" in err) == (house.settings["bobbin_backend"] == "local")
    assert b"a very private question" not in err
    assert b"xoxb-" not in err
    assert b"sk-local" not in err


async def test_doctor_finds_all_well(house: House) -> None:
    async with bobbin(house, "doctor") as process:
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    lines = out.decode().splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert any("scopes" in line for line in lines)
    assert any("model gpt-6.1-terra" in line for line in lines)
    without = any("math-tutor: without code_interpreter, which BOBBIN_BACKEND=local cannot" in line for line in lines)
    assert without == (house.settings["bobbin_backend"] == "local")


@pytest.mark.parametrize("backend", ["responses"])
async def test_doctor_looks_at_the_port_and_names_what_it_cannot_reach(house: House) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        away = {
            "SLACK_APP_TOKEN": "",
            "SLACK_SIGNING_SECRET": "x",
            "PORT": str(taken.getsockname()[1]),
            "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        }
        async with bobbin(house, "doctor", **away) as process:
            out, _ = await process.communicate()
    assert process.returncode == 1
    wrong = [line for line in out.decode().splitlines() if line.startswith("not ok")]
    assert any(f"port: {away['PORT']} cannot be used" in line for line in wrong)
    assert any("http://127.0.0.1:9/v1/ cannot be reached" in line and "OPENAI_BASE_URL" in line for line in wrong)


@pytest.mark.parametrize("backend", ["responses"])
async def test_a_second_bobbin_on_one_database_is_refused(house: House) -> None:
    async with house.bobbin(), bobbin(house, "serve", BOBBIN_GRACE="0") as process:
        _, err = await process.communicate()
    assert process.returncode == 2
    assert b"another Bobbin answers from" in err


async def test_doctor_names_missing_scopes_a_refused_app_token_and_an_unknown_model(tmp_path: Path) -> None:
    few: dict[str, Any] = {
        "oauth_config": {"scopes": {"bot": ["chat:write"]}},
        "settings": {"event_subscriptions": {"bot_events": []}},
        "features": {},
    }
    server = LocalOpenAI(brain=ScriptedBrain({}), models=["another"])
    async with LocalSlack(manifest=few) as slack, server:
        house = House(slack, server, None, {  # type: ignore[arg-type]  # no brain is asked
            "slack_bot_token": slack.bot_token, "slack_app_token": "xapp-wrong", "slack_api_url": slack.api_url,
            "openai_api_key": "sk-local", "openai_base_url": server.url, "database_url": f"sqlite:///{tmp_path}/b.db",
        })  # fmt: skip
        async with bobbin(house, "doctor") as process:
            out, _ = await process.communicate()
    assert process.returncode == 1
    wrong = [line for line in out.decode().splitlines() if line.startswith("not ok")]
    assert any("missing app_mentions:read" in line for line in wrong)
    assert any("SLACK_APP_TOKEN" in line for line in wrong)
    assert any("does not know the model" in line for line in wrong)


@pytest.mark.parametrize("backend", ["responses"])
async def test_a_refused_token_and_a_port_in_use_are_one_line(house: House) -> None:
    async with bobbin(house, "serve", SLACK_BOT_TOKEN="xoxb-wrong") as process:
        _, err = await process.communicate()
    assert process.returncode == 2
    assert err.startswith(b"bobbin: SLACK_BOT_TOKEN: Slack refused it (invalid_auth)")
    async with bobbin(house, "serve", SLACK_APP_TOKEN="xapp-wrong") as process:
        _, err = await process.communicate()
    assert process.returncode == 2
    assert err.startswith(b"bobbin: SLACK_APP_TOKEN: Slack refused it")
    assert err.count(b"\n") == 1
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        http = {"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": "x", "PORT": str(taken.getsockname()[1])}
        async with bobbin(house, "serve", **http) as process:
            _, err = await process.communicate()
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith(b"bobbin: PORT: ")
