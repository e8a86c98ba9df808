"""What blocks of a size find of the calls of a run."""

from __future__ import annotations

from benchmarks.block_size import _found
from benchmarks.frontends.replay import Called


def test_whole_blocks_of_what_was_read_or_written_before() -> None:
    calls = [
        Called((1, 2, 3, 4, 5), 2, 0.0, 0, answer=(6, 7)),
        Called((1, 2, 3, 4, 5, 6, 7, 8), 1, 0.0, 1, answer=(1,)),  # its 7 was written, never read
        Called((1, 2, 3, 9, 9), 1, 0.0, 1, answer=(1,)),
    ]
    assert _found(calls, 1) == 6 + 3
    assert _found(calls, 2) == 6 + 2
    assert _found(calls, 4) == 4 + 0
    assert _found(calls[:1] * 2, 1) == 4  # never a prompt's last token
