"""What the requests may hold, endpoint by endpoint: https://developers.openai.com/api/reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.playground.openai import limits
from bot.playground.openai.errors import bad_request
from bot.playground.openai.parameters import (
    anything,
    array,
    attributes,
    boolean,
    either,
    integer,
    mapping,
    metadata,
    nullable,
    number,
    one_of,
    shape,
    tagged,
    text,
)
from bot.playground.openai.tool_schemas import (
    ASSISTANT_TOOL,
    MEMORY_LIMIT,
    NETWORK_POLICY,
    RESPONSE_TOOL,
    RESPONSE_TOOL_CHOICE,
)

if TYPE_CHECKING:
    from bot.playground.openai.parameters import Check

EFFORT = one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")
RESPONSE_FORMAT = either(one_of("auto"), mapping)

# --- Assistants, threads, messages -----------------------------------------------------------------------------------

TOOLS = array(ASSISTANT_TOOL, limits.TOOLS)
_CHUNKING = tagged(
    {
        "auto": shape({"type": text()}),
        "static": shape(
            {
                "type": text(),
                "static": shape(
                    {"max_chunk_size_tokens": integer(100, 4096), "chunk_overlap_tokens": integer(0, 2048)}
                ),
            }
        ),
    }
)
TOOL_RESOURCES = shape(
    optional={
        "code_interpreter": shape(optional={"file_ids": array(text(), limits.CODE_INTERPRETER_FILES)}),
        "file_search": shape(
            optional={
                "vector_store_ids": array(text(), limits.VECTOR_STORES),
                "vector_stores": array(
                    shape(
                        optional={
                            "file_ids": array(text(), limits.VECTOR_STORE_FILES),
                            "chunking_strategy": _CHUNKING,
                            "metadata": metadata,
                        }
                    ),
                    limits.VECTOR_STORES,
                ),
            }
        ),
    }
)

_ASSISTANT = {
    "name": text(limits.ASSISTANT_NAME),
    "description": text(limits.ASSISTANT_DESCRIPTION),
    "instructions": text(limits.INSTRUCTIONS),
    "tools": TOOLS,
    "tool_resources": TOOL_RESOURCES,
    "metadata": metadata,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "reasoning_effort": EFFORT,
    "response_format": RESPONSE_FORMAT,
}
ASSISTANT_CREATE = shape({"model": text()}, _ASSISTANT)
ASSISTANT_UPDATE = shape(optional={"model": text(), **_ASSISTANT})

_ATTACHMENT_TOOL = tagged(dict.fromkeys(("code_interpreter", "file_search"), shape({"type": text()})))
ATTACHMENTS = array(shape({"file_id": text()}, {"tools": array(_ATTACHMENT_TOOL)}))
IMAGE_DETAIL = one_of("auto", "low", "high")
MESSAGE_BLOCK = tagged(
    {
        "text": shape({"type": text(), "text": text(limits.MESSAGE_CONTENT)}),
        "image_file": shape({"type": text(), "image_file": shape({"file_id": text()}, {"detail": IMAGE_DETAIL})}),
        "image_url": shape({"type": text(), "image_url": shape({"url": text()}, {"detail": IMAGE_DETAIL})}),
    }
)
MESSAGE = shape(
    {
        "role": one_of("user", "assistant"),
        "content": either(text(limits.MESSAGE_CONTENT), array(MESSAGE_BLOCK, minimum=1)),
    },
    {"attachments": ATTACHMENTS, "metadata": metadata},
)
MESSAGE_UPDATE = shape(optional={"metadata": metadata})
THREAD_CREATE = shape(
    optional={
        "messages": array(MESSAGE, limits.INITIAL_MESSAGES),
        "metadata": metadata,
        "tool_resources": TOOL_RESOURCES,
    }
)
THREAD_UPDATE = shape(optional={"metadata": metadata, "tool_resources": TOOL_RESOURCES})

# --- Runs ------------------------------------------------------------------------------------------------------------

_RUN = {
    "model": text(),
    "instructions": text(limits.INSTRUCTIONS),
    "tools": TOOLS,
    "metadata": metadata,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "stream": boolean,
    "max_prompt_tokens": integer(256),
    "max_completion_tokens": integer(1),
    "truncation_strategy": shape({"type": one_of("auto", "last_messages")}, {"last_messages": integer(1)}),
    "tool_choice": either(one_of("none", "auto", "required"), mapping),
    "parallel_tool_calls": boolean,
    "response_format": RESPONSE_FORMAT,
}
RUN_CREATE = shape(
    {"assistant_id": text()},
    {
        **_RUN,
        "additional_instructions": text(limits.INSTRUCTIONS),
        "additional_messages": array(MESSAGE),
        "reasoning_effort": EFFORT,
    },
)
THREAD_AND_RUN = shape({"assistant_id": text()}, {**_RUN, "thread": THREAD_CREATE, "tool_resources": TOOL_RESOURCES})
RUN_UPDATE = shape(optional={"metadata": metadata})
TOOL_OUTPUTS = shape(
    {"tool_outputs": array(shape({"tool_call_id": text()}, {"output": text()}), minimum=1)},
    {"stream": boolean},
)

INCLUDABLE = one_of(
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
"""What `include` may hold: reference, "Create a model response"."""

# --- Vector stores ---------------------------------------------------------------------------------------------------

_EXPIRES = shape({"anchor": one_of("last_active_at"), "days": integer(1, 365)})
VECTOR_STORE_CREATE = shape(
    optional={
        "name": text(),
        "description": text(),
        "file_ids": array(text(), limits.VECTOR_STORE_FILES),
        "chunking_strategy": _CHUNKING,
        "expires_after": _EXPIRES,
        "metadata": metadata,
    }
)
VECTOR_STORE_UPDATE = shape(optional={"name": text(), "expires_after": _EXPIRES, "metadata": metadata})
_FILE_FIELDS = {"attributes": attributes, "chunking_strategy": _CHUNKING}
VECTOR_STORE_FILE_CREATE = shape({"file_id": text()}, _FILE_FIELDS)
VECTOR_STORE_FILE_UPDATE = shape({"attributes": nullable(attributes)})
FILE_BATCH_CREATE = shape(
    optional={
        "file_ids": array(text(), limits.BATCH_FILES, minimum=1),
        "files": array(shape({"file_id": text()}, _FILE_FIELDS), limits.BATCH_FILES, minimum=1),
        **_FILE_FIELDS,
    }
)

# --- Conversations and responses -------------------------------------------------------------------------------------

INPUT_PART = tagged(
    {
        "input_text": shape({"type": text(), "text": text(limits.INPUT_TEXT)}, {"prompt_cache_breakpoint": anything}),
        "input_image": shape(
            {"type": text()},
            {
                "image_url": text(),
                "file_id": text(),
                "detail": one_of("low", "high", "auto", "original"),
                "prompt_cache_breakpoint": anything,
            },
        ),
        "input_file": shape(
            {"type": text()},
            {
                "file_id": text(),
                "file_url": text(),
                "file_data": text(),
                "filename": text(),
                "detail": text(),
                "prompt_cache_breakpoint": anything,
            },
        ),
        "output_text": shape(
            {"type": text(), "text": text(limits.INPUT_TEXT)},
            {"annotations": array(mapping), "logprobs": array(mapping)},
        ),
        "refusal": shape({"type": text(), "refusal": text()}),
    }
)
_OUTPUT = either(text(limits.INPUT_TEXT), array(INPUT_PART))


def _id(prefix: str) -> Check:
    def check(value: Any, path: str) -> None:
        text()(value, path)
        if not value.startswith(prefix):
            message = f"Invalid '{path}': '{value}'. Expected an ID that begins with '{prefix}'."
            raise bad_request(message, code="invalid_value", param=path)

    return check


_STATUS = {"status": text()}

_OPAQUE_ITEMS = (
    "additional_tools", "apply_patch_call", "apply_patch_call_output", "compaction", "compaction_trigger",
    "computer_call", "computer_call_output", "configuration_update", "custom_tool_call", "custom_tool_call_output",
    "local_shell_call", "local_shell_call_output", "program", "program_output", "shell_call", "shell_call_output",
    "tool_search_call", "tool_search_output",
)  # fmt: skip
"""Items that no brain of ours makes: their fields are not looked at."""

ITEM = tagged(
    {
        "message": shape(
            {
                "role": one_of("user", "assistant", "system", "developer"),
                "content": either(text(limits.INPUT_TEXT), array(INPUT_PART, minimum=1)),
            },
            {"type": text(), "phase": one_of("commentary", "final_answer"), "id": _id("msg"), **_STATUS},
        ),
        "function_call": shape(
            {"type": text(), "call_id": text(64, 1), "name": text(128, 1), "arguments": text()},
            {"namespace": text(), "caller": mapping, "async": boolean, "id": _id("fc"), **_STATUS},
        ),
        "function_call_output": shape(
            {"type": text(), "call_id": text(64, 1), "output": _OUTPUT}, {"caller": mapping, "id": _id("fc"), **_STATUS}
        ),
        "reasoning": shape(
            {"type": text(), "summary": array(mapping)},
            {"content": array(mapping), "encrypted_content": text(), "id": _id("rs"), **_STATUS},
        ),
        "code_interpreter_call": shape(
            {"type": text(), "id": _id("ci"), "container_id": text()},
            {"code": text(), "outputs": array(mapping), "status": text()},
        ),
        "file_search_call": shape(
            {"type": text(), "id": _id("fs"), "queries": array(text()), "status": text()}, {"results": array(mapping)}
        ),
        "web_search_call": shape({"type": text(), "id": _id("ws"), "status": text(), "action": mapping}),
        "image_generation_call": shape(
            {"type": text(), "id": _id("ig"), "status": text()},
            {
                "result": text(),
                **dict.fromkeys(("action", "background", "output_format", "quality", "revised_prompt", "size"), text()),
            },
        ),
        "mcp_list_tools": shape(
            {"type": text(), "id": _id("mcpl"), "server_label": text(), "tools": array(mapping)}, {"error": text()}
        ),
        "mcp_approval_request": shape(
            {"type": text(), "id": _id("mcpr"), "server_label": text(), "name": text(), "arguments": text()}
        ),
        "mcp_call": shape(
            {"type": text(), "id": _id("mcp"), "server_label": text(), "name": text(), "arguments": text()},
            {"approval_request_id": text(), "error": mapping, "output": text(), **_STATUS},
        ),
        "mcp_approval_response": shape(
            {"type": text(), "approval_request_id": text(), "approve": boolean},
            {"reason": text(), "id": text()},
        ),
        "item_reference": shape({"type": text(), "id": text()}),
        **dict.fromkeys(_OPAQUE_ITEMS, mapping),
    },
    default="message",
)
ITEMS = array(ITEM, limits.ITEMS_PER_CALL)
CONVERSATION_CREATE = shape(optional={"items": ITEMS, "metadata": metadata})
CONVERSATION_UPDATE = shape({"metadata": metadata})
ITEMS_CREATE = shape({"items": array(ITEM, limits.ITEMS_PER_CALL, minimum=1)}, {"include": array(INCLUDABLE)})

CONTAINER_CREATE = shape(
    {"name": text()},
    {
        "expires_after": shape({"anchor": one_of("last_active_at"), "minutes": integer(1)}),
        "file_ids": array(text(), limits.CONTAINER_FILES),
        "memory_limit": MEMORY_LIMIT,
        "network_policy": NETWORK_POLICY,
    },
)

RESPONSE_CREATE = shape(
    {"model": text()},
    {
        "input": either(text(limits.INPUT_TEXT, 1), array(ITEM)),
        "conversation": either(text(), shape({"id": text()})),
        "previous_response_id": text(),
        "instructions": text(),
        "tools": array(RESPONSE_TOOL, limits.TOOLS),
        "tool_choice": RESPONSE_TOOL_CHOICE,
        "stream": boolean,
        "stream_options": shape(optional={"include_obfuscation": boolean}),
        "store": boolean,
        "background": boolean,
        "background_options": mapping,
        "metadata": metadata,
        "temperature": number(0, 2),
        "top_p": number(0, 1),
        "top_logprobs": integer(0, 20),
        "max_output_tokens": integer(limits.MINIMUM_OUTPUT_TOKENS),
        "max_tool_calls": integer(1),
        "truncation": one_of("auto", "disabled"),
        "reasoning": shape(
            optional={
                "effort": EFFORT,
                "summary": one_of("auto", "concise", "detailed"),
                "context": one_of("auto", "current_turn", "all_turns"),
                "mode": one_of("standard", "pro"),
            }
        ),
        "text": shape(optional={"format": mapping, "verbosity": one_of("low", "medium", "high")}),
        "include": array(INCLUDABLE),
        "parallel_tool_calls": boolean,
        "safety_identifier": text(limits.SAFETY_IDENTIFIER),
        "prompt_cache_key": text(),
        "prompt_cache_options": mapping,
        "prompt_cache_retention": one_of("in_memory", "24h"),
        "service_tier": one_of("auto", "default", "flex", "scale", "priority", "fast", "ultrafast"),
        "context_management": array(mapping),
        "moderation": mapping,
        "access_programs": mapping,
        "image": mapping,
        "user": text(),
    },
)

# --- Moderations -----------------------------------------------------------------------------------------------------

_JUDGED_PART = tagged(
    {
        "text": shape({"type": text(), "text": text()}),
        "image_url": shape({"type": text(), "image_url": shape({"url": text()})}),
    }
)


def _judged(value: Any, path: str) -> None:
    """Several strings, or the parts of one input."""
    parts = isinstance(value, list) and value and isinstance(value[0], dict)
    array(_JUDGED_PART if parts else text(), minimum=1)(value, path)


MODERATION = shape(
    {"input": either(text(), _judged)},
    {"model": one_of("omni-moderation-latest", "omni-moderation-2024-09-26")},
)
