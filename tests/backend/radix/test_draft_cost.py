"""When a draft is looked for."""

from __future__ import annotations

from ramify.backend.radix.draft_cost import DraftPolicy, Record


def test_where_nothing_is_found_it_is_looked_for_more_rarely() -> None:
    policy, record = DraftPolicy(), Record()

    def looks(steps: int, *, found: bool = False) -> int:
        count = 0
        for _ in range(steps):
            if policy.looks(record):
                count += 1
                policy.looked(record, found)
        return count

    assert looks(8) == 8
    assert looks(400) < 70
    while not policy.looks(record):
        pass
    policy.looked(record, True)
    assert looks(8) == 8
    fixed, other = DraftPolicy(fixed=3), Record()
    for _ in range(200):
        assert fixed.looks(other)
        fixed.looked(other, False)


def test_where_no_answer_finds_anything_only_one_looks_now_and_then() -> None:
    policy = DraftPolicy()
    records = [Record() for _ in range(16)]

    def steps(count: int, *, found: bool = False) -> int:
        looked = 0
        for _ in range(count):
            for at in policy.lookers(16):
                if policy.looks(records[at]):
                    looked += 1
                    policy.looked(records[at], found)
        return looked

    assert steps(200) < 16 * 60
    turns = set()
    for _ in range(700):
        who = policy.lookers(16)
        assert len(who) <= 1
        turns |= set(who)
        for at in who:
            assert policy.looks(records[at])
            policy.looked(records[at], False)
    assert turns == set(range(16))
    assert 0 < steps(320) <= 11
    assert steps(64, found=True) >= 16 * 31  # one find, and all look again
    assert policy.lookers(16) == range(16)
