"""No secret gets into a log line, whatever it looks like."""

import json
from pathlib import Path

import pytest

from bot.log import configure, redacting
from bot.settings import load_settings
from tests.conftest import House


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("key my-own-key-123 refused", "key … refused"),
        ("Incorrect API key provided: my-own-key-123.", "Incorrect API key provided: …."),
        ("Bearer xoxb-1234-abcd", "Bearer xoxb-…"),
        ("key sk-abcdefgh", "key sk-…"),
        (
            "url='wss://wss-primary.slack.com/link/?ticket=aa-bb&app_id=1'",
            "url='wss://wss-primary.slack.com/link/?ticket=…&app_id=1'",
        ),
        ("token ghp_SECRETSECRET bad", "token ghp_… bad"),
        ("Authorization: Bearer abcdefgh.ijkl=", "Authorization: Bearer …"),
        ("db://admin:hunter2@10.0.0.1/x", "db://admin:…@10.0.0.1/x"),
        ("a word stays", "a word stays"),
        ("http://127.0.0.1:80/a@b stays", "http://127.0.0.1:80/a@b stays"),
    ],
)
def test_secrets_are_taken_out(line: str, shown: str) -> None:
    redact = redacting(["my-own-key-123", "word"])
    assert redact(None, "info", {"event": "x", "cause": line, "number": 3}) == {
        "event": "x",
        "cause": shown,
        "number": 3,
    }


@pytest.mark.parametrize("backend", ["responses"])
async def test_a_servers_words_stay_out_of_the_log(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    words = "Invalid value: 'the secret plan'"
    house.openai.faults.add(method="POST", path="/responses", status=400, code="a code of words", message=words)
    configure("json", "INFO")
    async with house.bobbin():
        await house.answers(await house.ask("the secret plan"))
    log = capsys.readouterr().err
    failed = next(line for line in map(json.loads, log.splitlines()) if line["event"] == "run-failed")
    assert failed["status_code"] == "400"
    assert failed["cause"] == "BadRequestError"
    assert "secret plan" not in log
    assert "a code of words" not in log


def test_what_files_name_as_variables_is_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assistants").mkdir()
    (tmp_path / "assistants" / "a.md").write_text("hosted_mcp: [{authorization: '${WIKI}'}]")
    (tmp_path / "mcp.json").write_text('{"a": "${TRACKER:-x} ${env:DATABASE} ${HOME} ${NOT_SET}"}')
    (tmp_path / ".env").write_text("DATABASE=from-the-file\nUNNAMED=unnamed\n")
    monkeypatch.setenv("WIKI", "wiki-token")
    monkeypatch.setenv("TRACKER", "tracker-token")
    settings = load_settings(bobbin_mcp=tmp_path / "mcp.json", openai_api_key="sk-mine")
    assert settings.secrets() == ("sk-mine", "tracker-token", "from-the-file", "wiki-token")
    assert load_settings(bobbin_mcp=tmp_path / "none.json", bobbin_assistants=tmp_path / "none").secrets() == ()
