"""Requests, from whoever sent them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.game.built_in import BUILT_IN
from starwake.game.requests import OrderParser, Request, fingerprint

PARSER = OrderParser(BUILT_IN)
START = {"kind": "dock", "site": "luna-1"}


def body(**changes: object) -> bytes:
    frame: dict[str, object] = {"id": "c1", "command": "build.start", "args": START, **changes}
    return json.dumps({name: value for name, value in frame.items() if value is not ...}).encode()


def parse(payload: bytes, subject: str = "cmd.ada.build.start", trace: str | None = None) -> Request:
    return PARSER.parse(subject, payload, trace)


def code_of(payload: bytes, subject: str = "cmd.ada.build.start") -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        parse(payload, subject)
    return caught.value.code


def test_an_order_is_read_with_its_player_from_the_subject() -> None:
    request = parse(body(), "cmd.%C3%A9v%2Ea.build.start")
    assert (request.player, request.command_id) == ("év.a", "c1")
    assert (request.args.kind, request.args.site) == ("dock", "luna-1")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"id": "c1"',
        b"\xff\xfe",
        body() + b" x",
        body()[:-1] + b', "x": ' + b"[" * 50_000,
        body(args={**START, "junk": "deep"}).replace(b'"deep"', b"[" * 30_000 + b"]" * 30_000),
    ],
)
def test_what_is_no_json_is_bad_json(payload: bytes) -> None:
    assert code_of(payload) is ErrorCode.BAD_JSON


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"null",
        b"3",
        body(command=...),
        body(command="build.cancel"),
        body(command=7),
        body(id=...),
        body(id=None),
        body(id=""),
        body(id="x" * 65),
        body(id=5),
        body(id="a\0b"),
        body(args=...),
        body(args=None),
        body(args=[]),
        body(args="luna"),
        body(args={"kind": "dock"}),
        body(args={"kind": 3, "site": "luna-1"}),
        body(args={"kind": "dock", "site": ""}),
        body(args={"kind": "dock", "site": "x" * 65}),
        body(args={**START, "junk": "x" * 70_000}),
    ],
)
def test_frames_that_are_no_such_order_are_bad_requests(payload: bytes) -> None:
    assert code_of(payload) is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    "subject",
    [
        "cmd.ada%2eb.build.start",  # not the canonical token: lower-case hex
        "cmd.%61da.build.start",  # nor this: a plain letter in disguise
        "cmd.%FF.build.start",
        "cmd.%.build.start",
        "cmd.%00.build.start",
        "cmd." + "a" * 256 + ".build.start",
        "cmd..build.start",
        "cmd.ada.",
    ],
)
def test_subjects_that_belong_to_no_player_are_refused(subject: str) -> None:
    assert code_of(body(), subject) is ErrorCode.BAD_REQUEST


def test_a_field_that_no_order_reads_has_to_be_text_all_the_same() -> None:
    assert code_of(body(args={**START, "junk": "?"}).replace(b'"?"', b'"\xff"')) is ErrorCode.BAD_REQUEST


def test_how_arguments_are_written_makes_no_difference_to_their_fingerprint() -> None:
    one = fingerprint(b'{"kind":"dock","site":"luna-1"}')
    assert fingerprint(b' {"site" : "luna-1", "kind": "\\u0064ock"} ') == one
    assert fingerprint(b'{"kind":"dock","site":"luna-2"}') != one


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail_otherwise_than_by_refusing(payload: bytes) -> None:
    with pytest.raises(Refusal):
        parse(payload)


@given(
    st.dictionaries(
        st.sampled_from(["id", "command", "args", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_no_json_makes_the_parser_fail_otherwise_than_by_refusing(frame: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        parse(json.dumps({"command": "build.start", "id": "a", **frame}).encode())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n", False),
        ("x" * 5000, False),
        ("", False),
    ],
)
def test_only_a_real_trace_context_gets_into_the_row(sent: str, kept: bool) -> None:  # noqa: FBT001 - a table of cases
    assert (parse(body(), trace=sent).trace == sent) is kept
