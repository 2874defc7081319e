"""How much Bobbin adds to a model's own time, and how many Slack calls an answer costs.

    .venv/bin/python bench/answers.py

Real slack_bolt and openai, local servers, 400 words of 10 ms each. Times are given as ratios to the same answer read
straight from the model, measured side by side, because absolute times differ from machine to machine.
"""

import asyncio
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import openai
import structlog

from bot.app import running
from bot.manifest import manifest
from bot.playground.openai import LocalOpenAI, ScriptedBrain
from bot.playground.slack import LocalSlack
from bot.settings import load_settings

_WORDS, _DELAY, _AT_ONCE = 400, 0.01, 20


async def straight(url: str) -> float:
    """Seconds for the answer without Bobbin and Slack."""
    client = openai.AsyncOpenAI(api_key="sk-local", base_url=url)
    began = time.perf_counter()
    stream = await client.responses.create(model="gpt-6.1-terra", input="go", stream=True)
    async for _ in stream:
        pass
    await client.close()
    return time.perf_counter() - began


async def answers(slack: LocalSlack, count: int) -> tuple[list[float], list[float]]:
    """Ask `count` questions at once: seconds to the first words, and to the end, of each."""
    general = slack.channels["general"].id
    began = time.perf_counter()
    asked = [await slack.post("ada", general, f"<@{slack.bot_user_id}> go") for _ in range(count)]
    first: dict[str, float] = {}
    whole: dict[str, float] = {}

    def look(_: LocalSlack) -> bool:
        for ts in asked:
            said = "".join(m["text"] for m in slack.messages(general, ts)[1:])
            if said:
                first.setdefault(ts, time.perf_counter() - began)
            if said.rstrip().endswith("end."):
                whole.setdefault(ts, time.perf_counter() - began)
        return len(whole) == count

    await slack.wait_for(look, 120)
    return list(first.values()), list(whole.values())


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    warnings.simplefilter("ignore", DeprecationWarning)
    text = "word " * (_WORDS - 1) + "end."
    with tempfile.TemporaryDirectory() as folder:
        async with (
            LocalSlack(manifest=manifest()) as slack,
            LocalOpenAI(brain=ScriptedBrain(lambda _: text), token_delay=_DELAY) as server,
        ):
            settings = load_settings(
                _env_file=None,
                slack_bot_token=slack.bot_token,
                slack_app_token=slack.app_token,
                slack_api_url=slack.api_url,
                openai_api_key="sk-local",
                openai_base_url=server.url,
                database_url=f"sqlite:///{Path(folder) / 'bench.db'}",
            )
            async with running(settings):
                await answers(slack, 1)
                model = await straight(server.url)
                calls = len(slack.calls)
                first, whole = await answers(slack, 1)
                calls = len(slack.calls) - calls
                print(f"one answer of {len(text)} characters: the model alone is 1.00")
                print(f"  first words {first[0] / model:.2f}, complete {whole[0] / model:.2f}, {calls} Slack calls")
                first, whole = await answers(slack, _AT_ONCE)
                print(f"{_AT_ONCE} at once: first words, median {statistics.median(first) / model:.2f}, "
                      f"last {max(first) / model:.2f}; complete, last {max(whole) / model:.2f}")  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
