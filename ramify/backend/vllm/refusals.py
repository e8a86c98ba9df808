"""What vLLM says of a request that it does not take, as errors with names."""

from __future__ import annotations

from ramify.errors import BackendError, ConstraintError, Where

_CONSTRAINT = ("grammar", "regex", "schema", "structured")


def is_refusal(error: Exception) -> bool:
    """Whether the request is at fault. vLLM's own validation errors are no ValueErrors."""
    return isinstance(error, ValueError) or any(
        kind.__name__ == "VLLMClientError" for kind in type(error).__mro__
    )


def refusal(error: Exception, label: str) -> BackendError:
    """The error of a refused request."""
    text = " ".join(str(error).split())[:300]
    where = Where(node=label)
    if any(word in text.lower() for word in _CONSTRAINT):
        return ConstraintError(f"vLLM refuses the constraint ({text}).", where=where)
    return BackendError(f"vLLM refuses the request ({text}).", where=where)
