"""Block Kit for Bobbin's own answers: the assistants to pick from, the threads to reset."""

from collections.abc import Sequence
from typing import Any

from bot.engine.ports import Assistant, ThreadKey
from bot.render.limits import SECTION_TEXT
from bot.render.notices import plain

#: Actions; what they act on is in a value, or in the block's id.
CHOOSE, RESET = "choose_assistant", "reset_thread"
#: An option's text, and how many options a select has
#: (https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element).
_OPTION_TEXT, _OPTIONS = 75, 100

Blocks = list[dict[str, Any]]


def section(text: str) -> dict[str, Any]:
    """Bobbin's own mrkdwn; what others wrote in it is made plain."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": plain(text, SECTION_TEXT)}}


def assistant_picker(current: Assistant, assistants: Sequence[Assistant], thread: ThreadKey | None = None) -> Blocks:
    """Who answers, and a select to change it: for `thread`, or for the conversation where it is None."""
    options = [_option(assistant) for assistant in assistants[:_OPTIONS]]
    select: dict[str, Any] = {
        "type": "static_select",
        "action_id": CHOOSE,
        "placeholder": {"type": "plain_text", "text": "Choose an assistant"},
        "options": options,
    }
    if _option(current) in options:
        select["initial_option"] = _option(current)
    where = "in this thread" if thread else "here"
    block: dict[str, Any] = {"type": "actions", "elements": [select]}
    if thread:
        block["block_id"] = f"thread:{thread.ts}"
    return [section(f"*{current.name}* answers {where}. {current.description}".strip()), block]


def thread_picker(threads: Sequence[ThreadKey]) -> Blocks:
    """The threads that remember something, each with its Reset button. Slack shows times as the reader's own
    (https://docs.slack.dev/messaging/formatting-message-text#date-formatting)."""
    rows = [section("You have several threads here. Which one shall I forget?")]
    for thread in threads:
        seconds = thread.ts.partition(".")[0]
        started = f"<!date^{seconds}^Begun {{date_short_pretty}} at {{time}}|Begun at {seconds}>"
        button = {
            "type": "button",
            "action_id": RESET,
            "text": {"type": "plain_text", "text": "Reset"},
            "value": thread.ts,
        }
        rows.append({"type": "section", "text": {"type": "mrkdwn", "text": started}, "accessory": button})
    return rows


def _option(assistant: Assistant) -> dict[str, Any]:
    text = assistant.name if len(assistant.name) <= _OPTION_TEXT else assistant.name[: _OPTION_TEXT - 1] + "…"
    return {"text": {"type": "plain_text", "text": text}, "value": assistant.key}
