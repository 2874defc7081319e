"""The short form of the crash suite; `make chaos` runs the full one."""

from pathlib import Path

import pytest

from tests.chaos.kills import Kills


@pytest.mark.timeout(180)
@pytest.mark.parametrize("backend", ["agents", "assistants", "local", "responses"])
async def test_kills_at_random_moments_lose_and_double_nothing(backend: str, tmp_path: Path) -> None:
    tally = await Kills(backend, tmp_path, seed=2026).run(6)
    assert tally.kills == 6
    assert tally.clean, tally
