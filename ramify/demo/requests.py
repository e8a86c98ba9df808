"""What the demo model is asked for, word for word, besides questions about one fact."""

from __future__ import annotations

SYSTEM = "Answer from the passages. Cite them as [n]."
POINT = "Write only this point: {title}"
LIST_POINTS = "List the points as JSON."  # behind a message "Describe Aldmoor."
BY_POINTS = "Describe {town} point by point."  # with fork tokens
PLAN = "Plan the answer."  # behind a message with the question
KNOWN = "Known:\n"  # then a line "- question answer" for each known fact, and an empty line
CONCLUDE = "Now answer the question."  # behind the question and what is known
FORK, CHILD = "<|fork|>", "<|child|>"
