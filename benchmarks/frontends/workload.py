"""What both frontends are given: rows, words and lengths. Standard library only."""

from __future__ import annotations

import random

Row = dict[str, str]

SKELETON, POINT, POINTS = 64, 40, 8  # tokens, tokens, how many
ESSAY, OPINION, VERDICT = 64, 16, 24  # tokens
THOUGHT, RATING, BREADTH, CLOSING = 24, 4, 3, 24
FOUND, QUOTE = 24, 8

LIST_POINTS = "List eight points of the answer, a few words each."
WRITE_POINT = "Write only this point, one or two sentences: number {number}."
JUDGES = ("a historian", "a sailor", "a poet", "a merchant", "a teacher")
ASK_JUDGE = "You are {judge}. What do you think of this answer?"
ASK_VERDICT = "The judges said:\n{opinions}\nGive the verdict of the panel."
THINK = "Think in steps. This is way number {number}; write only the next step."
RATE = "How good is this way?"
CLOSE = "Now answer the question."
FOLLOW_UPS = ("Quote the passage.", "How sure are you?")
READ = "Answer from the document.\n\n{document}\n\n{question}"

_LINES = (
    "The town lies where the river meets the sea, and ships came there for eight hundred years.",
    "Salt, wood, iron and news of other places were what the people of the coast wanted most.",
    "The guild of the coopers owned the eastern wharf until the second of the two great fires.",
    "In winter the ice held the boats for weeks, and the market moved into the long hall.",
    "A lighthouse was built on the northern rock, and its keeper wrote down every ship he saw.",
    "The new canal was dug by hand in eleven summers, and the old harbour lost half of its trade.",
)
SENTENCES = 24  # of a document
DOCUMENTS = 12


def _document(run: str, number: int) -> str:
    """About 600 tokens that no other document begins with."""
    mixed = random.Random(number).choices(_LINES, k=SENTENCES)
    return f"Document {run} {number}.\n" + " ".join(mixed)


def questions(run: str, rows: int) -> list[Row]:
    """Rows with a question of their own; another run has other ones, so nothing is cached yet."""
    return [
        {
            "question": f"Run {run}, visitor {i}: what should I know about the history of the old "
            "harbour, and how did trade and fishing change the lives of the people of the town?"
        }
        for i in range(rows)
    ]


def studies(run: str, rows: int) -> list[Row]:
    """Rows with a document of their own before the question."""
    return [
        {"question": f"{_document(run, i)}\n\nQuestion {i}: what should the town do next?"}
        for i in range(rows)
    ]


def readings(run: str, rows: int) -> list[Row]:
    """Rows that ask about twelve documents, as they happen to come."""
    documents = [_document(run, i) for i in range(DOCUMENTS)]
    found = [
        {
            "document": documents[i % DOCUMENTS],
            "question": f"Question {i}: what is said of the year {1400 + 3 * i}?",
        }
        for i in range(rows)
    ]
    random.Random(7).shuffle(found)
    return found


def sorted_readings(run: str, rows: int) -> list[Row]:
    """The same rows by document, as a user may have sorted them who knows of caches."""
    return sorted(readings(run, rows), key=lambda row: row["document"])
