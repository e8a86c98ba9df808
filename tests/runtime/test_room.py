"""Who may be open at once, and who goes first."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.runtime.batch.room import Need, Room
from ramify.runtime.batch.turns import Turns


class Union:
    """The naive twin of `Room`: the prefixes of all open rows in a set."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.open: dict[int, str] = {}

    def used(self, *more: str) -> int:
        rows = [*self.open.values(), *more]
        return len({row[: i + 1] for row in rows for i in range(len(row))})

    def fits(self, row: str, more: int) -> bool:
        return not self.open or self.used(row) + more <= self.tokens


def _common(a: str, b: str) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(map(len, (a, b)))
    )


# what a row holds on the average, and how much more at most
rows = st.lists(
    st.tuples(st.text("ab", min_size=1, max_size=6), st.integers(0, 3)), min_size=1, max_size=12
)


@given(rows, st.integers(1, 14), st.randoms(use_true_random=False))
def test_a_room_holds_as_much_as_its_naive_twin(
    rows: list[tuple[str, int]], tokens: int, random: object
) -> None:
    rows = sorted(rows)
    shared = [0, *(_common(a, b) for (a, _), (b, _) in pairwise(rows))]
    room, twin = Room(tokens), Union(tokens)

    async def main() -> None:
        for number, ((text, more), common) in enumerate(zip(rows, shared, strict=True)):
            need = Need(len(text), len(text) + more, common)
            while not twin.fits(text, more):
                assert not room.fits(need)
                gone = random.choice(list(twin.open))  # type: ignore[attr-defined]
                del twin.open[gone]
                room.leave(gone)
                room.check()
                assert room.used == twin.used()
            assert room.fits(need)
            await room.enter(number, need)
            twin.open[number] = text
            room.check()
            assert room.used == twin.used()

    asyncio.run(main())


def test_a_row_waits_until_there_is_room_and_a_large_one_is_alone() -> None:
    async def main() -> None:
        room = Room(10)
        await room.enter(0, Need(6, 7))
        second = asyncio.ensure_future(room.enter(1, Need(30, 30)))
        await asyncio.sleep(0)
        assert not second.done()
        room.leave(0)
        await asyncio.wait_for(second, 5)
        room.check()
        assert not room.fits(Need(1, 1)) and room.used == 30

    asyncio.run(main())


def test_rows_that_have_begun_go_first_and_older_ones_before_younger() -> None:
    turns = Turns(3)
    for number in (0, 1, 2):
        turns.open(number)
    turns.check()
    old, young = turns.priority(0, 1.0, begun=True), turns.priority(2, 900.0, begun=True)
    assert old > young > turns.priority(1, 5000.0, begun=False) == 0.0
    assert turns.priority(0, 2.0, begun=True) > old  # within a row: the critical path
    turns.close(0)
    turns.open(7)
    assert turns.priority(1, 1.0, begun=True) == old  # the oldest now
    with pytest.raises(IndexError):
        Turns(1).close(0)
    roomy = Turns(3, tight=lambda: False)
    assert roomy.priority(0, 2.0, begun=False) == roomy.priority(1, 2.0, begun=True) == 2.0
