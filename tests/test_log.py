"""No secret gets into a log line, whatever it looks like."""

import pytest

from bot.log import redacting


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
