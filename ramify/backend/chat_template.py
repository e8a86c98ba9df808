"""Reading a chat template: it is rendered with placeholder contents and cut at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ramify.backend.tokenizer import Tokenizer
from ramify.errors import CapabilityError, ModelLoadError
from ramify.ir.prompt import Role

Before = Role | Literal["start", "text"]
"""What stands before a message: a message of a role, the start of the conversation, or raw text."""

Messages = Sequence[Mapping[str, str]]

# Conversations that end with a role, the fullest first: a template may refuse the shorter ones.
_LEADS: dict[Before, tuple[tuple[Role, ...], ...]] = {
    "start": ((),),
    "system": (("system",),),
    "user": (("system", "user"), ("user",)),
    "assistant": (("system", "user", "assistant"), ("user", "assistant")),
    "tool": (("system", "user", "assistant", "tool"), ("user", "assistant", "tool")),
}
# What may follow a role, so that it stands in the middle: templates treat the last one specially.
_FOLLOW: dict[Role, tuple[tuple[Role, ...], ...]] = {
    "system": (("user", "assistant", "user"), ("user",), ()),
    "user": (("assistant", "user"), ("assistant",), ()),
    "assistant": (("user",), ()),
    "tool": (("assistant", "user"), ("assistant",), ()),
}
# Where a role belongs, the usual place first: a template that refuses it there has no such role
# (some let a role pass for another one elsewhere).
_USUAL: dict[Role, tuple[Before, ...]] = {
    "system": ("start",),
    "user": ("assistant", "system", "start"),
    "assistant": ("user",),
    "tool": ("assistant",),
}
_MERGED_GAP = "\n\n"  # between a system message and the user message that it is written into


class TemplateSource(Tokenizer, Protocol):
    """A tokenizer that may have a chat template."""

    has_template: bool
    origin: str  # where it came from, for people

    def render_template(self, messages: Messages, *, answer: bool) -> str:
        """The template's text for messages, with the generation prompt if `answer`.

        Raises CapabilityError, with the template's reason, where it refuses them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """The text before a message's content: as history, and where the model is to write it."""

    text: str
    answer: str

    @property
    def tail(self) -> str:
        """Trailing spaces of the header that are not part of the generation prompt."""
        spaces = len(self.text) - len(self.text.rstrip(" "))
        if self.answer.startswith(self.text) or (spaces and self.answer.endswith(" ")):
            return ""
        start = len(self.text) - spaces
        if self.text.startswith(self.answer):
            start = max(start, len(self.answer))
        return self.text[start:]


@dataclass(frozen=True, slots=True)
class Headers:
    """What was found out about a template, as text."""

    headers: dict[tuple[Before, Role], Header]
    usual: dict[Role, Before]  # the place whose header stands for a role where none is known
    close: dict[Role, str]
    refused: dict[Role, str]  # role -> why


def read_template(source: TemplateSource) -> Headers:
    """Find what opens and closes a message of each role, after each kind of message.

    Raises ModelLoadError where not even a user and an assistant message can be written.
    """
    probe = _Probe(source)
    close = {role: probe.close(role) for role in _FOLLOW}
    headers: dict[tuple[Before, Role], Header] = {}
    usual: dict[Role, Before] = {}
    refused: dict[Role, str] = {}
    for role in _FOLLOW:
        found = {before: probe.header(before, role, close) for before in _LEADS}
        place = next((before for before in _USUAL[role] if found[before] is not None), None)
        if place is None:
            refused[role] = probe.reason(role)
            continue
        usual[role] = place
        headers.update({(b, role): header for b, header in found.items() if header is not None})
    for role in ("user", "assistant"):
        if role in refused:
            raise ModelLoadError(
                f"the chat template of {source.origin} cannot write a plain conversation: "
                f"{refused[role]}.",
                hint="Open the model without its template, or repair the template.",
            )
    result = Headers(headers, usual, close, refused)
    _merge_system(result)
    return result


def _merge_system(found: Headers) -> None:
    """A system message that is written into the first user message (Llama 2, Gemma)."""
    headers, close = found.headers, found.close
    if "system" in found.refused and ("start", "user") in headers:
        headers["start", "system"] = headers["start", "user"]
        headers["system", "user"] = Header(_MERGED_GAP, _MERGED_GAP)
        close["system"] = ""
    if close["system"] == "" and ("system", "assistant") not in headers:
        usual = headers[found.usual["assistant"], "assistant"]
        end = close["user"]
        headers["system", "assistant"] = Header(end + usual.text, end + usual.answer)


class _Probe:
    """Renders conversations of placeholders and cuts the text at them."""

    def __init__(self, source: TemplateSource) -> None:
        self._source = source
        self._seen: dict[tuple[tuple[Role, ...], bool], list[str] | str] = {}

    def cut(self, roles: tuple[Role, ...], *, answer: bool = False) -> list[str] | None:
        """The texts around the contents of a conversation: one more than there are messages.

        None where the template refuses the conversation or moves or changes a content.
        """
        key = (roles, answer)
        if key not in self._seen:
            self._seen[key] = self._render(roles, answer)
        found = self._seen[key]
        return found if isinstance(found, list) else None

    def _render(self, roles: tuple[Role, ...], answer: bool) -> list[str] | str:
        contents = [f"Zq{number}xJ" for number in range(len(roles))]
        messages = [
            {"role": role, "content": content}
            for role, content in zip(roles, contents, strict=True)
        ]
        try:
            rest = self._source.render_template(messages, answer=answer)
        except CapabilityError as error:
            return error.what
        parts: list[str] = []
        for content in contents:
            if rest.count(content) != 1:
                return "it leaves out the message's text, moves it or repeats it"
            part, _, rest = rest.partition(content)
            parts.append(part)
        return [*parts, rest]

    def reason(self, role: Role) -> str:
        """Why the template cannot write a role."""
        for roles in reversed(_LEADS[role]):
            found = self._seen.get((roles, False))
            if isinstance(found, str):
                return found
        return "it has no such role"

    def close(self, role: Role) -> str:
        """What ends a message of a role, whatever follows; "" where that depends on what does."""
        last = next((cut[-1] for roles in _LEADS[role] if (cut := self.cut(roles))), None)
        if last is None:
            return ""
        between = [self._between(role, follower) for follower in _FOLLOW]
        return last if all(text is None or text.startswith(last) for text in between) else ""

    def _between(self, before: Before, role: Role) -> str | None:
        """The text between a message and the one after it, in the middle of a conversation."""
        for follow in _FOLLOW[role]:
            for lead in _LEADS[before]:
                cut = self.cut((*lead, role, *follow))
                if cut is not None:
                    return cut[len(lead)]
        return None

    def header(self, before: Before, role: Role, close: Mapping[Role, str]) -> Header | None:
        """What opens a message of a role after something; None where the template refuses."""
        text = self._between(before, role)
        if text is None:
            return None
        end = "" if before in ("start", "text") else close[before]  # type: ignore[index]
        text = text.removeprefix(end)
        if role != "assistant":
            return Header(text, text.rstrip(" "))
        for lead in _LEADS[before]:
            cut = self.cut(lead, answer=True) if lead else None
            if cut is not None:
                return Header(text, cut[-1].removeprefix(end))
        return Header(text, text.rstrip(" "))
