"""What the benchmarks share: options, reports, timing, machine, models, data."""

from benchmarks.harness.data import DEFAULT_DATA, MissingDataError, data_folder
from benchmarks.harness.report import Options, Report
from benchmarks.harness.timing import Contender, Timing, interleave

__all__ = [
    "DEFAULT_DATA",
    "Contender",
    "MissingDataError",
    "Options",
    "Report",
    "Timing",
    "data_folder",
    "interleave",
]
