"""The timelines of docs/organize.md."""
