"""How the fake backend writes an answer that forks: its branches in turn, a piece of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from ramify.backend.contract import Delta, Request, TokenPrompt, Usage
from ramify.backend.fake.answers import Writer
from ramify.backend.forks import ForkRule, Stretch
from ramify.backend.tokenizer import Tokenizer

_Growing = Iterator["Delta | tuple[Stretch, tuple[int, ...]]"]


def grow(
    writer: Writer, tokenizer: Tokenizer, request: Request, rule: ForkRule, *, chunk: int
) -> Iterator[Delta]:
    """The deltas of all branches; each branch's last has its finish and its output tokens."""
    prompt = request.prompt.ids
    begin = Stretch(rule, request.sampling)
    live = deque([_branch(writer, tokenizer, begin, prompt, chunk)])
    while live:
        branch = live.popleft()
        for item in branch:
            if isinstance(item, Delta):
                yield item
                live.append(branch)
                break
            child, ids = item
            yield Delta((rule.child,), branch=child.branch)
            live.append(_branch(writer, tokenizer, child, ids, chunk))


def _branch(
    writer: Writer, tokenizer: Tokenizer, stretch: Stretch, ids: tuple[int, ...], chunk: int
) -> _Growing:
    """The deltas of one branch, and its children with the path that leads to them."""
    rule, branch, output = stretch.rule, stretch.branch, stretch.own
    while True:
        sampling = stretch.own_sampling()
        stops = (*sampling.stop_ids, rule.fork)
        written = writer.write(
            TokenPrompt(ids), replace(sampling, stop_ids=stops), None, stretch.bans
        )
        for at in range(0, len(written.ids), chunk):
            part = written.ids[at : at + chunk]
            logprobs = written.logprobs[at : at + chunk]
            yield Delta(part, tokenizer.decode(part), logprobs=logprobs, branch=branch)
        output += len(written.ids)
        if written.stop_id != rule.fork:
            usage = Usage(output_tokens=output)
            stop = written.stop_id
            yield Delta(finish=written.finish, usage=usage, branch=branch, stop_id=stop)
            return
        output += 1
        ids = (*ids, *written.ids, rule.fork)
        after, child = stretch.fork(len(written.ids) + 1, len(written.text))
        if child is not None:
            yield Delta((rule.fork,), branch=branch)
            yield child, (*ids, rule.child)
        if after is None:
            rest = () if child is not None else (rule.fork,)
            yield Delta(rest, finish="length", usage=Usage(output_tokens=output), branch=branch)
            return
        if child is None:
            yield Delta((rule.fork,), branch=branch)
        stretch = after
