"""Routers: which questions suit an answer in parts that are written side by side.

A router gives a chance between 0 and 1; over a half it suits. A wrong yes costs quality, a wrong no
only time, so routers are trained and tuned to say no when in doubt.
"""

from ramify.router.contract import Router, RouterMissingError, RouterSpec
from ramify.router.default import default_router, set_default_router
from ramify.router.linear import LinearRouter
from ramify.router.prompt import PromptRouter

__all__ = [
    "LinearRouter",
    "PromptRouter",
    "Router",
    "RouterMissingError",
    "RouterSpec",
    "default_router",
    "set_default_router",
]
