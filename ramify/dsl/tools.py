"""Python functions as tools: what a model is told of them, what it calls, what it gets back."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError

from ramify.errors import ProgramError
from ramify.ir.tools import Tool, read

Function = Callable[..., Any]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class ToolCall(BaseModel):
    """A call that a model asks for."""

    name: str
    arguments: dict[str, Any]


class Reply(BaseModel):
    """What a generation with tools gives: text, or calls with perhaps some text before them."""

    text: str
    calls: list[ToolCall]

    def __str__(self) -> str:
        return self.text


def by_name(functions: Sequence[Function]) -> dict[str, Function]:
    """The functions in the order of their names, so that a prompt that lists them stays the same.

    Raises ProgramError where one has no name that a model can call it by, or two have the same.
    """
    if callable(functions) or not functions:
        raise ProgramError(
            f"tools={functions!r} is not allowed.",
            hint="Give a list of functions: tools=[look_up].",
        )
    found: dict[str, Function] = {}
    for function in sorted(functions, key=lambda one: getattr(one, "__name__", "")):
        name = getattr(function, "__name__", "")
        if not callable(function) or not _NAME.fullmatch(name):
            raise ProgramError(
                f"{function!r} cannot be a tool.", hint="A tool is a function with a name (def)."
            )
        if name in found:
            raise ProgramError(f"two tools are named {name!r}.", hint="Rename one.")
        found[name] = function
    return found


def tool_of(function: Function) -> Tool:
    """What a model is told of a function: its name, the first paragraph of its docstring, and its
    arguments by their types. Raises ProgramError for a signature that cannot be told."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(function)  # type: ignore[arg-type]
        schema = adapter.json_schema()
    except (PydanticUserError, NameError) as error:
        raise ProgramError(
            f"{function.__name__!r} cannot be a tool: {str(error).splitlines()[0]}",
            hint="Give its arguments types that JSON has.",
        ) from error
    if schema.get("type") != "object":  # arguments that have no names
        raise ProgramError(
            f"{function.__name__!r} cannot be a tool: a model calls it by the names of arguments.",
            hint="Leave out positional-only arguments and *args.",
        )
    described = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    return Tool(function.__name__, described, json.dumps(_untitled(schema), separators=(",", ":")))


def read_reply(text: str) -> Reply:
    """A reply from the text that a model wrote. Raises ValueError for calls of no known form."""
    said, calls = read(text)
    return Reply(
        text=said,
        calls=[ToolCall(name=c.name, arguments=json.loads(c.arguments)) for c in calls],
    )


def asked(functions: Mapping[str, Function], wanted: ToolCall) -> Function:
    """What a model asks for, to be called without arguments.

    For a name or arguments that do not exist it gives what to tell the model, which may try again.
    """
    name = wanted.name
    function = functions.get(name)
    if function is None:
        return _said(name, f"There is no function {name!r}. There are: {', '.join(functions)}.")
    try:
        inspect.signature(function).bind(**wanted.arguments)
        arguments = _typed(function, wanted.arguments)
    except (TypeError, ValidationError) as error:
        return _said(name, f"{name} was not called: {error}")
    return _named(name, functools.partial(function, **arguments))


def _typed(function: Function, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the types of the function's signature."""
    kinds = inspect.get_annotations(function, eval_str=True)
    return {
        name: TypeAdapter(kinds.get(name, Any)).validate_python(value)
        for name, value in arguments.items()
    }


def _said(name: str, text: str) -> Function:
    return _named(name, functools.partial(str, text))


def _named(name: str, bound: functools.partial[Any]) -> Function:
    bound.__name__ = name  # type: ignore[attr-defined]
    return bound


def _untitled(schema: Any) -> Any:
    """The schema without the titles that pydantic makes of names."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _untitled(item)
        for key, item in schema.items()
        if not (key == "title" and isinstance(item, str))
    }
