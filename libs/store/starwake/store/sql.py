"""Loads the named queries of `sql/<topic>.sql`: all SQL that runs stands there, each query with its purpose.

A file holds queries one after the other, each begun by a line `-- name: <name>`.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)


class Queries:
    """The queries of one topic; each is an attribute (`SQL.insert_builds`)."""

    def __init__(self, topic: str, text: str) -> None:
        parts = _NAME.split(text)
        self._topic = topic
        self._queries = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
        if len(self._queries) * 2 + 1 != len(parts):
            raise ValueError(f"two queries of the same name in {topic}.sql")

    def __getattr__(self, name: str) -> str:
        try:
            return self.__dict__["_queries"][name]
        except KeyError:
            raise AttributeError(f"there is no query {name!r} in this file of sql/") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)


@cache
def load(topic: str) -> Queries:
    """The queries of `sql/<topic>.sql`.

    Raises:
        FileNotFoundError: there is no such topic.
    """
    return Queries(topic, (_FOLDER / f"{topic}.sql").read_text(encoding="utf-8"))
