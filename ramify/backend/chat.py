"""A chat template as tokens: what opens and closes a message of each role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from ramify.backend.chat_template import Before, Headers, TemplateSource, read_template
from ramify.backend.tokenizer import Tokenizer
from ramify.errors import CapabilityError
from ramify.ir.prompt import Role

ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of one role as tokens: `open`, then tail and content as text, then `close`."""

    open: tuple[int, ...]
    answer_open: tuple[int, ...]  # in place of `open` where the model writes the message
    tail: str = ""  # spaces between header and content, glued to the message's first text
    close: tuple[int, ...] = ()

    @property
    def shared(self) -> int:
        """How many tokens `open` and `answer_open` have in common at their front."""
        same = 0
        for a, b in zip(self.open, self.answer_open, strict=False):
            if a != b:
                break
            same += 1
        return same


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How a model's conversations are written, found once per model.

    `turns` holds the message of each role as it stands in the middle of a conversation, `after`
    those that differ by what stands before them (a merged system message, a default system message
    that the template writes where the program has none). Contents are taken as they are: where a
    template would trim them, Ramify does not. Alternation is not enforced: a role after a role
    that the template refuses there is written as in the middle of a conversation.
    """

    name: str  # of the model or template, for people
    start: tuple[int, ...]  # what stands before the first message
    turns: Mapping[Role, Turn]
    after: Mapping[tuple[Before, Role], Turn] = field(default_factory=dict)
    refused: Mapping[Role, str] = field(default_factory=dict)  # role -> the template's own reason

    def turn(self, role: Role, before: Before = "text") -> Turn:
        """The message of a role after what stands before it.

        Raises CapabilityError where the template has no such role.
        """
        turn = self.after.get((before, role)) or self.turns.get(role)
        if turn is None:
            known = ", ".join(self.turns) or "no role at all"
            reason = self.refused.get(role, "the template has no such role")
            raise CapabilityError(
                f"the chat template of {self.name} cannot write a {role} message ({reason}).",
                hint=f"It can write: {known}.",
            )
        return turn

    def answer_ends(self) -> dict[tuple[int, ...], str]:
        """For each run of tokens after which the model writes a message, the tail it begins with.

        Only runs with a tail, and never an empty run.
        """
        found: dict[tuple[int, ...], str] = {}
        places: tuple[Before, ...] = ("text", "start", *ROLES)
        for before in places if "assistant" in self.turns else ():
            turn = self.turn("assistant", before)
            run = turn.answer_open
            if not run:
                run = next((self.turns[role].close for role in self.turns if role == before), ())
            if run and turn.tail:
                found[run] = turn.tail
        return found

    @classmethod
    def plain(cls, tokenizer: Tokenizer) -> ChatFormat:
        """The format for a model without a chat template: lines of text.

        ``System: ...``, ``User: ...``, ``Assistant: ...``, ``Tool: ...``, each ended by a newline,
        after the tokenizer's start tokens. The space after the colon is the tail.
        """
        close = tokenizer.encode("\n")
        turns: dict[Role, Turn] = {}
        after: dict[tuple[Before, Role], Turn] = {}
        for role in ROLES:
            header = f"{role.capitalize()}:"
            open_ = tokenizer.encode(header)
            turns[role] = Turn(open_, open_, " ", close)
            first = tokenizer.encode(header, first=True)
            if first != open_:
                after["start", role] = Turn(first, first, " ", close)
        return cls(f"{tokenizer.name} (no chat template)", tokenizer.start_ids, turns, after)

    @classmethod
    def from_template(cls, tokenizer: TemplateSource) -> ChatFormat:
        """The format that a tokenizer's chat template describes; `plain` where it has none.

        The template is rendered with placeholder contents and cut at them. A conversation without
        a system message begins as the template begins it, with its own default system message
        where it has one. Where the template has no system role, a system message at the start is
        written in front of the first user message, two newlines between them.

        Raises ModelLoadError where the template cannot write a plain conversation at all.
        """
        if not tokenizer.has_template:
            return cls.plain(tokenizer)
        found = read_template(tokenizer)
        encode = tokenizer.encode_control
        start = tokenizer.start_ids
        places = {place: _turn(encode, found, *place) for place in found.headers}
        firsts = [turn.open for (before, _), turn in places.items() if before == "start"]
        if any(ids[: len(start)] != start for ids in firsts):
            start = ()  # a template that leaves the start tokens out knows why
        for place, turn in places.items():
            if place[0] == "start":
                places[place] = replace(
                    turn,
                    open=_without(start, turn.open),
                    answer_open=_without(start, turn.answer_open),
                )
        turns = {role: places[before, role] for role, before in found.usual.items()}
        after = {place: turn for place, turn in places.items() if turn != turns.get(place[1])}
        return cls(tokenizer.origin, start, turns, after, found.refused)


def _without(start: tuple[int, ...], ids: tuple[int, ...]) -> tuple[int, ...]:
    return ids[len(start) :] if ids[: len(start)] == start else ids


def _turn(
    encode: Callable[[str], tuple[int, ...]], found: Headers, before: Before, role: Role
) -> Turn:
    header = found.headers[before, role]
    text = header.text.removesuffix(header.tail)
    return Turn(encode(text), encode(header.answer), header.tail, encode(found.close[role]))
