"""The text of an answer that forks: each child's text stands where it branched off."""

from __future__ import annotations

from dataclasses import dataclass, field

from ramify.backend.contract import Delta
from ramify.backend.forks import Path


@dataclass(slots=True)
class _Branch:
    text: str = ""
    forks: list[int] = field(default_factory=list)  # lengths of `text` at its forks
    children: list[_Branch] = field(default_factory=list)  # of the first of these forks
    ended: bool = False
    given: int = 0  # of `text`: read already
    entered: int = 0  # of `children`: read, or being read


class ForkText:
    """Takes the deltas of all branches in any order, gives the text in the order of reading.

    What stands first is given as it comes. Behind a fork, a parent's text waits for the child.
    """

    def __init__(self, fork: int) -> None:
        self._fork = fork
        self._branches: dict[Path, _Branch] = {(): _Branch()}
        self._open = [self._branches[()]]  # the branch being read, and those that it is in

    def take(self, delta: Delta) -> str:
        """The text that can be read now and could not before."""
        path = delta.branch.path
        branch = self._branches.get(path)
        if branch is None:
            branch = self._branches[path] = _Branch()
            self._branches[path[:-1]].children.append(branch)
        branch.text += delta.text
        if delta.ids and delta.ids[-1] == self._fork:
            branch.forks.append(len(branch.text))
        if delta.finish is not None:
            branch.ended = True
        return self._read(over=False)

    def end(self) -> str:
        """The rest, once every branch has ended: of a fork that made no child (there was no room
        for one) that is only known now."""
        return self._read(over=True)

    def _read(self, over: bool) -> str:
        found: list[str] = []
        while self._open:
            branch = self._open[-1]
            at = branch.entered
            more = at < len(branch.children if over else branch.forks)
            stop = branch.forks[at] if more else len(branch.text)
            found.append(branch.text[branch.given : stop])
            branch.given = stop
            if more and at < len(branch.children):
                branch.entered += 1
                self._open.append(branch.children[at])
            elif not more and branch.ended:
                self._open.pop()
            else:
                break
        return "".join(found)

    def text(self) -> str:
        """The whole text so far, told by walking the tree: the naive twin of what `take` gave."""

        def told(branch: _Branch) -> str:
            parts, at = [], 0
            for place, child in zip(branch.forks, branch.children, strict=False):
                parts += [branch.text[at:place], told(child)]
                at = place
            return "".join([*parts, branch.text[at:]])

        return told(self._branches[()])

    @property
    def count(self) -> int:
        """Branches, the main one counted."""
        return len(self._branches)
