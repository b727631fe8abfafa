"""Publishing to streams: many in flight, each acknowledged once it is stored."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError, BusUnavailable, JetStreamError, MessageRefused
from starwake.bus.headers import encode_headers
from starwake.bus.jetstream import ApiError
from starwake.bus.message import Message, Outgoing
from starwake.bus.replies import Answer

_TURN: Final = 32
"""Messages of one batch that are sent before another batch has its turn."""


class PubAck(msgspec.Struct, frozen=True):
    """The server's word that a message is stored.

    Attributes:
        stream: in which stream.
        seq: its sequence there; for a duplicate, that of the message which was first.
        duplicate: whether a message with this id was stored before, within the stream's duplicate window. Where each id
            is given out once (`new_push_id` has a nonce), that is the same message again, and no reason to worry.
    """

    stream: str
    seq: int
    duplicate: bool = False


PublishResult = PubAck | BusError


class _Answer(msgspec.Struct, frozen=True):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


_decoder = msgspec.json.Decoder(_Answer)


class _Batch:
    """Messages that were handed over together, and how each one ended."""

    __slots__ = ("done", "failure", "items", "next", "open", "ordered", "results", "timeout_s")

    def __init__(self, items: Sequence[Outgoing], timeout_s: float, *, ordered: bool) -> None:
        self.items = items
        self.timeout_s = timeout_s
        self.ordered = ordered
        self.results: list[PublishResult | None] = [None] * len(items)
        self.next = 0
        self.open = len(items)
        self.failure: BusError | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, index: int, result: PublishResult) -> None:
        self.results[index] = result
        if isinstance(result, BusError) and self.failure is None:
            self.failure = result
        self.open -= 1
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)


class JetStreamPublisher:
    """Publishes to streams; what is handed over together is sent in its order, batches take turns.

    Args:
        bus: the connection.
        max_in_flight: messages that may wait for their acknowledgement at once, over all callers.
        max_waiting: calls that may wait for their turn; beyond it BusUnavailable is raised.
    """

    def __init__(self, bus: Bus, *, max_in_flight: int = 256, max_waiting: int = 10_000) -> None:
        self._bus = bus
        self._max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._in_flight = 0
        self._waiting: deque[_Batch] = deque()
        self._turn = 0

    @property
    def in_flight(self) -> int:
        """Messages that wait for their acknowledgement now."""
        return self._in_flight

    async def publish(  # noqa: PLR0913 - all but two have a default
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        message_id: str | None = None,
        expected_last_subject_sequence: int | None = None,
        timeout_s: float = 5.0,
    ) -> PubAck:
        """Publish one message and wait until it is stored.

        Args:
            subject: one that a stream stores.
            payload: the body.
            headers: further headers.
            message_id: a second message with this id, within the stream's duplicate window, is not stored.
            expected_last_subject_sequence: store it only if this is the last sequence on the subject, 0 for none.
            timeout_s: seconds to wait for the acknowledgement, from when it was sent.

        Raises:
            WrongLastSequence: the expectation does not hold.
            JetStreamError: the stream refused it.
            BusUnavailable: not known to be stored (NoResponders: no stream has this subject).
        """
        all_headers = dict(headers or {})
        if message_id is not None:
            all_headers["Nats-Msg-Id"] = message_id
        if expected_last_subject_sequence is not None:
            all_headers["Nats-Expected-Last-Subject-Sequence"] = str(expected_last_subject_sequence)
        block = encode_headers(all_headers) if all_headers else b""
        (result,) = await self.publish_many([Outgoing(subject, payload, block)], timeout_s=timeout_s)
        if isinstance(result, PubAck):
            return result
        raise result

    async def publish_many(
        self, items: Sequence[Outgoing], *, timeout_s: float = 5.0, ordered: bool = False
    ) -> list[PublishResult]:
        """Publish `items`, sent in their order; how each ended, in the same order.

        Args:
            items: what to publish.
            timeout_s: seconds to wait for each acknowledgement, from when it was sent.
            ordered: once one has failed, none that was not sent yet is sent any more (they end with the same error),
                so that what is stored keeps the order of `items`.

        Raises:
            BusUnavailable: too many calls wait for their turn already.
        """
        if not items:
            return []
        if len(self._waiting) >= self._max_waiting:
            raise BusUnavailable(f"{len(self._waiting)} publishes wait for their turn already")
        batch = _Batch(items, timeout_s, ordered=ordered)
        self._waiting.append(batch)
        self._pump()
        try:
            await batch.done
        except asyncio.CancelledError:
            batch.items = batch.items[: batch.next]  # nobody wants the rest
            raise
        return [result for result in batch.results if result is not None]

    def _pump(self) -> None:
        """Send as many messages as may be in flight."""
        if not self._bus.connected:
            self._fail_waiting(BusUnavailable("not connected to NATS"))
            return
        while self._waiting and self._in_flight < self._max_in_flight:
            batch = self._waiting[0]
            if batch.next < len(batch.items):
                self._send(batch, batch.next)
                self._turn += 1
            if batch.next >= len(batch.items):
                self._waiting.popleft()
                self._turn = 0
            elif self._turn >= _TURN:
                self._waiting.rotate(-1)
                self._turn = 0

    def _fail_waiting(self, error: BusError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for batch in waiting:
            first, batch.next = batch.next, len(batch.items)
            for index in range(first, len(batch.items)):
                batch.end(index, error)

    def _send(self, batch: _Batch, index: int) -> None:
        batch.next = index + 1
        if batch.ordered and batch.failure is not None:
            batch.end(index, batch.failure)
            return
        item = batch.items[index]

        def answered(answer: Answer) -> None:
            self._in_flight -= 1
            batch.end(index, _result(answer) if isinstance(answer, Message) else answer)
            if self._waiting:
                self._pump()

        try:
            self._bus.call(item.subject, item.payload, answered, timeout_s=batch.timeout_s, headers=item.headers)
        except BusError as error:
            batch.end(index, error)
        except ValueError as error:
            batch.end(index, MessageRefused(str(error)))
        else:
            self._in_flight += 1


def _result(message: Message) -> PublishResult:
    try:
        answer = _decoder.decode(message.payload)
    except msgspec.DecodeError:
        return JetStreamError(500, 0, f"not an acknowledgement: {message.payload[:100]!r}")
    if answer.error is not None:
        return answer.error.to_exception()
    return PubAck(answer.stream, answer.seq, answer.duplicate)
