"""Every query that runs per post finds its rows through an index, however much is stored."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from storage import queries
from storage.migrations import migrations

_QUERIES = {name: sql for name, sql in vars(queries).items() if name.isupper() and not name.startswith("_")}
#: Those that belong to opening the database, before the tables are there.
_AT_START = {"TABLES", "HAS_SCHEMA_VERSION", "ADD_SCHEMA_VERSION", "VERSION", "KEEP_VERSION"}


class AnyValues(dict[str, Any]):
    """A value for whatever parameter a query names."""

    def __missing__(self, name: str) -> Any:
        return 1 if name == "limit" else "x"


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in migrations():
            for statement in migration.statements:
                connection.execute(statement)
        yield connection


def plan(database: sqlite3.Connection, query: str) -> list[str]:
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", AnyValues())]


@pytest.mark.parametrize("name", sorted(_QUERIES.keys() - _AT_START))
def test_no_query_reads_a_whole_table(database: sqlite3.Connection, name: str) -> None:
    # These indexes hold only what waits and what has not ended.
    allowed = ("USING INDEX posts_waiting", "USING INDEX runs_unfinished", "work", "CONSTANT ROW")
    scans = [step for step in plan(database, _QUERIES[name]) if step.startswith("SCAN")]
    assert not [step for step in scans if not step.endswith(allowed)]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("WAITING_POSTS", "posts_waiting"),
        ("UNFINISHED_RUN", "runs_unfinished"),
        ("RUN_POSTS", "posts_of_run"),
        ("LATEST_THREADS", "posts_of_author"),
        ("USAGE", "usage_by_time"),
        ("THREADS_WITH_WORK", "posts_waiting"),
        ("THREADS_WITH_WORK", "runs_unfinished"),
    ],
)
def test_the_index_made_for_it_is_used(database: sqlite3.Connection, name: str, index: str) -> None:
    assert [step for step in plan(database, _QUERIES[name]) if index in step]


@pytest.mark.parametrize("name", ["WAITING_POSTS", "RUN_POSTS", "REPLIES", "USAGE", "ITEMS"])
def test_what_comes_in_order_is_not_sorted(database: sqlite3.Connection, name: str) -> None:
    assert not [step for step in plan(database, _QUERIES[name]) if "TEMP B-TREE" in step]
