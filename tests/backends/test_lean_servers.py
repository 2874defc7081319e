"""Servers that leave out what OpenAI says, or do not know what OpenAI knows."""

from typing import Any

import pytest
from aiohttp import web

from bot.backends.responses import ResponsesBackend
from bot.engine.ports import RunStatus
from tests.backends.bench import PATIENCE, ended, message, request, text_of
from tests.backends.handmade import EMPTY_LIST, answering, serving

RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "model": "m"}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
}


# Streams


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Unrecognized request argument supplied: stream", "type": "x"}}),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream"], "msg": "Extra inputs"}]}),
    ],
)
async def test_a_server_that_does_not_know_the_word_stream_is_asked_without_it(status: int, body: Any) -> None:
    async def respond(call: web.Request) -> web.Response:
        if "stream" in await call.json():
            return web.json_response(body, status=status)
        return web.json_response({**RESPONSE, "output": [ANSWER]})

    routes = {"GET /conversations/{c}/items": answering(EMPTY_LIST), "POST /responses": respond}
    async with serving(routes) as client:
        backend = ResponsesBackend(client, patience=PATIENCE)
        events = [each async for each in backend.run(request("conv_1", message(1, "hello")))]
    assert (text_of(events), ended(events).status) == ("hi", RunStatus.COMPLETED)
