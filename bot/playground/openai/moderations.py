"""/moderations: https://developers.openai.com/api/reference, "Moderations". A list of words decides."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from bot.playground.openai import schemas
from bot.playground.openai.records import Json, new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.playground.openai.calls import Call
    from bot.playground.openai.router import Route
    from bot.playground.openai.switches import Switches

MODEL = "omni-moderation-latest"
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
_OF_IMAGES = frozenset(
    {"self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "violence", "violence/graphic"}
)
"""The categories that the model looks for in images, too."""


class ModerationEndpoints:
    """Judges texts by the words of `Switches.flagged`, and images that are sent along by the words in their bytes."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    def routes(self) -> Iterator[Route]:
        """Method, path, endpoint."""
        yield "POST", "/moderations", self.create

    async def create(self, call: Call) -> Json:
        body = call.checked(schemas.MODERATION)
        model = body.get("model") or MODEL
        self._switches.check_load(model)
        return {"id": new_id("modr-"), "model": model, "results": [self._judged(each) for each in _inputs(body)]}

    def _judged(self, judged: list[Json]) -> Json:
        text = "\n".join(map(_words, judged)).casefold()
        found = {kind for word, kind in self._switches.flagged.items() if word.casefold() in text}
        kinds = {part["type"].removesuffix("_url") for part in judged}
        applied = {
            each: [kind for kind in ("text", "image") if kind in kinds and (kind == "text" or each in _OF_IMAGES)]
            for each in CATEGORIES
        }
        return {
            "flagged": bool(found),
            "categories": {each: each in found for each in CATEGORIES},
            "category_scores": {each: 0.98 if each in found else 0.0001 for each in CATEGORIES},
            "category_applied_input_types": applied,
        }


def _words(part: Json) -> str:
    if part["type"] == "text":
        return str(part["text"])
    _, _, content = part["image_url"]["url"].partition(";base64,")
    return base64.b64decode(content).decode("latin-1")


def _inputs(body: Json) -> list[list[Json]]:
    """What is judged together: each string by itself, all parts of one input at once."""
    given = body["input"]
    if isinstance(given, str):
        given = [given]
    if given and isinstance(given[0], dict):
        return [given]
    return [[{"type": "text", "text": text}] for text in given]
