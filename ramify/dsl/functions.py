"""Free operations of a program: they add work that is not part of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from ramify.dsl.look import alook, look
from ramify.dsl.trace import Trace, current
from ramify.dsl.value import Value
from ramify.errors import ProgramError
from ramify.ir import Call, Compress, Node, Ref, Rerank, Retrieve
from ramify.runtime.outcome import text_of


def _added(trace: Trace, kind: type[Node], name: str, annotation: Any, **fields: Any) -> Value:
    node_id = trace.graph.next_id()
    trace.graph.add(kind(id=node_id, name=name, scope=trace.program, **fields))
    return Value(trace, Ref(node_id), name or f"{kind.__name__.lower()}#{node_id}", annotation)


def retrieve(index: Any, query: Any, *, k: int = 5, name: str = "", **options: Any) -> Value:
    """The `k` passages of `index` nearest to `query`; options as in `index.search`."""
    trace = current("rf.retrieve")
    if not hasattr(index, "search"):
        raise ProgramError(
            f"{type(index).__name__} is not an index: it cannot search.",
            hint="Make one with rf.Index.open(path) or rf.Index.of(documents).",
            where=trace.where(),
        )
    if type(k) is not int or k < 1:
        raise ProgramError(
            f"k={k!r} is not allowed.", hint="A whole number from 1 up.", where=trace.where()
        )
    return _added(
        trace,
        Retrieve,
        name,
        Any,
        index=index,
        query=trace.lower(query),
        k=k,
        options=tuple(sorted(options.items())),
    )


def rerank(passages: Any, query: Any, *, k: int | None = None, reranker: Any = None) -> Value:
    """Passages ordered anew by relevance to `query`; the first `k` of them."""
    from ramify.retrieval import get_reranker

    trace = current("rf.rerank")
    return _added(
        trace,
        Rerank,
        "",
        Any,
        passages=trace.lower(passages),
        query=trace.lower(query),
        k=k,
        reranker=get_reranker(reranker),
    )


def compress(
    source: Any,
    *,
    rate: float | Literal["auto"] | None = None,
    tokens: int | None = None,
    question: Any = None,
    method: Any = "extractive",
) -> Value:
    """Text or passages, shortened.

    `rate` is the kept fraction of tokens (0.33 keeps a third; "auto" decides by relevance),
    `tokens` the most that is kept. With `question` the parts that matter for it are kept; without
    it the result is the same for every question, so that its prefix stays in the cache. `method`:
    "extractive" keeps sentences, "words" drops function words, "gist" says passages in vectors that
    one model reads (docs/gist.md); or a compressor.
    """
    from ramify.compressors import get_compressor

    trace = current("rf.compress")
    if (rate is None) == (tokens is None):
        raise ProgramError(
            "compress needs a rate or a number of tokens.",
            hint='rate=0.5, rate="auto" or tokens=200.',
            where=trace.where(),
        )
    if isinstance(rate, (int, float)) and not 0 < rate <= 1:
        raise ProgramError(
            f"rate={rate!r} is not allowed.",
            hint="It is the kept fraction: over 0, at most 1.",
            where=trace.where(),
        )
    if tokens is not None and (type(tokens) is not int or tokens < 1):
        raise ProgramError(
            f"tokens={tokens!r} is not allowed.",
            hint="A whole number from 1 up.",
            where=trace.where(),
        )
    return _added(
        trace,
        Compress,
        "",
        Any,
        source=trace.lower(source),
        question=trace.lower(question),
        rate=rate,
        tokens=tokens,
        compressor=get_compressor(method),
    )


def call(
    function: Callable[..., Any],
    *args: Any,
    pure: bool = False,
    settled: bool = False,
    **kwargs: Any,
) -> Value:
    """A Python function or tool as a node: called when its arguments are known.

    A sync function runs on a thread, an async one on the event loop. Unless it is declared `pure`
    (cheap, no effects, same result for the same arguments) it is never dropped, merged or repeated.
    A `settled` one is called also where something that it reads has failed: it gets the error, a
    RamifyError, in the place of that value.
    """
    trace = current("rf.call")
    if not callable(function):
        raise ProgramError(
            f"{function!r} cannot be called.",
            hint="rf.call(function, *values).",
            where=trace.where(),
        )
    return _added(
        trace,
        Call,
        getattr(function, "__name__", ""),
        Any,
        function=function,
        args=tuple(trace.lower(arg) for arg in args),
        kwargs=tuple((key, trace.lower(arg)) for key, arg in kwargs.items()),
        pure=pure,
        settled=settled,
    )


def cite(answer: Any, passages: Any) -> Value:
    """The passages that an answer cites as [n], checked; see `ramify.retrieval.cite`."""
    from ramify.retrieval import cite as find

    return call(find, answer, passages, pure=True)


def resolve(*values: Any) -> list[Any]:
    """The values themselves, all at once: what they need runs side by side.

    A list of values (`branches[name]`) gives a list in its place, branches the list of their texts.
    """
    trace = current("rf.resolve")
    wanted = [_wanted(value) for value in values]
    found = iter(look(trace, list(_refs(trace, wanted)), "rf.resolve"))
    return [_regrouped(value, found) for value in wanted]


async def aresolve(*values: Any) -> list[Any]:
    """The same in async programs."""
    trace = current("rf.aresolve")
    wanted = [_wanted(value) for value in values]
    found = iter(await alook(trace, list(_refs(trace, wanted)), "rf.aresolve"))
    return [_regrouped(value, found) for value in wanted]


def _wanted(item: Any) -> Any:
    """A value, or a list of what is wanted; states and branches say which values they stand for."""
    if isinstance(item, Value):
        return item
    operand = getattr(item, "__ramify_operand__", None)
    if operand is not None and not isinstance(item, type):
        return _wanted(operand())
    if isinstance(item, (list, tuple)):
        return [_wanted(part) for part in item]
    raise ProgramError(
        f"{item!r} is not a value.", hint="rf.resolve takes values and lists of them."
    )


def _refs(trace: Trace, wanted: Any) -> Iterator[Ref]:
    """The values in the order in which they stand there."""
    if isinstance(wanted, Value):
        yield trace.own(wanted)
    else:
        for part in wanted:
            yield from _refs(trace, part)


def _regrouped(wanted: Any, found: Iterator[Any]) -> Any:
    """What was found in the places of the values."""
    if isinstance(wanted, Value):
        return next(found)
    return [_regrouped(part, found) for part in wanted]


def join_lines(*items: Any) -> str:
    flat: list[str] = []
    for item in items:
        if isinstance(item, (list, tuple)):
            flat.extend(text_of(part) for part in item)
        else:
            flat.append(text_of(item))
    return "\n".join(flat)


def lines(*items: Any) -> Value:
    """Values and texts as lines of one text; lists give a line for each item."""
    value = call(join_lines, *items, pure=True)
    value._annotation = str
    return value


def same(item: Any) -> Any:
    return item


def as_value(trace: Trace, item: Any, name: str) -> Value:
    """Anything as a value of that name."""
    if isinstance(item, Value):
        trace.own(item)
        return item
    return _added(
        trace, Call, name, Any, function=same, args=(trace.lower(item),), kwargs=(), pure=True
    )
