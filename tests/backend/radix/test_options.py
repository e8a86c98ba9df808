"""Options of the backend, as objects and as text."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from ramify.backend.radix.options import RadixOptions, free_host_bytes, pool_slots
from ramify.errors import BackendError


def test_text_is_read_as_what_it_should_be() -> None:
    options = RadixOptions.of(threads="2", cache="false", dtype="float32", pool_tokens="100")
    assert (options.threads, options.cache, options.dtype) == (2, False, "float32")
    assert options.pool_tokens == 100 and options.max_batch == 64
    assert RadixOptions.of(remote_code="yes", threads=3).remote_code


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"theads": 2}, "Did you mean 'threads'"),
        ({"xyzzy": 2}, "It has device, dtype"),
        ({"threads": "two"}, "threads='two' is not a whole number"),
        ({"cache": "maybe"}, "neither true nor false"),
        ({"dtype": "int4"}, "one of auto, float32, bfloat16"),
        ({"pool_tokens": 0}, "pool_tokens=0 is not allowed"),
        ({"max_batch": "-1"}, "max_batch=-1 is not allowed"),
    ],
)
def test_wrong_options(given: dict[str, object], says: str) -> None:
    with pytest.raises(BackendError, match=says):
        RadixOptions.of(**given)


def test_every_option_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "engine.md").read_text("utf-8")
    for field in fields(RadixOptions):
        assert f"`{field.name}`" in guide


def test_the_pool_fits_what_there_is() -> None:
    def slots(**options: int) -> int:
        return pool_slots(
            RadixOptions(**options), slot_bytes=1000, context=512, free_bytes=lambda: 4_000_000
        )

    assert slots() == 1000
    assert slots(max_batch=1) == 512
    assert slots(pool_tokens=77) == 77
    assert slots(pool_bytes=50_000) == 50
    assert free_host_bytes() > 1 << 20
