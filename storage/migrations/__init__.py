"""The schema's versions: one SQL file each, in order. A version that is out is never edited; a change is a new file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import resources

from storage import queries
from storage.base import StorageError
from storage.rows import Execute


@dataclass(frozen=True, slots=True)
class Migration:
    """`version` counts from 1; `statements` take the schema there from the version before."""

    version: int
    name: str
    statements: tuple[str, ...]


def migrations() -> Iterator[Migration]:
    """Every migration, oldest first. Reads package data, so it blocks."""
    files = sorted(entry.name for entry in resources.files(__name__).iterdir() if entry.name.endswith(".sql"))
    for version, name in enumerate(files, start=1):
        sql = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
        yield Migration(version, name, tuple(part.strip() for part in sql.split(";\n") if part.strip()))


async def migrate(
    known: Sequence[Migration],
    *,
    database: str,
    read: Execute,
    transaction: Callable[[], AbstractAsyncContextManager[Execute]],
) -> None:
    """Bring a database to the last of the `known` migrations, each in one transaction.

    An up-to-date database is only read. `database` names it in errors. Raises StorageError where a newer Bobbin
    wrote it; nothing is changed then.
    """
    await read(queries.ADD_SCHEMA_VERSION, {})
    version = await _version(read)
    _refuse_newer(version, known, database)
    for migration in known[version:]:
        async with transaction() as execute:
            await _apply(migration, execute)


async def check(known: Sequence[Migration], *, database: str, read: Execute) -> None:
    """Raises StorageError where a database is not at the last of the `known` migrations; only reads."""
    version = await _version(read)
    _refuse_newer(version, known, database)
    if version < len(known):
        raise StorageError(
            f"{database} was written by an older Bobbin (schema {version}; this one reads {len(known)}). "
            "Start this Bobbin once: it brings the database up to date."
        )


def _refuse_newer(version: int, known: Sequence[Migration], database: str) -> None:
    if version > len(known):
        raise StorageError(
            f"{database} was written by a newer Bobbin (schema {version}; this one knows up to {len(known)}). "
            "Upgrade Bobbin, or point DATABASE_URL at another file."
        )


async def _apply(migration: Migration, execute: Execute) -> None:
    # Looked up again: another process may have started at the same moment and been first.
    if await _version(execute) >= migration.version:
        return
    for statement in migration.statements:
        await execute(statement, {})
    await execute(queries.KEEP_VERSION, {"version": migration.version})


async def _version(execute: Execute) -> int:
    rows = await execute(queries.VERSION, {})
    return int(rows[0][0] or 0)
