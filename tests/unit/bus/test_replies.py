"""Who waits for which answer, and for how long."""

import asyncio

from starwake.bus.errors import BusTimeout
from starwake.bus.message import Message
from starwake.bus.replies import Answer, Replies


async def test_requests_end_at_their_own_timeout_whatever_was_asked_between_them() -> None:
    replies = Replies("_INBOX")
    ended: list[str] = []
    over = asyncio.Event()

    def ask(name: str, timeout_s: float) -> None:
        replies.expect(name, timeout_s, lambda _: ended.append(name))

    ask("long", 0.4)
    ask("short", 0.05)
    replies.expect("short too", 0.05, lambda _: ask("short, asked later", 0.05))
    replies.expect("last", 0.45, lambda _: over.set())
    async with asyncio.timeout(5):
        await over.wait()
    assert ended == ["short", "short, asked later", "long"]
    assert not len(replies)


async def test_an_answered_request_is_not_ended_by_its_timeout() -> None:
    replies = Replies("_INBOX")
    answers: list[Answer] = []
    late = asyncio.Event()

    def take(answer: Answer) -> None:
        answers.append(answer)

    address = replies.expect("asked", 0.02, take)
    replies.expect("asked too", 0.02, lambda _: late.set())
    message = Message(address, "", b"yes")
    replies.deliver(message)
    async with asyncio.timeout(5):
        await late.wait()
    assert answers == [message]


async def test_a_request_that_takes_several_answers_is_ended_by_its_timeout_all_the_same() -> None:
    replies = Replies("_INBOX")
    answers: list[Answer] = []
    over = asyncio.Event()

    def take(answer: Answer) -> bool:
        answers.append(answer)
        if not isinstance(answer, Message):
            over.set()
        return True

    address = replies.expect("asked", 0.02, take)
    replies.deliver(Message(address, "", b"one"))
    async with asyncio.timeout(5):
        await over.wait()
    assert isinstance(answers[1], BusTimeout)
    assert not len(replies)
