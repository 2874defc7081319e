"""Tools that OpenAI hosts, through the real openai package: web search, images, thoughts, MCP servers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from bot.playground.openai import (
    GeneratedImage,
    McpCall,
    McpTools,
    Piece,
    Question,
    Reasoning,
    ScriptedBrain,
    UrlCitation,
    WebSearch,
)
from tests.playground.openai_client import MODEL, Pair, citations, loose, refused, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai.types.responses import Response

WEB: Any = {"type": "web_search", "search_context_size": "low"}
IMAGES: Any = {"type": "image_generation", "size": "1536x1024"}
WIKI: Any = {"type": "mcp", "server_label": "wiki", "server_url": "https://wiki.example/mcp"}
PNG = b"\x89PNG\r\n\x1a\n picture"


def saying(*pieces: Piece) -> ScriptedBrain:
    async def answer(_: Question) -> AsyncIterator[Piece]:
        for piece in pieces:
            yield piece

    return ScriptedBrain(answer)


async def streamed(pair: Pair, **fields: Any) -> tuple[list[str], Response]:
    """The kinds of the events between the first two and the last, and the response."""
    async with pair.client.responses.stream(model=MODEL, input="x", **fields) as stream:
        kinds = [event.type.removeprefix("response.") async for event in stream]
        return kinds[2:-1], await stream.get_final_response()


async def test_web_search_and_its_citation() -> None:
    brain = saying(
        WebSearch("weather", ("https://a.example/", "https://b.example/")),
        "It rains ",
        UrlCitation("https://a.example/", "A"),
        ".",
    )
    async with running(brain=brain) as pair:
        kinds, response = await streamed(pair, tools=[WEB])
        include: Any = ["web_search_call.action.sources"]
        asked = await pair.client.responses.create(model=MODEL, input="x", tools=[WEB], include=include)
    assert kinds[:5] == [
        "output_item.added",
        *(f"web_search_call.{each}" for each in ("in_progress", "searching", "completed")),
        "output_item.done",
    ]
    search = loose(response.output[0])
    assert (search.type, search.action.query, search.action.sources) == ("web_search_call", "weather", None)
    assert [each.url for each in loose(asked.output[0]).action.sources] == ["https://a.example/", "https://b.example/"]
    assert response.output_text == "It rains ([A](https://a.example/))."
    (citation,) = citations(response)
    assert (citation.type, citation.url, citation.title) == ("url_citation", "https://a.example/", "A")
    assert response.output_text[citation.start_index : citation.end_index] == "([A](https://a.example/))"


async def test_generated_image_comes_whole() -> None:
    async with running(brain=saying(GeneratedImage(PNG, "a cat"))) as pair:
        kinds, response = await streamed(pair, tools=[IMAGES])
    states = [f"image_generation_call.{each}" for each in ("in_progress", "generating", "completed")]
    assert kinds == ["output_item.added", *states, "output_item.done"]
    image = loose(response.output[0])
    assert base64.b64decode(image.result) == PNG
    assert (image.status, image.revised_prompt, image.size) == ("completed", "a cat", "1536x1024")


async def test_tool_that_was_not_offered_fails_the_response() -> None:
    for piece in (WebSearch("x"), GeneratedImage(PNG), McpTools("wiki"), McpCall("wiki", "read", "{}")):
        async with running(brain=saying(piece)) as pair:
            response = await pair.client.responses.create(model=MODEL, input="x")
        assert response.status == "failed"


async def test_thoughts_are_summed_up_for_who_asks() -> None:
    async with running(brain=saying(Reasoning(("First this.", "Then that.")), "Done.")) as pair:
        kinds, response = await streamed(pair, reasoning={"summary": "auto"})
        silent = await pair.client.responses.create(model=MODEL, input="x")
        async with refused(400, code="invalid_value", param="reasoning.summary"):
            await pair.client.responses.create(model=MODEL, input="x", reasoning=loose({"summary": "long"}))
    part = ["reasoning_summary_part.added", *["reasoning_summary_text.delta"] * 2]
    part += ["reasoning_summary_text.done", "reasoning_summary_part.done"]
    assert kinds[:12] == ["output_item.added", *part, *part, "output_item.done"]
    thought = loose(response.output[0])
    assert [each.text for each in thought.summary] == ["First this.", "Then that."]
    assert loose(silent.output[0]).summary == []
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0


async def test_thought_that_was_not_stored_is_sent_along_encrypted() -> None:
    async with running(brain=saying(Reasoning(), "Done.")) as pair:
        create = pair.client.responses.create
        first = await create(model=MODEL, input="x", store=False)
        history: Any = [item.to_dict() for item in first.output]
        await create(model=MODEL, input=history, store=False)
        del history[0]["encrypted_content"]
        async with refused(404, param="input", sentence=f"Item with id '{history[0]['id']}' not found."):
            await create(model=MODEL, input=history, store=False)


async def test_thoughts_do_not_show_in_a_run_and_other_tools_fail_it() -> None:
    async with running(brain=saying(Reasoning(("Hm.",)), "Done.")) as pair:
        assistant, thread = await pair.assistant_and_thread()
        await pair.client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
        assert [message.text for message in pair.server.messages(thread)] == ["ping", "Done."]
    async with running(brain=saying(WebSearch("x"))) as pair:
        assistant, thread = await pair.assistant_and_thread()
        run = await pair.client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
        assert run.status == "failed"


@pytest.mark.parametrize("kind", ["web_search", "image_generation", "mcp"])
async def test_assistants_have_no_such_tool(kind: str) -> None:
    async with running() as pair:
        assistant, thread = await pair.assistant_and_thread()
        tools: Any = [{"type": kind}]
        async with refused(400, code="invalid_value", param="tools[0].type"):
            await pair.client.beta.assistants.create(model=MODEL, tools=tools)
        async with refused(400, code="invalid_value", param="tools[0].type"):
            await pair.client.beta.threads.runs.create(thread, assistant_id=assistant, tools=tools)


READ = McpCall("wiki", "read", '{"page": "Bobbin"}', "A spool.")


async def _reader(question: Question) -> AsyncIterator[Piece]:
    if question.last == "denied":
        yield "Then not."
    elif question.last == "never mind":
        yield "As you like."
    else:
        yield McpTools("wiki", (("read", "Reads a page."),))
        yield READ
        yield "It is a spool."


async def test_call_without_approval_is_made_at_once() -> None:
    async with running(brain=ScriptedBrain(_reader)) as pair:
        kinds, response = await streamed(pair, tools=[{**WIKI, "require_approval": "never"}])
    assert kinds[:10] == [
        "output_item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "output_item.done",
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]
    listed, call, _ = loose(response.output)
    assert [(tool.name, tool.description) for tool in listed.tools] == [("read", "Reads a page.")]
    assert (call.name, call.arguments, call.output, call.error) == ("read", READ.arguments, "A spool.", None)
    assert response.output_text == "It is a spool."


async def test_call_waits_for_its_approval() -> None:
    async with running(brain=ScriptedBrain(_reader)) as pair:
        conversation = await pair.client.conversations.create()
        create = pair.client.responses.create
        first = await create(model=MODEL, input="x", conversation=conversation.id, tools=[WIKI])
        request = loose(first.output[-1])
        assert (request.type, request.name, request.arguments) == ("mcp_approval_request", "read", READ.arguments)
        assert first.output_text == ""
        answer: Any = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
        second = await create(model=MODEL, input=[answer], conversation=conversation.id, tools=[WIKI])
        call = next(loose(item) for item in second.output if item.type == "mcp_call")
        assert (call.approval_request_id, call.output) == (request.id, "A spool.")
        third = await create(model=MODEL, input="again", conversation=conversation.id, tools=[WIKI])
        assert third.output[-1].type == "mcp_approval_request", "an approval is good for one call"


async def test_denied_call_is_not_made() -> None:
    async with running(brain=ScriptedBrain(_reader)) as pair:
        create = pair.client.responses.create
        first = await create(model=MODEL, input="x", tools=[WIKI])
        answer: Any = {"type": "mcp_approval_response", "approval_request_id": first.output[-1].id, "approve": False}
        second = await create(model=MODEL, input=[answer], previous_response_id=first.id, tools=[WIKI])
    assert second.output_text == "Then not."


async def test_conversation_goes_on_without_an_answer_to_a_request() -> None:
    async with running(brain=ScriptedBrain(_reader)) as pair:
        conversation = await pair.client.conversations.create()
        create = pair.client.responses.create
        await create(model=MODEL, input="x", conversation=conversation.id, tools=[WIKI])
        second = await create(model=MODEL, input="never mind", conversation=conversation.id, tools=[WIKI])
        assert second.output_text == "As you like."
        unknown: Any = {"type": "mcp_approval_response", "approval_request_id": "mcpr_none", "approve": True}
        async with refused(400, param="input", sentence="approval_request_id mcpr_none"):
            await create(model=MODEL, input=[unknown], conversation=conversation.id)


async def test_failed_call_and_failed_list_say_why() -> None:
    brain = saying(McpTools("wiki", error="401"), McpCall("wiki", "read", "{}", error="No such page."))
    async with running(brain=brain) as pair:
        kinds, response = await streamed(pair, tools=[{**WIKI, "require_approval": "never"}])
    assert "mcp_list_tools.failed" in kinds
    assert "mcp_call.failed" in kinds
    listed, call = loose(response.output)
    assert listed.error == "401"
    assert (call.status, call.error.type) == ("failed", "mcp_tool_execution_error")
    assert call.error.content[0]["text"] == "No such page."


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        ("always", True),
        (None, True),
        ({"never": {"tool_names": ["read"]}}, False),
        ({"never": {"tool_names": ["write"]}}, True),
        ({"always": {"tool_names": ["write"]}}, False),
    ],
)
async def test_approval_can_depend_on_the_tool(rule: Any, asks: bool) -> None:
    async with running(brain=saying(READ)) as pair:
        tool: Any = {**WIKI, "require_approval": rule}
        response = await pair.client.responses.create(model=MODEL, input="x", tools=[tool])
    assert response.output[-1].type == ("mcp_approval_request" if asks else "mcp_call")


async def test_only_allowed_tools_are_called() -> None:
    async with running(brain=saying(READ)) as pair:
        for allowed in (["write"], {"tool_names": ["write"]}):
            tool: Any = {**WIKI, "allowed_tools": allowed, "require_approval": "never"}
            assert (await pair.client.responses.create(model=MODEL, input="x", tools=[tool])).status == "failed"


@pytest.mark.parametrize(
    ("tool", "code", "field"),
    [
        ({"type": "mcp", "server_label": "wiki"}, "missing_required_parameter", ".server_url"),
        ({"type": "mcp", "server_url": "https://a.example"}, "missing_required_parameter", ".server_label"),
        ({**WIKI, "server_label": "two words"}, "invalid_value", ".server_label"),
        ({**WIKI, "server_url": "wiki"}, "invalid_value", ".server_url"),
        ({**WIKI, "require_approval": "sometimes"}, "invalid_value", ".require_approval"),
        ({**WIKI, "approval": "never"}, "unknown_parameter", ".approval"),
        ({**WEB, "search_context_size": "huge"}, "invalid_value", ".search_context_size"),
        ({**WEB, "max_results": 3}, "unknown_parameter", ".max_results"),
        ({**IMAGES, "size": "big"}, "invalid_value", ".size"),
        ({**IMAGES, "partial_images": 4}, "integer_above_max_value", ".partial_images"),
        ({"type": "file_search"}, "missing_required_parameter", ".vector_store_ids"),
        ({"type": "telepathy"}, "invalid_value", ".type"),
    ],
)
async def test_wrong_tools_are_refused(tool: Any, code: str, field: str) -> None:
    async with running() as pair, refused(400, code=code, param=f"tools[0]{field}"):
        await pair.client.responses.create(model=MODEL, input="x", tools=[tool])
