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
