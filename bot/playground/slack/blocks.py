"""What Slack checks of blocks (https://docs.slack.dev/reference/block-kit/blocks)."""

from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.errors import SlackError

Json = dict[str, Any]


def check_blocks(blocks: Any) -> None:
    """Raises SlackError("invalid_blocks" or one of the size errors) for blocks that Slack would refuse."""
    if not isinstance(blocks, list):
        raise _invalid("blocks must be a list")
    if len(blocks) > limits.BLOCKS:
        raise SlackError("msg_blocks_too_many")
    for number, block in enumerate(blocks):
        _check_block(block, f"/blocks/{number}")
    if sum(len(block.get("text", "")) for block in blocks if block["type"] == "markdown") > limits.MARKDOWN:
        raise SlackError("msg_blocks_too_long")


def _check_block(block: Any, where: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in limits.BLOCK_TYPES:
        raise _invalid(f"unsupported type: {kind} [json-pointer:{where}/type]")
    if len(str(block.get("block_id", ""))) > 255:
        raise _invalid(f"block_id too long [json-pointer:{where}]")
    check = _CHECKS.get(kind)
    if check:
        check(block, where)


def _section(block: Json, where: str) -> None:
    text, fields = block.get("text"), block.get("fields")
    if not text and not fields:
        raise _invalid(f"missing required field: text [json-pointer:{where}]")
    if text:
        _text(text, limits.SECTION_TEXT, f"{where}/text")
    if "accessory" in block:
        _element(block["accessory"], f"{where}/accessory")


def _markdown(block: Json, where: str) -> None:
    if not isinstance(block.get("text"), str) or not block["text"]:
        raise _invalid(f"missing required field: text [json-pointer:{where}]")


def _header(block: Json, where: str) -> None:
    _text(block.get("text"), limits.HEADER_TEXT, f"{where}/text", plain=True)


def _actions(block: Json, where: str) -> None:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= limits.ACTION_ELEMENTS:
        raise _invalid(f"elements must be 1 to {limits.ACTION_ELEMENTS} [json-pointer:{where}/elements]")
    for number, element in enumerate(elements):
        _element(element, f"{where}/elements/{number}")


def _context(block: Json, where: str) -> None:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= limits.CONTEXT_ELEMENTS:
        raise _invalid(f"elements must be 1 to {limits.CONTEXT_ELEMENTS} [json-pointer:{where}/elements]")
    for number, element in enumerate(elements):
        if element.get("type") != "image":
            _text(element, limits.SECTION_TEXT, f"{where}/elements/{number}")


def _element(element: Any, where: str) -> None:
    kind = element.get("type") if isinstance(element, dict) else None
    if kind == "button":
        _text(element.get("text"), limits.BUTTON_TEXT, f"{where}/text", plain=True)
        if len(element.get("value", "")) > limits.BUTTON_VALUE:
            raise _invalid(f"value too long [json-pointer:{where}/value]")
    elif kind in ("static_select", "overflow", "radio_buttons", "checkboxes"):
        _options(element, where)
    elif kind not in ("external_select", "users_select", "channels_select", "datepicker", "feedback_buttons", "image",
                      "icon_button", "plain_text_input"):  # fmt: skip
        raise _invalid(f"unsupported element: {kind} [json-pointer:{where}/type]")


def _options(element: Json, where: str) -> None:
    options = element.get("options")
    if not isinstance(options, list) or not 1 <= len(options) <= limits.OPTIONS:
        raise _invalid(f"options must be 1 to {limits.OPTIONS} [json-pointer:{where}/options]")
    for number, option in enumerate(options):
        _text(option.get("text"), limits.OPTION_TEXT, f"{where}/options/{number}/text")
        if not 1 <= len(str(option.get("value", ""))) <= limits.OPTION_VALUE:
            raise _invalid(f"value of 1 to {limits.OPTION_VALUE} [json-pointer:{where}/options/{number}/value]")
    if "initial_option" in element and element["initial_option"] not in options:
        raise _invalid(f"initial_option is not among the options [json-pointer:{where}/initial_option]")


def _text(text: Any, limit: int, where: str, *, plain: bool = False) -> None:
    kinds = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    if not isinstance(text, dict) or text.get("type") not in kinds:
        raise _invalid(f"must be a text object of {' or '.join(kinds)} [json-pointer:{where}]")
    if not 1 <= len(str(text.get("text", ""))) <= limit:
        raise _invalid(f"must be 1 to {limit} characters [json-pointer:{where}/text]")


def _invalid(message: str) -> SlackError:
    return SlackError("invalid_blocks", response_metadata={"messages": [f"[ERROR] {message}"]})


_CHECKS = {
    "section": _section,
    "markdown": _markdown,
    "header": _header,
    "actions": _actions,
    "context": _context,
}
