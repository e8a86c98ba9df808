"""Several backends of one model as one: `Fleet([...])`."""

from ramify.backend.fleet.backend import Fleet
from ramify.backend.fleet.replica import Breaker, Replica
from ramify.backend.fleet.router import Router

__all__ = ["Breaker", "Fleet", "Replica", "Router"]
