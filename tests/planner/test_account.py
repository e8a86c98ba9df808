from __future__ import annotations

import pytest

from ramify.errors import GraphError
from ramify.planner import Account


def test_derived_numbers() -> None:
    account = Account(status="done", start_s=1.0, end_s=3.0, prompt_tokens=10, cached_tokens=4)
    assert account.seconds == 2.0
    assert account.computed_tokens == 6
    account.check()


@pytest.mark.parametrize(
    "account",
    [
        Account(status="done", start_s=2.0, end_s=1.0),
        Account(status="done", prompt_tokens=1, cached_tokens=2),
        Account(status="done", output_tokens=-1),
    ],
)
def test_contradictions(account: Account) -> None:
    with pytest.raises(GraphError):
        account.check()
