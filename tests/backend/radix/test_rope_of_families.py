"""How the queries of each family turn with positions, found by asking the model."""

from __future__ import annotations

import pytest

from ramify.backend.radix.find_rope import find_rope
from ramify.errors import CapabilityError
from tests.backend.radix.harness import CPU, body, load
from tests.backend.radix.models import FAMILIES

HALVES = (8, False)  # turning pairs of a head, of dimensions i and i + 8
SPECIAL = {
    "cohere": ([(8, True)], (0, 0)),  # neighbouring dimensions
    "gpt_neox": ([(4, False)], (0, 0)),  # half of a head turns
    "gemma3": ([HALVES, HALVES], (1, 0)),  # sliding layers have frequencies of their own
    "smollm3": ([HALVES], (0, None)),  # a layer without positions
}
NONE = {
    "gpt2": "learned or absolute",
    "opt": "learned or absolute",
    "deepseek_v3": "do not just turn",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_rotation_of_every_family(family: str) -> None:
    model = load(family)
    if family in NONE:
        with pytest.raises(CapabilityError, match=rf"^{family} cannot read.*{NONE[family]}"):
            find_rope(model, body(family), context=512, device=CPU)
        return
    found = find_rope(model, body(family), context=512, device=CPU)
    kinds, layers = SPECIAL.get(family, ([HALVES], (0, 0)))
    assert [(len(kind.frequencies), kind.interleaved) for kind in found.kinds] == kinds
    assert found.layers == layers
