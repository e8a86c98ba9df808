"""From a letter to typed data: the schema binds the answer, and Python loops over what it holds."""

import typer
from pydantic import BaseModel

import ramify as rf


class Item(BaseModel):
    article: str
    count: int


class Order(BaseModel):
    customer: str
    items: list[Item]


@rf.program
def extract(s, letter: str):
    s += rf.system("Extract the order from the letter as JSON.")
    s += rf.user(letter)
    s += rf.assistant(rf.gen("order", schema=Order, max_tokens=128))
    notes = []
    for item in s["order"].items:  # looking at it runs it; each item is an Item
        with s.fork() as branch:
            branch += rf.user(f"Which shelf has our {item.article}? We need {item.count}.")
            branch += rf.assistant("Shelf ", rf.gen("shelf", regex="[A-F][1-9]"))
        notes.append(f"{item.count} x {item.article} for {s['order'].customer}: {branch['shelf']}")
    return notes


def main(backend: str = "fake:") -> None:
    letter = "Dear shop, please send two oil lamps and forty candles. Yours, Ada Moss"
    print(extract.run(letter, backend=backend))


if __name__ == "__main__":
    typer.run(main)
