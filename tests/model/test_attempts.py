"""A model of one order's attempts: they lie about anywhere, are answered late or never, and are asked back.

The real thing: the gateway's state machine, which knows whom a player still waits for, and the judgement of the
command service. Modelled: what lies on the way, and tables that remember.
"""

import json
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from starwake.contracts.batches import Busy, Loaded, PlayerRows, Remembered
from starwake.contracts.commands import REFUSALS_HEADER
from starwake.contracts.ids import CommandId, PlayerId
from starwake.game.built_in import BUILT_IN
from starwake.game.decide import Answer, decide
from starwake.game.requests import OrderParser, Request
from starwake.gateway.effects import Forward
from starwake.gateway.limits import ConnectionLimits
from starwake.gateway.protocol import Connection
from tests.unit.command.rows import NOW, world

ADA = PlayerId("ada")
KEY = (ADA, CommandId("a"))
FRAME = json.dumps({"id": "a", "command": "build.start", "args": {"kind": "dock", "site": "luna-1"}}).encode()
LIMITS = ConnectionLimits(commands_per_s=1000, burst=1000)
PARSER = OrderParser(BUILT_IN)


@dataclass
class Attempt:
    """A frame at its gateway, which waits for the answer until it gives up."""

    connection: Connection
    command: Forward
    given_up: bool = False


@dataclass
class Memory:
    """What the tables hold of the order."""

    remembered: dict[tuple[PlayerId, CommandId], Remembered]
    refusals: dict[tuple[PlayerId, CommandId], int]


class Attempts(RuleBasedStateMachine):
    """One player, one order, any number of connections one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        """A site that is busy, an order that nobody has given yet."""
        self.tables = Memory({}, {})
        self.busy = True
        self.connection = self.connected()
        self.waits = False
        self.refused = False
        self.requests: list[tuple[Attempt, int]] = []
        self.answers: list[tuple[Attempt, Answer]] = []
        self.at_the_gateway: list[Attempt] = []

    def connected(self) -> Connection:
        connection = Connection(LIMITS, 0.0, ping_phase=0.5)
        connection.vouched_for()
        connection.authenticated(ADA, None, 3600.0, 0.0)
        connection.joined(0.0)
        return connection

    # --- the player --------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.waits)
    @rule()
    def sends(self) -> None:
        """Also once more after a refusal, which speaks of what was sent before."""
        (command,) = self.connection.text(FRAME, 1.0)
        assert isinstance(command, Forward)
        attempt = Attempt(self.connection, command)
        self.at_the_gateway.append(attempt)
        self.requests.append((attempt, 0))
        self.waits, self.refused = True, False

    @rule()
    def connects_anew(self) -> None:
        self.connection.lost()
        self.connection = self.connected()
        self.waits = False

    @rule()
    def tries_elsewhere_and_is_answered_at_once(self) -> None:
        self.connects_anew()
        self.sends()
        while self.waits:
            self._judge([self.requests.pop()])
            self._take(*self.answers.pop())

    def hears(self, attempt: Attempt, code: str | None) -> None:
        attempt.connection.answered(attempt.command)
        if attempt.connection is self.connection:
            self.waits = False
            self.refused = code not in (None, "unavailable")
            assert code is not None or KEY in self.tables.remembered

    # --- the gateways ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.at_the_gateway)
    @rule(data=st.data())
    def gives_up(self, data: st.DataObject) -> None:
        attempt = self.at_the_gateway.pop(data.draw(st.integers(0, len(self.at_the_gateway) - 1)))
        attempt.given_up = True
        self.hears(attempt, "unavailable")

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def takes_an_answer(self, data: st.DataObject) -> None:
        self._take(*self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1))))

    def _take(self, attempt: Attempt, answer: Answer) -> None:
        if attempt.given_up:
            return
        if answer.headers is not None and attempt.connection.waits_for(attempt.command):
            self.requests.append((attempt, int(answer.headers[REFUSALS_HEADER])))
            return
        self.at_the_gateway.remove(attempt)
        self.hears(attempt, None if answer.error is None else answer.error[0])

    # --- the command service, any copy, at any time ------------------------------------------------------------------

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), together=st.booleans())
    def judges(self, data: st.DataObject, *, together: bool) -> None:
        if together:
            batch, self.requests = self.requests, []
        else:
            batch = [self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))]
        self._judge(batch)

    def _judge(self, batch: list[tuple[Attempt, int]]) -> None:
        requests: list[Request] = []
        for attempt, refusals in batch:
            requests.append(PARSER.parse("cmd.ada.build.start", attempt.command.frame))
            requests[-1].refusals = refusals
        rows = PlayerRows(busy={"luna-1": Busy("dock")} if self.busy else {})
        loaded = Loaded(NOW, dict(self.tables.remembered), {ADA: rows}, dict(self.tables.refusals))
        decision = decide(requests, loaded, world(), _raised)
        for entry in decision.writes.inbox:
            self.tables.remembered[KEY] = Remembered(entry.command, entry.fingerprint, entry.outcome)
        self.tables.refusals |= decision.writes.refusals
        self.answers += [(attempt, answer) for (attempt, _), answer in zip(batch, decision.answers, strict=True)]

    @precondition(lambda self: self.answers)
    @rule()
    def an_answer_is_lost(self) -> None:
        self.answers.pop()

    @precondition(lambda self: self.refused or self.tables.refusals)
    @rule()
    def the_site_is_taken_or_becomes_free(self) -> None:
        self.busy = not self.busy

    @precondition(lambda self: KEY in self.tables.remembered)
    @rule()
    def another_order_begins(self) -> None:
        self.begin()

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def what_the_player_heard_is_so(self) -> None:
        assert not (self.refused and KEY in self.tables.remembered), "refused, and carried out"

    def teardown(self) -> None:
        """Whoever tries again and is not disturbed is judged, however often the order was refused before."""
        self.busy = False
        self.tries_elsewhere_and_is_answered_at_once()
        assert KEY in self.tables.remembered


def _raised(_request: Request, error: Exception) -> None:
    raise error


Attempts.TestCase.settings = settings(max_examples=300, stateful_step_count=40)
TestAttempts = Attempts.TestCase
