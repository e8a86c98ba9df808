"""The embedded engine: a radix tree of KV, shared-prefix attention, any causal LM.

torch is imported when `RadixBackend` is first asked for, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ramify.backend.radix.backend import RadixBackend

__all__ = ["RadixBackend"]


def __getattr__(name: str) -> Any:
    if name == "RadixBackend":
        from ramify.backend.radix.backend import RadixBackend

        return RadixBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
