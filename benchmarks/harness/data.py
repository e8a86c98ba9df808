"""The evaluation data: real data sets beside the checkout, never shipped."""

from __future__ import annotations

from pathlib import Path

DEFAULT_DATA = Path(__file__).parents[2].parent / "shared" / "data"


class MissingDataError(FileNotFoundError):
    """A benchmark's data set is not on this machine."""


def data_folder(root: Path, name: str) -> Path:
    """The folder of one data set. Raises MissingDataError with the way out."""
    folder = root / name
    if not folder.is_dir():
        raise MissingDataError(
            f"data set {name!r} is not in {root}; name its folder with --data DIR."
        )
    return folder
