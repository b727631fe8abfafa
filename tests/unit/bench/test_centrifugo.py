"""Centrifugo as a contestant: the load client reads its protocol, and it takes part only where it is installed."""

from pathlib import Path

import pytest

from tests.bench.contestants import peers
from tests.bench.harness.scenario import Entry, where_installed
from tests.bench.load.player import Frame, Player
from tests.bench.scenarios.messages import push

CONNECTED = b'{"id":1,"connect":{"client":"42","version":"6.0.0","subs":{"#ada":{}},"ping":25,"pong":true}}'
PUSHED = (
    b'{"push":{"channel":"#ada","pub":{"data":{"type":"push","event":"bench.tick","data":{"sent_s":1.5}},"offset":7}}}'
)


class Ada(Player):
    def __init__(self) -> None:
        self.heard: list[Frame] = []
        self.sent: list[bytes] = []
        super().__init__("ada", lambda _, frame: self.heard.append(frame), "centrifugo")

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)


def test_several_replies_of_one_frame_are_all_taken() -> None:
    ada = Ada()
    ada.take_replies(CONNECTED + b"\n" + PUSHED + b"\n" + PUSHED)
    assert ada.greeted_at > 0
    assert [(frame.event, bytes(frame.data)) for frame in ada.heard] == [("bench.tick", b'{"sent_s":1.5}')] * 2


def test_a_ping_is_answered_by_the_same() -> None:
    ada = Ada()
    ada.take_replies(b"{}")
    assert (ada.sent, ada.heard) == ([b"{}"], [])


def test_what_is_no_publication_is_passed_over() -> None:
    ada = Ada()
    ada.take_replies(b'{"push":{"channel":"#ada","join":{}}}')
    assert not ada.heard


def test_it_takes_part_where_its_program_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    entry = Entry(peers.centrifugo, push)
    assert where_installed("centrifugo", entry) == {}
    (tmp_path / "centrifugo").touch(mode=0o755)
    assert where_installed("centrifugo", entry) == {"centrifugo": entry}
