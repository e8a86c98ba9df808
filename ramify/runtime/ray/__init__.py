"""Batches on Ray: rows go to actors that each hold an engine. `ray` is imported when it is used."""

from ramify.runtime.ray.options import RayOptions
from ramify.runtime.ray.partition import chunks
from ramify.runtime.ray.pool import RowDone, run_on_ray
from ramify.runtime.ray.tables import read_rows, write_table

__all__ = ["RayOptions", "RowDone", "chunks", "read_rows", "run_on_ray", "write_table"]
