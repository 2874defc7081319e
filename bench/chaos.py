"""The full crash suite: 400 kills over four backends, and a table.

make chaos
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.kills import Kills, Tally

_KILLS, _SEED = 100, 7


async def main() -> int:
    tallies: dict[str, Tally] = {}
    for backend in ("assistants", "responses", "local", "agents"):
        with tempfile.TemporaryDirectory() as folder:

            def told(tally: Tally, backend: str = backend) -> None:
                print(f"\r{backend}: {tally.kills} of {_KILLS} kills", end="", flush=True)

            tallies[backend] = await Kills(backend, Path(folder), _SEED).run(_KILLS, told)
            print()
    print(f"\n{'backend':12}{'kills':>8}{'questions':>11}{'lost':>6}{'doubled':>9}{'sent twice':>12}")
    for backend, tally in tallies.items():
        counts = (tally.kills, tally.questions, len(tally.lost), len(tally.doubled), len(tally.sent_twice))
        print(f"{backend:12}{counts[0]:>8}{counts[1]:>11}{counts[2]:>6}{counts[3]:>9}{counts[4]:>12}")
        moments = sorted(tally.moments.items(), key=lambda item: -item[1])
        print("  killed after " + ", ".join(f"{method} {count}" for method, count in moments))
    return 0 if all(tally.clean for tally in tallies.values()) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
