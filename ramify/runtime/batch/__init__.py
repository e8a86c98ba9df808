"""Running one program over many rows."""

from ramify.runtime.batch.batch import Batch, BatchOptions

__all__ = ["Batch", "BatchOptions"]
