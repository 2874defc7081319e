"""The schema's versions: one SQL file each, in order. A version that is out is never edited; a change is a new file."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Migration:
    """`version` counts from 1; `statements` take the schema there from the version before."""

    version: int
    name: str
    statements: tuple[str, ...]


def migrations() -> Iterator[Migration]:
    """Every migration, oldest first."""
    files = sorted(entry.name for entry in resources.files(__name__).iterdir() if entry.name.endswith(".sql"))
    for version, name in enumerate(files, start=1):
        sql = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
        yield Migration(version, name, tuple(part.strip() for part in sql.split(";\n") if part.strip()))
