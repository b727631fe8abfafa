"""Named queries."""

from pathlib import Path

import pytest

import starwake.store.sql as loader
from starwake.store.sql import Queries, load

TOPICS = sorted(path.stem for path in (Path(loader.__file__).parent / "sql").glob("*.sql"))


def test_a_query_is_found_by_its_name() -> None:
    queries = Queries("t", "-- name: one\n-- Purpose.\nSELECT 1\n\n-- name: two\nSELECT 2\n")
    assert queries.one == "-- Purpose.\nSELECT 1"
    assert list(queries) == ["one", "two"]
    with pytest.raises(AttributeError, match="three"):
        _ = queries.three


def test_two_queries_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Queries("t", "-- name: one\nSELECT 1\n-- name: one\nSELECT 2\n")


@pytest.mark.parametrize("topic", TOPICS)
def test_each_query_says_its_purpose(topic: str) -> None:
    queries = load(topic)
    for name in queries:
        assert getattr(queries, name).startswith("-- "), f"{topic}.{name}"
