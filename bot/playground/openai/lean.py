"""What small servers refuse of the Responses API, and OpenAI takes: all that Ollama, vLLM, llama.cpp and LM Studio
refuse together.

llama.cpp, tools/server/server-chat.cpp (https://github.com/ggml-org/llama.cpp/issues/26394); LM Studio, `tool_choice`
(https://github.com/alibaba/page-agent/issues/367); vLLM checks input as the SDK's types; Ollama's parameters
(https://docs.ollama.com/api/openai-compatibility).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.playground.openai.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.playground.openai.records import Json

_SHARED = frozenset(
    {
        "input", "instructions", "max_output_tokens", "model", "store", "stream", "temperature", "tool_choice",
        "tools", "top_p",
    }
)  # fmt: skip
_CALLS = ("function_call", "function_call_output")
_TURNS = "Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/..."
_SIGHT = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lean:
    """A small server, and the model behind it."""

    sees: bool = True
    """False: the model has no eyes."""
    turns: bool = False
    """The model's chat template refuses two messages of one side in a row."""
    status: int = 500
    """What it answers for its model's sake: llama.cpp 500, vLLM 400."""

    def check(self, body: Json) -> None:
        """Refuses what such a server would."""
        for name in body:
            if name not in _SHARED:
                raise bad_request(f"Unsupported parameter: '{name}'.", "unsupported_parameter", name)
        if isinstance(body.get("tool_choice"), dict):
            raise bad_request(
                "Invalid tool_choice type: 'object'. Supported string values: none, auto, required",
                param="tool_choice",
            )
        for tool in body.get("tools") or ():
            if tool["type"] != "function" or "strict" not in tool:
                raise bad_request("'type' of tool must be 'function', and it must say 'strict'", param="tools")
        items = body.get("input")
        if isinstance(items, list):
            for item in items:
                _check_item(item)
            self._check_model(items)

    def _check_model(self, items: list[Json]) -> None:
        if not self.sees and any(part.get("type") == "input_image" for item in items for part in _parts(item)):
            raise ApiError(self.status, _SIGHT, kind="server_error")
        # Calls and what they came to do not count, but stand between two messages.
        sides = [item["role"] for item in items if "role" in item]
        expected = ["user", "assistant"] * (len(sides) // 2 + 1)
        if self.turns and sides != expected[: len(sides)]:
            raise ApiError(self.status, _TURNS, kind="server_error")


def _check_item(item: Json) -> None:
    if item.get("role") == "assistant":
        whole = item.get("type") == "message" and isinstance(item["content"], list) and item.keys() >= {"id", "status"}
        if not whole:
            raise bad_request("Cannot determine type of 'item'")
        if any(part["type"] != "output_text" or "annotations" not in part for part in _parts(item)):
            raise bad_request("'type' must be 'output_text'")
    elif item.get("role"):
        if any(part["type"] not in ("input_text", "input_image") for part in _parts(item)):
            raise bad_request("'type' must be one of 'input_text', 'input_image', or 'input_file'")
    elif item.get("type") not in _CALLS:
        raise bad_request("Cannot determine type of 'item'")


def _parts(item: Json) -> Iterator[Json]:
    content = item.get("content")
    return iter(content if isinstance(content, list) else ())
