"""A local server that speaks OpenAI's Assistants, Responses, Conversations and Agents to the real openai package.

It is the playground's backend for whoever has no key, and the double that the tests talk to:

    async with LocalOpenAI(brain=ScriptedBrain({"ping": "pong"})) as server:
        client = AsyncOpenAI(base_url=server.url, api_key="sk-local")
        server.faults.add(method="POST", path="/threads/{t}/runs", status=500, when="after")

It is strict where OpenAI is: headers, parameters and their limits, ids, locks, the order of events, expiry.
`schemas` and `limits` hold what may be sent, `faults` what can be made to go wrong, `switches` what a test may set.
"""

from bot.playground.openai.brain import (
    Brain,
    CodeInterpreterCall,
    FileCitation,
    FileLink,
    FileSearch,
    FoundPassage,
    FunctionCall,
    GeneratedImage,
    MadeFile,
    McpCall,
    McpTools,
    Piece,
    Question,
    Reasoning,
    ScriptedBrain,
    SeenFile,
    UrlCitation,
    WebSearch,
)
from bot.playground.openai.faults import Fault, Faults
from bot.playground.openai.gateway import RecordedRequest
from bot.playground.openai.lean import Lean
from bot.playground.openai.offline import OfflineBrain
from bot.playground.openai.server import LocalOpenAI
from bot.playground.openai.switches import Switches

__all__ = [
    "Brain",
    "CodeInterpreterCall",
    "Fault",
    "Faults",
    "FileCitation",
    "FileLink",
    "FileSearch",
    "FoundPassage",
    "FunctionCall",
    "GeneratedImage",
    "Lean",
    "LocalOpenAI",
    "MadeFile",
    "McpCall",
    "McpTools",
    "OfflineBrain",
    "Piece",
    "Question",
    "Reasoning",
    "RecordedRequest",
    "ScriptedBrain",
    "SeenFile",
    "Switches",
    "UrlCitation",
    "WebSearch",
]
