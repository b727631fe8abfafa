"""Many single questions, few requests."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from starwake.bus.errors import BusError, BusUnavailable
from starwake.gateway.questions import Questions
from starwake.gateway.tasks import Tasks
from tests.support.eventually import eventually


class Oracle:
    """Answers with the length of each key, once it may."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may = asyncio.Event()
        self.failure: BusError | None = None

    async def ask(self, keys: list[str]) -> dict[str, int]:
        self.asked.append(keys)
        await self.may.wait()
        if self.failure is not None:
            raise self.failure
        return {key: len(key) for key in keys}


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    owner = Tasks()
    yield owner
    await owner.close()


async def test_what_is_asked_during_a_request_goes_with_the_next_one(tasks: Tasks) -> None:
    oracle = Oracle()
    questions = Questions(tasks, oracle.ask)
    first = asyncio.create_task(questions.get("a"))
    await eventually(lambda: bool(oracle.asked))
    later = [asyncio.create_task(questions.get(key)) for key in ("a", "bb", "ccc", "bb")]
    await asyncio.sleep(0)
    oracle.may.set()
    async with asyncio.timeout(5):
        assert [await first, *[await each for each in later]] == [1, 1, 2, 3, 2]
    # "a" again: an answer under way may be older than this question.
    assert oracle.asked == [["a"], ["a", "bb", "ccc"]]


async def test_a_request_is_bounded(tasks: Tasks) -> None:
    oracle = Oracle()
    oracle.may.set()
    questions = Questions(tasks, oracle.ask)
    keys = [f"{number:04}" for number in range(1200)]
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(questions.get(key) for key in keys)) == [4] * 1200
    assert [len(asked) for asked in oracle.asked] == [512, 512, 176]


async def test_a_failure_reaches_all_who_asked_and_nobody_who_asks_later(tasks: Tasks) -> None:
    oracle = Oracle()
    oracle.failure = BusUnavailable("away")
    oracle.may.set()
    questions = Questions(tasks, oracle.ask)
    async with asyncio.timeout(5):
        answers = await asyncio.gather(questions.get("a"), questions.get("b"), return_exceptions=True)
        assert answers == [oracle.failure, oracle.failure]
        oracle.failure = None
        assert await questions.get("a") == 1


async def test_who_asked_and_went_away_disturbs_nobody(tasks: Tasks) -> None:
    oracle = Oracle()
    questions = Questions(tasks, oracle.ask)
    gone, stays = asyncio.create_task(questions.get("a")), asyncio.create_task(questions.get("a"))
    await eventually(lambda: bool(oracle.asked))
    gone.cancel()
    await asyncio.wait({gone})
    oracle.may.set()
    async with asyncio.timeout(5):
        assert await stays == 1


async def test_one_answer_that_is_taken_badly_costs_no_other(tasks: Tasks) -> None:
    oracle = Oracle()
    oracle.may.set()
    questions = Questions(tasks, oracle.ask)
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context.get("exception"))))

    def bad(_answer: int | BusError) -> None:
        raise ValueError("not mine")

    try:
        questions.put("a", bad)
        async with asyncio.timeout(5):
            assert await questions.get("a") == 1
    finally:
        loop.set_exception_handler(None)
    assert complaints == ["not mine"]


async def test_nothing_is_asked_for_whoever_has_gone_meanwhile(tasks: Tasks) -> None:
    oracle = Oracle()
    questions = Questions(tasks, oracle.ask)
    heard: list[tuple[str, int | BusError]] = []
    here = {"a", "bb", "dddd"}
    for key in ("a", "bb", "ccc", "dddd", "ccc"):
        questions.put(key, lambda answer, key=key: heard.append((key, answer)), lambda key=key: key in here)
        if key == "a":
            await eventually(lambda: bool(oracle.asked))
    here.discard("bb")
    oracle.may.set()
    await eventually(lambda: len(heard) == 2)
    assert oracle.asked == [["a"], ["dddd"]]
    assert heard == [("a", 1), ("dddd", 4)]


async def test_while_nobody_answers_fewer_are_asked_for_at_once(tasks: Tasks) -> None:
    oracle = Oracle()
    oracle.may.set()
    oracle.failure = BusUnavailable("no answer")
    questions = Questions(tasks, oracle.ask)
    outcomes = await asyncio.gather(*(questions.get(f"{number}") for number in range(1000)), return_exceptions=True)
    assert all(isinstance(outcome, BusUnavailable) for outcome in outcomes)
    assert [len(asked) for asked in oracle.asked][:3] == [512, 256, 128]
