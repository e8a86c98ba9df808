"""From a letter to typed data: the schema binds the answer, and Python loops over what it holds."""

import typer
from pydantic import BaseModel, Field

import ramify as rf


class Item(BaseModel):
    article: str = Field(max_length=24)
    count: int = Field(ge=1, le=99)


class Order(BaseModel):
    customer: str = Field(max_length=24)
    items: list[Item] = Field(min_length=1, max_length=4)


@rf.program
def extract(s, letter: str):
    s += rf.system("Extract the order from the letter as JSON.")
    s += rf.user(letter)
    s += rf.assistant(rf.gen("order", schema=Order, max_tokens=256))
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
