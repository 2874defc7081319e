"""What docs/backends.md says that each backend can carry is what it says of itself."""

from pathlib import Path

from bot.backends import ABILITIES
from bot.engine.ports import Ability

_COLUMNS = ("responses", "assistants", "local", "agents")


def test_the_table_in_the_docs_is_true() -> None:
    told: dict[str, set[str]] = {name: set() for name in _COLUMNS}
    known = {ability.value for ability in Ability}
    rows = set()
    for line in Path("docs/backends.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        name = cells[0].split("`")[1] if cells[0].startswith("`") else ""
        if name in known:
            rows.add(name)
            for backend, cell in zip(_COLUMNS, cells[1:], strict=True):
                if cell.startswith("yes"):
                    told[backend].add(name)
    assert rows == known
    assert {name: set(map(str, ABILITIES[name])) for name in _COLUMNS} == told
