"""Trying an answer again without saying anything twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from ramify.backend.contract import Delta, Request
from ramify.errors import BackendDiedError, BackendError, Where


class DifferentAnswerError(Exception):
    """The second try did not begin with what the first one had said."""


@dataclass(slots=True)
class _Said:
    ids: list[int] = field(default_factory=list)
    text: str = ""
    ended: bool = False


class Resumed:
    """Passes deltas on; after `restart`, leaves out what was said before.

    Ids and texts are told apart by themselves, because another try may cut them elsewhere.
    """

    def __init__(self) -> None:
        self._said: dict[int, _Said] = {}
        self._again: dict[int, _Said] = {}

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return any(said.ids or said.text for said in self._said.values())

    def restart(self) -> None:
        """What comes now is said again from its beginning."""
        self._again = {
            index: _Said() for index, said in self._said.items() if said.ids or said.text
        }

    def passed(self, delta: Delta) -> Delta | None:
        """What is new in a delta; None for nothing. Raises DifferentAnswerError."""
        said = self._said.setdefault(delta.index, _Said())
        if said.ended:
            return None
        said.ended = delta.finish is not None
        again = self._again.get(delta.index)
        if again is None:
            said.ids += delta.ids
            said.text += delta.text
            return delta
        ids, text = again.ids + list(delta.ids), again.text + delta.text
        known_ids, known_text = min(len(said.ids), len(ids)), min(len(said.text), len(text))
        if ids[:known_ids] != said.ids[:known_ids] or text[:known_text] != said.text[:known_text]:
            raise DifferentAnswerError
        if said.ended and (len(ids) < len(said.ids) or len(text) < len(said.text)):
            raise DifferentAnswerError
        new_ids = tuple(ids[max(len(said.ids), len(again.ids)) :])
        new_text = text[max(len(said.text), len(again.text)) :]
        logprobs = delta.logprobs[len(delta.logprobs) - len(new_ids) :] if new_ids else ()
        again.ids, again.text = ids, text
        if len(ids) >= len(said.ids) and len(text) >= len(said.text):
            said.ids, said.text = ids, text
            del self._again[delta.index]
        if not new_ids and not new_text and delta.finish is None:
            return None
        return replace(delta, ids=new_ids, text=new_text, logprobs=logprobs)


async def resumed(
    request: Request,
    name: str,
    once: Callable[[], AsyncGenerator[Delta]],
    again: Callable[[BackendError], Awaitable[None]],
) -> AsyncGenerator[Delta]:
    """The deltas of a request, however many tries (`once`) they take.

    After a failure `again` waits until it makes sense to try again, or raises the error. An answer
    that had begun is only tried again if it is deterministic. Raises BackendDiedError where another
    try begins another answer.
    """
    said = Resumed()
    while True:
        try:
            async with aclosing(once()) as deltas:
                async for delta in deltas:
                    new = said.passed(delta)
                    if new is not None:
                        yield new
            return
        except DifferentAnswerError:
            raise BackendDiedError(
                f"{name!r} broke off in the middle of an answer and, asked again, began another "
                "one.",
                hint="Run the node again: Policy(retry=Retry(attempts=2)).",
                where=Where(node=request.label),
            ) from None
        except BackendError as error:
            if said.begun and not request.sampling.deterministic:
                raise
            await again(error)
        said.restart()
