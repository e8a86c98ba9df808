"""The prompts of one program run as tokens, each part rendered once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ramify.backend import contract
from ramify.backend.chat_template import Before
from ramify.backend.render import Answered, Renderer, Values
from ramify.ir.prompt import Answer, Close, Open, Parallel, Prompt, Ref, Role, Segment, Text
from ramify.ir.vectors import Mixed, Vectors

_KEPT = 64  # prompts whose full token tuples are kept; others are put together from their parts


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a conversation a prompt ends."""

    before: Before = "start"  # what stands before the next message
    role: Role | None = None  # of the message that is open
    close: tuple[int, ...] = ()  # what ends it
    tail: str = ""  # spaces still to be glued to its first text
    as_text: tuple[int, ...] = ()  # the rest of its header where text follows,
    as_answer: tuple[int, ...] = ()  # and where the model writes on
    ended: int = -1  # the end token by which an answer that stands last ended itself


START = Place()


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one prompt adds to the tokens of its parent."""

    parent: Part | None
    ids: tuple[int, ...]
    length: int = 0  # tokens up to its end
    blocks: tuple[contract.BlockSpan, ...] = ()  # up to its end
    vectors: tuple[contract.VectorSpan, ...] = ()  # up to its end
    groups: int = 0  # parallel groups up to its end
    place: Place = START


class Rendering:
    """Renders the prompts of one run; each prompt once, in time linear in its new segments."""

    def __init__(self, renderer: Renderer, values: Values) -> None:
        self._renderer = renderer
        self._values = values
        self._parts: dict[Prompt, Part] = {}
        self._full: OrderedDict[Part, tuple[int, ...]] = OrderedDict()

    def render(self, prompt: Prompt, *, for_answer: bool = True) -> contract.TokenPrompt:
        """The tokens of a prompt, with the generation prompt if it is read `for_answer`.

        Raises CapabilityError where the chat template lacks a role, and what `values` raises.
        """
        part = self._part(prompt)
        ids = self._ids(part)
        if for_answer:
            ids += _Writer(self._renderer, self._values, part).answer_header()
        return contract.TokenPrompt(ids, part.blocks, part.vectors)

    def count(self, prompt: Prompt) -> int:
        """How many tokens a prompt has, without the generation prompt."""
        return self._part(prompt).length

    def _part(self, prompt: Prompt) -> Part:
        found = self._parts.get(prompt)
        if found is not None:
            return found
        new: list[Prompt] = []
        walk: Prompt | None = prompt
        while walk is not None and walk.parent is not None and walk not in self._parts:
            new.append(walk)
            walk = walk.parent
        if walk is not None and walk.parent is not None:
            part = self._parts[walk]
            self._ids(part)  # shared by two prompts at least: keep its tokens in one piece
        else:
            part = Part(None, ())
        for step in reversed(new):
            writer = _Writer(self._renderer, self._values, part)
            writer.write(step.segment)  # type: ignore[arg-type]
            part = self._parts[step] = writer.part()
        return part

    def _ids(self, part: Part) -> tuple[int, ...]:
        found = self._full.get(part)
        if found is not None:
            self._full.move_to_end(part)
            return found
        chunks: list[tuple[int, ...]] = []
        walk: Part | None = part
        base: tuple[int, ...] = ()
        while walk is not None:
            known = self._full.get(walk)
            if known is not None:
                base = known
                break
            if walk.ids:
                chunks.append(walk.ids)
            walk = walk.parent
        ids = list(base)
        for chunk in reversed(chunks):
            ids += chunk
        full = self._full[part] = tuple(ids)
        if len(self._full) > _KEPT:
            self._full.popitem(last=False)
        return full


@dataclass(slots=True)
class _Enter:
    """A parallel block begins; every block of a group begins at the same place."""

    place: Place
    start: int = 0


@dataclass(slots=True)
class _Leave:
    """A parallel block ends."""

    entered: _Enter
    group: int
    repair: int


class _Writer:
    """Writes segments after a part."""

    def __init__(self, renderer: Renderer, values: Values, parent: Part) -> None:
        self._tokenizer = renderer.tokenizer
        self._renderer = renderer
        self._values = values
        self._parent = parent
        self._ids: list[int] = []
        self._blocks: list[contract.BlockSpan] = []
        self._vectors = parent.vectors
        self._groups = parent.groups
        self._place = parent.place

    def part(self) -> Part:
        """Everything written."""
        parent = self._parent
        blocks = parent.blocks
        if self._blocks:
            outer_first = sorted(self._blocks, key=lambda s: (s.start, -s.stop, s.group))
            blocks += tuple(outer_first)
        length = parent.length + len(self._ids)
        ids = tuple(self._ids)
        return Part(parent, ids, length, blocks, self._vectors, self._groups, self._place)

    def answer_header(self) -> tuple[int, ...]:
        """What the model reads between the prompt and its own answer."""
        if self._place == START:
            return self._tokenizer.start_ids
        return self._place.as_answer

    def write(self, segment: Segment) -> None:
        work: list[Segment | _Enter | _Leave] = [segment]
        while work:
            item = work.pop()
            if isinstance(item, Text):
                for text in item.parts:
                    self._write_text(text)
            elif isinstance(item, Ref):
                self._write_piece(self._values.piece(item))
            elif isinstance(item, Answer):
                self._write_answer(self._values.answer(item.node))
            elif isinstance(item, Vectors):
                self._write_vectors(item)
            elif isinstance(item, Open):
                self._open(item.role)
            elif isinstance(item, Close):
                self._close()
            elif isinstance(item, Parallel):
                work.extend(reversed(self._unfold(item)))
            elif isinstance(item, _Enter):
                self._place = item.place
                item.start = self._parent.length + len(self._ids)
            else:
                stop = self._parent.length + len(self._ids)
                if stop > item.entered.start:
                    span = contract.BlockSpan(item.entered.start, stop, item.group, item.repair)
                    self._blocks.append(span)

    def _unfold(self, parallel: Parallel) -> list[Segment | _Enter | _Leave]:
        blocks = self._values.blocks(parallel.blocks)
        found: list[Segment | _Enter | _Leave] = []
        if parallel.mode == "text":
            for block in blocks:
                found += block.segments()
            return found
        group = self._groups
        self._groups += 1
        for block in blocks:
            enter = _Enter(self._place)
            found += [enter, *block.segments(), _Leave(enter, group, parallel.repair)]
        return found

    def _write_piece(self, piece: str | Vectors | Mixed) -> None:
        for part in piece.parts if isinstance(piece, Mixed) else (piece,):
            if isinstance(part, Vectors):
                self._write_vectors(part)
            else:
                self._write_text(part)

    def _write_text(self, text: str) -> None:
        place = self._place
        if not text:
            return
        if place == START:
            self._ids += self._tokenizer.start_ids
            self._ids += self._tokenizer.encode(text, first=True)
        else:
            self._ids += place.as_text
            self._ids += self._tokenizer.encode(place.tail + text)
        before = place.before if place.role else "text"
        self._place = Place(before, place.role, place.close)

    def _write_vectors(self, vectors: Vectors) -> None:
        place = self._place
        self._ids += self._tokenizer.start_ids if place == START else place.as_text
        if place.tail:
            self._ids += self._tokenizer.encode(place.tail)
        start = self._parent.length + len(self._ids)
        self._vectors += (contract.VectorSpan(start, vectors),)
        self._ids += (0,) * vectors.count
        self._place = Place(place.before if place.role else "text", place.role, place.close)

    def _write_answer(self, answer: Answered) -> None:
        place = self._place
        self._ids += self.answer_header()
        ids = answer.ids
        if answer.tokenizer_name != self._tokenizer.name:
            ids = self._tokenizer.encode(place.tail + answer.text) if answer.text else ()
        self._ids += ids
        before = place.before if place.role else "text"
        ended = ids[-1] if ids and ids[-1] in self._renderer.end_ids else -1
        self._place = Place(before, place.role, place.close, ended=ended)

    def _open(self, role: Role) -> None:
        place = self._place
        turn = self._renderer.chat.turn(role, place.before)
        if place == START:
            self._ids += self._renderer.chat.start
        shared = turn.shared
        self._ids += turn.open[:shared]
        self._place = Place(
            place.before,
            role,
            turn.close,
            turn.tail,
            turn.open[shared:],
            turn.answer_open[shared:],
        )

    def _close(self) -> None:
        place = self._place
        self._ids += place.as_text
        if place.tail:
            self._ids += self._tokenizer.encode(place.tail)
        close = place.close
        if close and close[0] == place.ended:
            close = close[1:]  # the answer brought its own
        self._ids += close
        self._place = Place(place.role or "text")
