"""Fifty answers at once where Slack only takes posts and fifty updates a minute, and says 429 to more.

.venv/bin/python bench/storm.py
"""

import asyncio
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

import structlog

from bot.app import running
from bot.manifest import manifest
from bot.playground.openai import LocalOpenAI, ScriptedBrain
from bot.playground.slack import LocalSlack
from bot.settings import load_settings

_ANSWERS, _WORDS, _DELAY = 50, 200, 0.02


async def main() -> int:
    warnings.simplefilter("ignore", DeprecationWarning)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    brain = ScriptedBrain(lambda _: "word " * _WORDS + "end.")
    with tempfile.TemporaryDirectory() as folder:
        async with (
            LocalSlack(manifest=manifest(), enforce_rate_limits=True) as slack,
            LocalOpenAI(brain=brain, token_delay=_DELAY) as server,
        ):
            slack.faults.add(method="chat.startStream", error="unknown_method", times=None)
            settings = load_settings(
                _env_file=None,
                slack_bot_token=slack.bot_token,
                slack_app_token=slack.app_token,
                slack_api_url=slack.api_url,
                openai_api_key="sk-local",
                openai_base_url=server.url,
                bobbin_backend="assistants",
                database_url=f"sqlite:///{Path(folder) / 'storm.db'}",
            )
            async with running(settings):
                complete, seconds = await storm(slack)
            refused = sum(call.response.get("error") == "ratelimited" for call in slack.calls)
    print(f"{_ANSWERS} answers at once, 50 updates a minute: {complete} complete, in {seconds:.0f} s, 429s: {refused}")
    return 0 if complete == _ANSWERS else 1


async def storm(slack: LocalSlack) -> tuple[int, float]:
    """How many answers came whole, and after how many seconds the last did."""
    general = slack.channels["general"].id
    began = time.perf_counter()
    asked = [await slack.post("ada", general, f"<@{slack.bot_user_id}> go") for _ in range(_ANSWERS)]

    def whole() -> int:
        return sum(
            "".join(m["text"] for m in slack.messages(general, ts)[1:]) == "word " * _WORDS + "end." for ts in asked
        )

    try:
        await slack.wait_for(lambda _: whole() == _ANSWERS, 900)
    except TimeoutError:
        print("not all of them came", file=sys.stderr)
    return whole(), time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
