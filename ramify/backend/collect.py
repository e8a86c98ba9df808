"""Streams read to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from ramify.backend.contract import Delta, Finish, TokenLogprobs, Usage
from ramify.backend.forks import MAIN, Branch, Path


@dataclass(slots=True)
class Collected:
    """A branch read to its end, with the branches that came off it."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    finish: Finish = "length"
    usage: Usage = field(default_factory=Usage)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    branch: Branch = MAIN
    children: list[Collected] = field(default_factory=list)  # in order of their forks
    stop_id: int | None = None

    def walk(self) -> Iterator[Collected]:
        """This branch and all below it, in the order of their paths."""
        yield self
        for child in self.children:
            yield from child.walk()

    def whole(self) -> str:
        """The text with each child's text where it branched off."""
        parts, at = [], 0
        for child in self.children:
            parts += [self.text[at : child.branch.chars], child.whole()]
            at = child.branch.chars
        return "".join((*parts, self.text[at:]))


async def collect(stream: AsyncIterator[Delta]) -> Collected:
    """Read the stream of one answer to its end; the main branch, its children below it."""
    found: dict[Path, Collected] = {(): Collected()}
    texts: dict[Path, list[str]] = {(): []}
    async for delta in stream:
        path = delta.branch.path
        done = found.get(path)
        if done is None:
            done = found[path] = Collected(branch=delta.branch)
            texts[path] = []
            found[delta.branch.parent].children.append(done)
        done.ids.extend(delta.ids)
        texts[path].append(delta.text)
        done.logprobs.extend(delta.logprobs)
        if delta.finish is not None:
            done.finish, done.stop_id = delta.finish, delta.stop_id
            done.usage = delta.usage or done.usage
    for path, done in found.items():
        done.text = "".join(texts[path])
        done.children.sort(key=lambda child: child.branch.path)
    return found[()]
