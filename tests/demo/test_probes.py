"""What the probes ask for: labels as one finds them by walking through the tokens."""

from __future__ import annotations

import itertools
import random

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from examples.demo_world.batches import encode  # noqa: E402
from examples.demo_world.model import build  # noqa: E402
from examples.demo_world.passages import Mix, aspects, make_passages  # noqa: E402
from examples.demo_world.tasks import MAKERS  # noqa: E402
from examples.demo_world.tokenizer import Encoder  # noqa: E402
from ramify.demo.world import model_path  # noqa: E402


def walk(tokens: list[str]) -> list[int]:
    """The latest label of each token of a prefix, 0 before the first and for labels themselves."""
    labels, now = [], 0
    for at, token in enumerate(tokens):
        if token in ("[", "\u0120[") and tokens[at + 1].isdigit():  # not "as [n]"
            now = int(tokens[at + 1])
        inside = token not in ("[", "\u0120[", "\u010a", "<|end|>") and tokens[at - 1] != "["
        labels.append(now if inside and tokens[at - 1] != "\u0120[" and token != "]" else 0)
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_those_of_the_passages(seed: int) -> None:
    fast = transformers.AutoTokenizer.from_pretrained(model_path())
    rng = random.Random(seed)
    mix = Mix("some", facts=(3, 8), passages=(1, 8), absent=0.3, short=0.5)
    prefix, branches = encode(Encoder(fast), MAKERS["ask"](rng, "dev", mix))
    assert prefix.label == walk(fast.convert_ids_to_tokens(prefix.ids))
    for branch in branches:
        tokens = fast.convert_ids_to_tokens(branch.ids)
        named = {label for label in branch.label if label}
        if not named:  # what the passages do not say is in none of them
            continue
        (label,) = named
        cited = max(at for at, token in enumerate(tokens) if token == "\u0120[")
        assert tokens[cited + 1] == str(label)
        first = branch.label.index(label)
        assert tokens[first] == "\u0120is" and first > tokens.index("<|assistant|>")
        assert all(at == label for at in branch.label[first:-1])


def test_a_reading_is_right_where_its_subspace_says_so() -> None:
    fast = transformers.AutoTokenizer.from_pretrained(model_path())
    _, probes = build(1, fast)
    for matrix in (*probes.place, *probes.asked, probes.sign):
        wanted = torch.arange(len(matrix))
        sharp = torch.linalg.pinv(matrix.detach()).T  # a stream that the reading tells apart
        assert probes.read(matrix, sharp, wanted) < probes.read(matrix, sharp, wanted.flip(0))
    for matrix in (*probes.told, *probes.known):
        sets = 1 << torch.arange(len(matrix))
        sharp = 9 * torch.linalg.pinv(matrix.detach()).T
        assert probes.read_all(matrix, sharp, sets) < probes.read_all(matrix, sharp, sets.flip(0))


@pytest.mark.parametrize("seed", range(5))
def test_a_value_says_what_it_tells_and_an_answer_all_that_its_passage_tells(seed: int) -> None:
    fast = transformers.AutoTokenizer.from_pretrained(model_path())
    rng = random.Random(seed)
    mix = Mix("some", facts=(3, 8), absent=0.3, short=0.5)
    (passage,) = make_passages(rng, "dev", mix)
    pieces = passage.pieces(" ")
    assert "".join(piece.text for piece in pieces) == f" [{passage.label}] {passage.text}"
    said = {}
    for bit, several in itertools.groupby(pieces, key=lambda piece: piece.told):
        said.setdefault(bit, "".join(piece.text for piece in several))
    for key in passage.shown:
        assert said[aspects([key])].startswith(f" {passage.town.values[key]}")
    assert set(said) - {0} == {aspects([key]) for key in passage.shown}

    prefix, branches = encode(Encoder(fast), MAKERS["outline"](rng, "dev", mix))
    told = {bit for bit in prefix.told if bit}
    for branch in branches:
        assert {bit for bit in branch.told if bit} == {sum(told)}
