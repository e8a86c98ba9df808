"""Leaders and followers, the mirror of a cache, and answers that are tried again."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.backend import Delta
from ramify.backend.leaders import Leaders
from ramify.backend.mirror import Mirror
from ramify.backend.resume import DifferentAnswerError, Resumed

ids = st.lists(st.integers(0, 1), max_size=40)


class NaiveMirror:
    """Keeps the prompts themselves, for as long as nothing leaves the cache."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.seen: list[list[int]] = []

    def add(self, prompt: list[int]) -> None:
        self.seen.append(prompt)

    def known(self, prompt: list[int]) -> int:
        best = 0
        for other in self.seen:
            same = 0
            for a, b in zip(prompt, other, strict=False):
                if a != b:
                    break
                same += 1
            best = max(best, same // self.block)
        return best


@given(st.lists(ids, max_size=12), st.integers(1, 5))
def test_a_mirror_finds_what_the_naive_one_finds(prompts: list[list[int]], block: int) -> None:
    mirror, naive = Mirror(10**6, block), NaiveMirror(block)
    for prompt in prompts:
        names = mirror.names(prompt)
        assert mirror.known(names) == naive.known(prompt)
        mirror.add(names)
        naive.add(prompt)
        mirror.check()


def test_a_mirror_forgets_the_oldest_and_the_ends_of_prompts_first() -> None:
    mirror = Mirror(capacity=4 * 16)
    old, new = mirror.names(range(48)), mirror.names(range(100, 148))
    mirror.add(old)
    mirror.add(new)
    assert mirror.known(new) == 3 and mirror.known(old) == 1
    assert mirror.names(range(48), "other") != old
    mirror.drop(new[1:2])
    assert mirror.known(new) == 1


async def test_followers_wait_for_the_first_token_of_the_leader() -> None:
    leaders = Leaders(least=32)
    order: list[str] = []

    async def one(name: str, prompt: list[int]) -> None:
        async with leaders.enter(prompt) as ticket:
            order.append(f"{name} goes")
            await asyncio.sleep(0.01)
            order.append(f"{name} first")
            ticket.first()
            await asyncio.sleep(0.01)
        leaders.check()

    common = list(range(64))
    await asyncio.gather(
        one("a", [*common, 1]), one("b", [*common, 2]), one("c", [*common, 3]), one("x", [9] * 64)
    )
    assert order[:2] == ["a goes", "x goes"]
    assert order.index("a first") < order.index("b goes") < order.index("b first")
    assert leaders.waited == 2


async def test_a_leader_that_fails_hands_over() -> None:
    leaders = Leaders(least=32)
    went: list[int] = []

    async def one(number: int) -> None:
        async with leaders.enter(list(range(64))) as ticket:
            went.append(number)
            await asyncio.sleep(0.01)
            if number == 0:
                raise ValueError("broken")
            ticket.first()

    found = await asyncio.gather(*map(one, range(4)), return_exceptions=True)
    assert isinstance(found[0], ValueError) and found[1:] == [None] * 3
    assert went == [0, 1, 2, 3] and not leaders._leading


@given(st.integers(0, 2**32))
def test_any_crowd_ends_and_never_computes_a_shared_beginning_twice(seed: int) -> None:
    rng = random.Random(seed)
    trunks = [[rng.randrange(9) for _ in range(48)] for _ in range(2)]

    async def crowd() -> None:
        leaders = Leaders(least=16)
        computing: dict[int, int] = {}

        async def one(prompt: list[int], fails: bool) -> None:
            async with leaders.enter(prompt) as ticket:
                names = leaders.mirror.names(prompt)[:3]
                for name in names[leaders.mirror.known(names) :]:
                    computing[name] = computing.get(name, 0) + 1
                    assert computing[name] == 1
                await asyncio.sleep(0)
                for name in names:
                    computing.pop(name, None)
                if fails:
                    raise ValueError
                ticket.first()

        rows = [
            one(rng.choice(trunks) + [rng.randrange(9) for _ in range(8)], rng.random() < 0.3)
            for _ in range(10)
        ]
        await asyncio.wait_for(asyncio.gather(*rows, return_exceptions=True), 60)
        leaders.check()

    asyncio.run(crowd())


def cut(rng: random.Random, size: int) -> list[slice]:
    at, parts = 0, []
    while at < size:
        step = rng.randint(1, 4)
        parts.append(slice(at, at + step))
        at += step
    return parts


@given(st.integers(0, 2**32))
def test_answers_tried_again_are_said_once(seed: int) -> None:
    rng = random.Random(seed)
    whole = [rng.randrange(5) for _ in range(rng.randint(1, 30))]
    resumed, said, text = Resumed(), [], ""
    for last in (False, False, True):
        parts = cut(rng, len(whole))
        stop = len(parts) if last else rng.randint(0, len(parts) - 1)
        for number, part in enumerate(parts[:stop]):
            piece = whole[part]
            finish = "stop" if last and number == len(parts) - 1 else None
            new = resumed.passed(Delta(tuple(piece), "".join(map(str, piece)), finish))
            if new is not None:
                said += new.ids
                text += new.text
        if not last:
            resumed.restart()
    assert said == whole and text == "".join(map(str, whole))


def test_another_answer_is_not_glued_to_the_first() -> None:
    resumed = Resumed()
    resumed.passed(Delta((1, 2), "12"))
    resumed.restart()
    with pytest.raises(DifferentAnswerError):
        resumed.passed(Delta((1, 3), "13"))
    resumed.restart()
    with pytest.raises(DifferentAnswerError):
        resumed.passed(Delta((1,), "1", "stop"))
