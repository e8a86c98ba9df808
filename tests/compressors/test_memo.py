from dataclasses import replace

from ramify.compressors import Compressed
from ramify.compressors.memo import Memo, key_of
from ramify.retrieval import Passage, Passages


def made(text: str) -> Compressed:
    return Compressed(value=text, kept=(), tokens_before=1, tokens_after=1, target=1, method="test")


def test_the_oldest_is_forgotten() -> None:
    memo = Memo(size=2)
    for name in "abc":
        if name == "c":
            assert memo.get("a") == made("a")  # used: b is the oldest now
        memo.put(name, made(name))
    assert memo.get("b") is None and memo.get("a") == made("a") and len(memo) == 2


def test_keys_differ_where_results_may() -> None:
    class Tokens:
        def count(self, text: str) -> int:
            return len(text)

    tokens = Tokens()
    base = Passage(id="a", text="x y", meta={"year": [1]})
    sources = [
        "x y",
        "[1] x y",
        Passages.of([base]),
        Passages.of([base, base])[1:],
        Passages.of([replace(base, title="t")]),
        Passages.of([replace(base, meta={"year": [2]})]),
        Passages.of(["x", "y"]),
        Passages.of(["x\0y"]),
    ]
    keys = {key_of(source, None, 0.5, None, tokens.count) for source in sources}
    keys |= {key_of("x y", "q", 0.5, None, tokens.count), key_of("x y", None, None, 5, len)}
    keys |= {key_of("x y", None, 0.5, None, Tokens().count)}
    assert len(keys) == len(sources) + 3
    assert key_of("x y", None, 0.5, None, tokens.count) in keys  # bound methods are equal
