"""Values used as plain text in a way that only Python's own errors notice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ramify.dsl.marker import named_in
from ramify.errors import RamifyError, ValueUseError, Where

_VALUE = re.compile(r"\bValue\b")  # "expected str instance, Value found"


@contextmanager
def naming_misuse(program: str) -> Iterator[None]:
    """Around a program's own code: a TypeError about a `Value` becomes a ValueUseError with the way
    out, and an error whose text holds a marker gets a note with the value's name. Everything else
    comes out as it is."""
    try:
        yield
    except RamifyError:
        raise
    except TypeError as error:
        if not _VALUE.search(str(error)):
            raise
        raise ValueUseError(
            f"a value that does not exist yet was used as plain text or data ({error}).",
            hint="Put it into an f-string or rf.lines(...), or resolve it first: str(value).",
            where=Where(program),
        ) from error
    except Exception as error:
        name = named_in(str(error))
        if name is not None:
            error.add_note(
                f"The value {name!r} stands in this text, and it does not exist yet: "
                "resolve it first with str(value), or use rf.call(function, value)."
            )
        raise
