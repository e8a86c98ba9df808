"""The router that `organize="auto"` asks."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from ramify.errors import RamifyError
from ramify.router.contract import Router
from ramify.router.linear import LinearRouter
from ramify.router.prompt import PromptRouter

_chosen: list[Router | PromptRouter] = []


@lru_cache(maxsize=1)
def _linear() -> LinearRouter:
    return LinearRouter()


def default_router() -> Router | PromptRouter:
    """The router that was set, else the linear one, loaded once.

    Raises RouterMissingError where the linear one lacks its file or its packages.
    """
    return _chosen[0] if _chosen else _linear()


def set_default_router(router: Literal["linear", "prompt"] | Router | PromptRouter) -> None:
    """Choose the router of `organize="auto"`; raises RamifyError for what is none."""
    found: Router | PromptRouter
    if router == "linear":
        _chosen.clear()
        _linear.cache_clear()
        return
    if router == "prompt":
        found = PromptRouter()
    elif isinstance(router, PromptRouter | Router):
        found = router
    else:
        raise RamifyError(
            f"{router!r} is no router.", hint='"linear", "prompt", or an object with suits().'
        )
    _chosen[:] = [found]
