"""What Slack checks of blocks (https://docs.slack.dev/reference/block-kit/blocks)."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from bot.playground.slack import limits
from bot.playground.slack.errors import SlackError, invalid

Json = dict[str, Any]

_SELECTS = frozenset({"static_select", "multi_static_select", "overflow", "radio_buttons", "checkboxes"})


def check_blocks(blocks: Any, most: int = limits.BLOCKS) -> None:
    """Raises SlackError("invalid_blocks" or one of the size errors) for blocks that Slack would refuse.

    `most` is how many there may be.
    """
    if not isinstance(blocks, list):
        raise _invalid("blocks must be a list")
    if len(blocks) > most:
        raise SlackError("msg_blocks_too_many")
    for number, block in enumerate(blocks):
        _check_block(block, f"/blocks/{number}")
    _check_unique([block["block_id"] for block in blocks if block.get("block_id")], "block_id", "/blocks")
    if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > limits.MARKDOWN:
        raise SlackError("msg_blocks_too_long")


def elements_of(blocks: list[Json]) -> list[tuple[Json, Json]]:
    """Every element of some blocks that can be used, with its block."""
    return [
        (block, element)
        for block in blocks
        for element in (*block.get("elements", ()), block.get("accessory"), block.get("element"))
        if isinstance(element, dict)
    ]


def _check_block(block: Any, where: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str) or kind not in limits.BLOCK_TYPES:
        raise _invalid(f"unsupported type: {kind} [json-pointer:{where}/type]")
    _check_string(block, "block_id", where)
    check = _CHECKS.get(kind)
    if check:
        check(block, where)


def _section(block: Json, where: str) -> None:
    text, fields = block.get("text"), block.get("fields")
    if not text and not fields:
        raise _invalid(f"missing required field: text [json-pointer:{where}]")
    if text:
        check_text(text, limits.SECTION_TEXT, f"{where}/text")
    if fields:
        for number, each in enumerate(_list(fields, limits.SECTION_FIELDS, f"{where}/fields")):
            check_text(each, limits.FIELD_TEXT, f"{where}/fields/{number}")
    if "accessory" in block:
        _element(block["accessory"], f"{where}/accessory")


def _markdown(block: Json, where: str) -> None:
    if not isinstance(block.get("text"), str) or not block["text"]:
        raise _invalid(f"missing required field: text [json-pointer:{where}]")


def _header(block: Json, where: str) -> None:
    check_text(block.get("text"), limits.HEADER_TEXT, f"{where}/text", plain=True)


def _actions(block: Json, where: str) -> None:
    most = limits.CONTEXT_ACTION_ELEMENTS if block["type"] == "context_actions" else limits.ACTION_ELEMENTS
    elements = _list(block.get("elements"), most, f"{where}/elements")
    for number, element in enumerate(elements):
        _element(element, f"{where}/elements/{number}")
    _check_unique([element["action_id"] for element in elements if "action_id" in element], "action_id", where)


def _context(block: Json, where: str) -> None:
    for number, element in enumerate(_list(block.get("elements"), limits.CONTEXT_ELEMENTS, f"{where}/elements")):
        if isinstance(element, dict) and element.get("type") == "image":
            _image(element, f"{where}/elements/{number}")
        else:
            check_text(element, limits.SECTION_TEXT, f"{where}/elements/{number}")


def _image(block: Json, where: str) -> None:
    _check_string(block, "image_url", where, limits.IMAGE_URL)
    url = block.get("image_url", "")
    if bool(url) == ("slack_file" in block):
        raise _invalid(f"give either image_url or slack_file [json-pointer:{where}]")
    if url and not _is_web_address(url):
        raise _invalid(f"invalid image_url [json-pointer:{where}/image_url]")
    if not 1 <= len(str(block.get("alt_text", ""))) <= limits.ALT_TEXT:
        raise _invalid(f"missing or too long: alt_text [json-pointer:{where}/alt_text]")


def _input(block: Json, where: str) -> None:
    check_text(block.get("label"), limits.FIELD_TEXT, f"{where}/label", plain=True)
    _element(block.get("element"), f"{where}/element")


def _task_card(block: Json, where: str) -> None:
    if not block.get("task_id") or not isinstance(block.get("title"), str) or not block["title"]:
        raise _invalid(f"task_id and a title of plain text are required [json-pointer:{where}]")
    if str(block.get("status")) not in limits.TASK_STATUSES:
        raise _invalid(f"unsupported status [json-pointer:{where}/status]")


def _element(element: Any, where: str) -> None:
    kind = element.get("type") if isinstance(element, dict) else None
    if not isinstance(kind, str) or kind not in limits.ELEMENT_TYPES:
        raise _invalid(f"unsupported element: {kind} [json-pointer:{where}/type]")
    _check_string(element, "action_id", where)
    if kind == "button":
        check_text(element.get("text"), limits.BUTTON_TEXT, f"{where}/text", plain=True)
        _check_string(element, "value", where, limits.BUTTON_VALUE)
    elif kind in _SELECTS and "option_groups" not in element:
        _options(element, where)


def _options(element: Json, where: str) -> None:
    options = _list(element.get("options"), limits.OPTIONS, f"{where}/options")
    check_options(options, f"{where}/options")
    if "initial_option" in element and element["initial_option"] not in options:
        raise _invalid(f"initial_option is not among the options [json-pointer:{where}/initial_option]")


def check_options(options: list[Any], where: str) -> None:
    """Raises SlackError for options that Slack would refuse."""
    for number, option in enumerate(options):
        if not isinstance(option, dict):
            raise _invalid(f"must be an option [json-pointer:{where}/{number}]")
        check_text(option.get("text"), limits.OPTION_TEXT, f"{where}/{number}/text")
        if not 1 <= len(str(option.get("value", ""))) <= limits.OPTION_VALUE:
            raise _invalid(f"value of 1 to {limits.OPTION_VALUE} [json-pointer:{where}/{number}/value]")


def check_text(text: Any, limit: int, where: str, *, plain: bool = False) -> None:
    """Raises SlackError for what is no text object, or too long; `plain` refuses mrkdwn."""
    kinds = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    if not isinstance(text, dict) or text.get("type") not in kinds:
        raise _invalid(f"must be a text object of {' or '.join(kinds)} [json-pointer:{where}]")
    if not 1 <= len(str(text.get("text", ""))) <= limit:
        raise _invalid(f"must be 1 to {limit} characters [json-pointer:{where}/text]")


def _list(value: Any, most: int, where: str) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise _invalid(f"must be a list of 1 to {most} [json-pointer:{where}]")
    return value


def _check_string(part: Json, name: str, where: str, most: int = limits.ID) -> None:
    if not isinstance(part.get(name, ""), str) or len(part.get(name, "")) > most:
        raise _invalid(f"{name} must be text of at most {most} characters [json-pointer:{where}/{name}]")


def _check_unique(ids: list[str], name: str, where: str) -> None:
    if len(set(ids)) < len(ids):
        raise _invalid(f"{name} is used twice [json-pointer:{where}]")


def _is_web_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _invalid(message: str) -> SlackError:
    return invalid(message, code="invalid_blocks")


_CHECKS: dict[str, Callable[[Json, str], None]] = {
    "actions": _actions,
    "context": _context,
    "context_actions": _actions,
    "header": _header,
    "image": _image,
    "input": _input,
    "markdown": _markdown,
    "section": _section,
    "task_card": _task_card,
}
