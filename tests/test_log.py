"""No secret gets into a log line, whatever it looks like."""

import pytest

from bot.log import redacting
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
        ("a word stays", "a word stays"),
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
    async with house.bobbin():
        await house.answers(await house.ask("the secret plan"))
    logged = [line for line in capsys.readouterr().out.splitlines() if "[debug" not in line]
    failed = [line for line in logged if "run-failed" in line]
    assert "status_code=400" in failed[0]
    assert "BadRequestError" in failed[0]
    assert not any("secret plan" in line or "a code of words" in line for line in logged)
