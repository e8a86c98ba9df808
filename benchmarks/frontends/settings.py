"""What the two frontends are measured on: which programs, how many rows, how small a cache."""

from __future__ import annotations

from dataclasses import dataclass

Threads = int | str  # SGLang's `num_threads`; "auto" is its own choice: one for each row, up to 96


@dataclass(frozen=True, slots=True)
class Case:
    """A program and its rows. `make` names a function of `workload`, and `in_order` another one
    that makes the same rows in a better order, for SGLang. `quick`: rows in the short form."""

    program: str
    make: str
    rows: int
    quick: int
    threads: tuple[Threads, ...] = ("auto",)
    in_order: str = ""
    threads_in_order: tuple[Threads, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """Cases on one server, whose cache has `blocks` of 32 tokens."""

    blocks: int
    cases: tuple[Case, ...]


# everything fits: nothing is computed twice by anybody
ROOMY = (
    Setting(
        1024,
        (
            Case("skeleton", "questions", 16, 4),
            Case("tree_of_thought", "questions", 8, 3),
            Case("judge_panel", "questions", 16, 6),
            Case("rag", "readings", 48, 16),
        ),
    ),
)

SHARED = (
    # twelve documents, of which the cache holds four. One run each of other numbers of threads, in
    # seconds: as they come 2: 8.3, 4: 7.5, 8: 8.9, auto: 8.2; sorted 2: 5.7, 4: 4.1, 8: 3.2,
    # auto: 4.6
    Setting(
        96,
        (
            Case(
                "rag",
                "readings",
                48,
                24,
                threads=("auto", 4),
                in_order="sorted_readings",
                threads_in_order=(8,),
            ),
        ),
    ),
)

PRESSED = (
    # a document of its own for each row; the cache holds three rows with their branches. Medians
    # with other numbers of threads: skeleton 3: 3.4, 5: 3.2; tree of thought 3: 4.0, 5: 4.5
    Setting(
        160,
        (
            Case("skeleton", "studies", 8, 6, threads=("auto", 5)),
            Case("tree_of_thought", "studies", 8, 6, threads=("auto", 3)),
            Case("judge_panel", "studies", 10, 8, threads=("auto", 4, 5)),
        ),
    ),
)
