"""Whatever breaks: each push is handed out exactly once and in order, or the loss is told."""

import json
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from starwake.client.effects import Deliver, Effect, Hangup, Reopen
from starwake.client.protocol import Phase, Protocol
from starwake.client.values import Missed, Push

Feed = Literal["player", "all"]
FEEDS = st.sampled_from(["player", "all"])
CAPACITY = 5


@dataclass
class Model:
    """The server's side: all that was ever pushed, and how far each feed's history was trimmed."""

    feeds: dict[str, list[int]] = field(default_factory=lambda: {"player": [], "all": []})
    trimmed: dict[str, int] = field(default_factory=lambda: {"player": 0, "all": 0})
    seq: int = 0

    def last(self, feed: str) -> int:
        return self.feeds[feed][-1] if self.feeds[feed] else 0

    def frame(self, feed: str, seq: int) -> str:
        entries = self.feeds[feed]
        place = entries.index(seq)
        prev = entries[place - 1] if place else 0
        frame = {"type": "push", "seq": seq, "prev": prev, "event": "a.b", "at": "2026-11-22T10:00:00.000Z"}
        return json.dumps({**frame, "feed": "all"} if feed == "all" else frame)


class ExactlyOnce(RuleBasedStateMachine):
    """A client's protocol against the model, over a line that loses, breaks and repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.protocol = Protocol(dice=lambda low, _: low, capacity=CAPACITY)
        self.now = 0.0
        self.waiting: list[Push] = []
        self.handled: dict[str, list[int]] = {"player": [], "all": []}
        self.expected_from: dict[str, int] = {"player": 0, "all": 0}
        self.losses = 0
        self.connect()

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Deliver(Push() as push, _):
                    self.waiting.append(push)
                case Deliver(Missed(), _):
                    self.losses += 1
                case Hangup():
                    self.take(self.protocol.disconnected(None, "", self.now))
                case Reopen():
                    assert self.protocol.phase is Phase.DOWN
                case _:
                    pass

    @precondition(lambda self: self.protocol.phase is Phase.DOWN)
    @rule(replayed=st.integers(0, 30))
    def connect(self, replayed: int = 30) -> None:
        """Connect and resume; the line may break after some of the replay."""
        position = self.protocol.position
        self.protocol.opened("t", self.now)
        recovered = None
        missed: list[tuple[int, str]] = []
        if position is not None:
            kept = (position.seq >= self.model.trimmed["player"], position.all >= self.model.trimmed["all"])
            recovered = all(kept)
            missed = [(seq, "player") for seq in self.model.feeds["player"] if seq > position.seq]
            missed += [(seq, "all") for seq in self.model.feeds["all"] if seq > position.all]
        if recovered is False:
            self.expected_from = {feed: self.model.last(feed) for feed in ("player", "all")}
        losses = self.losses
        self.take(self.protocol.received(self.hello(recovered=recovered), self.now))
        assert self.losses == losses + (recovered is False), "a loss is told, and only a loss"
        if recovered:
            for seq, feed in sorted(missed)[:replayed]:
                self.take(self.protocol.received(self.model.frame(feed, seq), self.now))
            if replayed < len(missed) and self.protocol.phase is Phase.LIVE:
                self.take(self.protocol.disconnected(None, "", self.now))

    def hello(self, *, recovered: bool | None) -> str:
        frame = {
            "type": "hello",
            "player": "ada",
            "session": "s",
            "server_time": "2026-11-22T10:00:00.000Z",
            "epoch": "e",
            "seq": self.model.last("player"),
            "all": self.model.last("all"),
            "recovered": recovered,
        }
        return json.dumps(frame)

    @rule(feed=FEEDS, lost=st.booleans(), twice=st.booleans())
    def push(self, feed: str, *, lost: bool, twice: bool) -> None:
        self.model.seq += 1
        seq = self.model.seq
        self.model.feeds[feed].append(seq)
        for _ in range(0 if lost else 1 + twice):
            if self.protocol.phase is Phase.LIVE:
                self.take(self.protocol.received(self.model.frame(feed, seq), self.now))

    @precondition(lambda self: self.protocol.phase is Phase.LIVE)
    @rule()
    def break_line(self) -> None:
        self.take(self.protocol.disconnected(None, "", self.now))

    @precondition(lambda self: self.protocol.phase is Phase.DOWN)
    @rule(feed=FEEDS)
    def trim(self, feed: str) -> None:
        """The server forgets a feed's history; only while nobody is connected, as a live one keeps its chain."""
        self.model.trimmed[feed] = self.model.last(feed)

    @precondition(lambda self: self.protocol.phase is Phase.LIVE)
    @rule()
    def ping(self) -> None:
        frame = {"type": "ping", "seq": self.model.last("player"), "all": self.model.last("all")}
        self.take(self.protocol.received(json.dumps(frame), self.now))

    @precondition(lambda self: bool(self.waiting))
    @rule()
    def handle(self) -> None:
        push = self.waiting.pop(0)
        self.handled[push.feed].append(push.seq)
        self.take(self.protocol.consumed(self.now))

    @invariant()
    def the_inbox_is_bounded(self) -> None:
        assert len(self.waiting) <= CAPACITY

    @invariant()
    def nothing_is_doubled_or_out_of_order(self) -> None:
        for seqs in self.handled.values():
            assert seqs == sorted(set(seqs))

    def teardown(self) -> None:
        """In the end, on a good line, everything not told as lost has been handled."""
        for _ in range(100):
            if self.protocol.phase is Phase.DOWN:
                self.connect()
            while self.waiting:
                self.handle()
            if self.protocol.phase is Phase.LIVE:
                self.ping()
                self.ping()
            if self.protocol.phase is Phase.LIVE and not self.waiting:
                break
        for feed, seqs in self.model.feeds.items():
            due = [seq for seq in seqs if seq > self.expected_from[feed]]
            assert [seq for seq in self.handled[feed] if seq > self.expected_from[feed]] == due


ExactlyOnce.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
test_each_push_is_handled_exactly_once_or_its_loss_is_told = ExactlyOnce.TestCase
