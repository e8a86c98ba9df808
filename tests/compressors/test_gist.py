"""Memory vectors: what a head is, who may read it, and that engine and transformers agree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ramify as rf
from ramify.backend.contract import Delta, Request, TokenPrompt
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.radix import RadixBackend
from ramify.backend.radix.gist.encoder import cut, encode, encoder_of, hidden_states
from ramify.backend.radix.gist.head import PLACE, Facts, load_head, save_head
from ramify.backend.radix.gist.resampler import Resampler, Shape
from ramify.backend.radix.gist.shares import share, windows
from ramify.backend.radix.saved import digest_of
from ramify.compressors import CompressionError, Gist, get_compressor
from ramify.compressors.segments import segments
from ramify.errors import BackendError, CapabilityError, ModelLoadError, ProgramError
from ramify.ir import Mixed, Vectors
from ramify.retrieval import Passages, cite
from tests.backend.radix.models import tiny
from tests.compressors.sources import TEXTS

SHAPE = Shape(64, (0, 1, 2), inner=32, heads=2, blocks=2, pointers=2, slots=12, reach=24)
TOWN = "the river ran past a mill. an old man sat there. he knew the sea."
BOATS = "stories of boats and winters to children. the mill had never seen the sea."


def resampler(seed: int = 0) -> Resampler:
    """A random one, all of whose parts say something."""
    torch.manual_seed(seed)
    made = Resampler(SHAPE)
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.2 * torch.randn_like(value))
    return made


def facts(folder: Path, **changes: Any) -> Facts:
    return Facts(**{"model": digest_of(folder), "ratios": (2.0, 4.0), "auto": 4.0, "window": 20,
                    **changes})  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Path:
    found = tiny("llama", seed=7)
    save_head(found / PLACE, resampler(), facts(found))
    return found


@pytest.fixture
async def backend(folder: Path) -> AsyncIterator[RadixBackend]:
    opened = RadixBackend.open(folder, pool_tokens=2000, threads=1)
    yield opened
    await opened.close()


def vectors(folder: Path, text: str, ratio: float = 4.0) -> Vectors:
    """The vectors of a text by the head of a folder."""
    encoder = encoder_of(folder, folder / PLACE)
    parts = segments(text, encoder.tokenizer.encode, SHAPE.reach)
    return encoder(tuple(map(tuple, parts)), ratio)


@given(TEXTS, st.integers(1, 9))
def test_segments_are_sentences_cut_to_size(text: str, reach: int) -> None:
    found = segments(text, lambda said: list(said.encode()), reach)
    assert all(0 < len(part) <= reach for part in found)
    said = bytes(token for part in found for token in part).decode()
    assert "".join(said.split()) == "".join(text.split())


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 40))
def test_windows_hold_all_segments_in_order(sizes: list[int], room: int) -> None:
    found = windows(sizes, room)
    assert [at for window in found for at in window] == list(range(len(sizes)))
    for window in found:
        assert sum(sizes[at] for at in window) <= room or len(window) == 1


@given(st.integers(1, 100), st.floats(1, 8), st.integers(1, 24))
def test_every_segment_has_a_vector(size: int, ratio: float, slots: int) -> None:
    assert 1 <= share(size, ratio, slots) <= min(slots, size)


def test_an_untrained_head_with_a_vector_per_token_says_nearly_the_text(folder: Path) -> None:
    torch.manual_seed(0)
    fresh = Resampler(SHAPE)
    model = encoder_of(folder, folder / PLACE).model
    parts = [[5, 9, 70, 8], [31], [12, 12, 90]]
    found = encode(model, fresh, parts, 1.0)
    wanted = model.get_input_embeddings()(torch.tensor([*chain(*parts)]))
    alike = torch.nn.functional.cosine_similarity(found, wanted, dim=-1)
    assert found.shape == (8, 64) and alike.min() > 0.95


def test_a_segment_does_not_depend_on_how_others_are_padded(folder: Path) -> None:
    model, made = encoder_of(folder, folder / PLACE).model, resampler()
    texts = [[[5, 9, 70], [31]], [[12, 12, 90, 4, 44], [6, 7], [8]]]
    alone = torch.cat([encode(model, made, parts, 2.0) for parts in texts])
    rows = [[*chain(*parts)] for parts in texts]
    ids = torch.tensor([row + [0] * (8 - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (8 - len(row)) for row in rows])
    sizes = [[len(part) for part in parts] for parts in texts]
    flat = torch.tensor([*chain(*sizes)])
    counts = torch.tensor([share(int(size), 2.0, SHAPE.slots) for size in flat])
    with torch.inference_mode():
        states = cut(hidden_states(model, ids, mask, SHAPE.taps), sizes)
        embedded = cut(model.get_input_embeddings()(ids), sizes)
        together = made(states, embedded, flat, counts)
    assert torch.allclose(together, alone, atol=1e-4)


def test_gradients_reach_every_part() -> None:
    made = resampler()
    found = made(torch.randn(3, 6, 192), torch.randn(3, 6, 64), torch.tensor([6, 2, 4]),
                 torch.tensor([3, 1, 2]))  # fmt: skip
    assert found.shape == (6, 64)
    (found**2).sum().backward()
    for name, value in made.named_parameters():
        assert value.grad is not None and value.grad.abs().sum() > 0, name


def test_what_is_saved_is_loaded(folder: Path) -> None:
    loaded, said = load_head(folder / PLACE, folder)
    assert said == facts(folder) and loaded.shape == SHAPE
    for name, value in resampler().state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.bfloat16().float())
    assert digest_of(folder) == said.model  # the head beside it does not make it another model


def _other(path: Path, folder: Path) -> None:
    save_head(path, resampler(), facts(tiny("llama", seed=8)))


def _cut(path: Path, folder: Path) -> None:
    path.write_bytes((folder / PLACE).read_bytes()[:-100])


def _older(path: Path, folder: Path) -> None:
    save_head(path, resampler(), facts(folder, version="0"))


def _weights(path: Path, folder: Path) -> None:
    path.write_bytes((folder / "model.safetensors").read_bytes())


def _wider(path: Path, folder: Path) -> None:
    data = (folder / PLACE).read_bytes()
    path.write_bytes(data.replace(b'\\"slots\\": 12', b'\\"slots\\": 13'))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path, folder: None, r"no gist head .*docs/gist.md"),
        (_other, r"trained for model \w+, and .* is \w+.*docs/gist.md"),
        (_cut, r"not a whole safetensors file"),
        (_older, r"of format 0, and this is 1"),
        (_weights, r"is no gist head"),
        (_wider, r"is broken: .*"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, spoil: Callable[[Path, Path], None], said: str
) -> None:
    path = tmp_path / "head.safetensors"
    spoil(path, folder)
    with pytest.raises(ModelLoadError, match=said):
        load_head(path, folder)


def test_facts_that_contradict_each_other_are_not_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must rise"):
        save_head(tmp_path / "x", resampler(), facts(folder, auto=3.0))


async def test_the_mildest_ratio_that_meets_the_target(folder: Path) -> None:
    gist, tokenizer = Gist(folder), HFTokenizer.load(folder)

    def count(text: str) -> int:
        return len(tokenizer.encode(text))

    both = Passages.of([TOWN, BOATS])
    sizes = {rate: await gist.compress(both, rate=rate, count=count) for rate in (0.7, 0.4, 0.1)}
    assert sizes[0.7].note == "2 tokens per vector" and sizes[0.7].met
    assert sizes[0.4].note == "4 tokens per vector" and sizes[0.4].met
    assert not sizes[0.1].met and "no ratio of the head's meets" in sizes[0.1].note
    for made in sizes.values():
        assert isinstance(made.value, tuple) and [one.parts[0] for one in made] == ["[1]", "[2]"]
        vectors = sum(one.parts[1].count for one in made)
        assert made.tokens_after == vectors + count("[1]\n[2]")
        assert made.passages is both and cite("so [2]", made).sources == both[1:]
        with pytest.raises(ProgramError, match="f-string"):
            f"{made}"
    again = await gist.compress(sizes[0.1], rate=0.7, count=count)  # type: ignore[arg-type]
    assert again == sizes[0.7]
    auto = await gist.compress(TOWN, rate="auto", count=count)
    assert auto.note.startswith("4 tokens") and str(auto) == f"[{auto.tokens_after} vectors]"
    assert str(await gist.compress(both, rate=1.0, count=count)) == str(both)
    assert str(await gist.compress("", rate=0.5, count=count)) == ""


async def test_outside_of_a_run_the_folder_must_be_said() -> None:
    with pytest.raises(CompressionError, match="does not know its model"):
        await get_compressor("gist").compress(TOWN, rate=0.5, count=len)


@rf.program
def asks(s: rf.State, source: Any, question: str, rate: float, method: Any = "gist") -> Any:
    s += rf.user(rf.compress(source, rate=rate, method=method), "\n\n", question)
    s += rf.assistant(rf.gen("answer", max_tokens=8, ignore_end=True))
    return s["answer"]


class Kept:
    """A backend that keeps the prompts it is asked."""

    def __init__(self, backend: RadixBackend) -> None:
        self._backend = backend
        self.prompts: list[TokenPrompt] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def generate(self, request: Request) -> AsyncIterator[Delta]:
        self.prompts.append(request.prompt)
        return self._backend.generate(request)


async def test_the_engine_answers_as_transformers_does(folder: Path, backend: RadixBackend) -> None:
    """The plain model reads the same vectors as `inputs_embeds`."""
    encoder, kept = encoder_of(folder, folder / PLACE), Kept(backend)
    both = Passages.of([TOWN, BOATS])
    result = await asks.arun(both, "who?", 0.4, backend=kept)
    (prompt,) = kept.prompts
    rows = encoder.model.get_input_embeddings()(torch.tensor(prompt.ids)).detach().clone()
    for span, text in zip(prompt.vectors, (TOWN, BOATS), strict=True):
        assert span.vectors == vectors(folder, text)
        rows[span.start : span.stop] = torch.from_numpy(span.vectors.array().copy())
    between = backend.renderer.tokenizer.decode(
        prompt.ids[prompt.vectors[0].stop : prompt.vectors[1].start]
    )
    assert between.strip() == "[2]"
    with torch.inference_mode():
        out = encoder.model.generate(
            inputs_embeds=rows[None], attention_mask=torch.ones(1, len(rows)).long(),
            max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    assert result.text.strip() == backend.renderer.tokenizer.decode(out[0].tolist()).strip()


async def test_equal_passages_share_their_prefix(folder: Path, backend: RadixBackend) -> None:
    """Also behind another question, and made anew by another compressor."""
    both = Passages.of([TOWN, BOATS])
    first = await asks.arun(both, "who?", 0.4, backend=backend)
    again = await asks.arun(both, "how old?", 0.4, Gist(folder), backend=backend)
    one = await asks.arun(both[:1], "who?", 0.4, backend=backend)
    assert first.usage.cached_tokens == 0
    town, boats = vectors(folder, TOWN).count, vectors(folder, BOATS).count
    assert again.usage.cached_tokens > town + boats
    assert one.usage.cached_tokens > town


async def test_vectors_of_another_model_are_refused_by_the_engine(backend: RadixBackend) -> None:
    other = tiny("llama", seed=8)
    path = other / "gist" / "other.safetensors"
    save_head(path, resampler(), facts(other))
    with pytest.raises(BackendError, match=r"answer'.*made for model \w+, and .* is \w+"):
        await asks.arun(TOWN, "who?", 0.5, Gist(other, path), backend=backend)


async def test_a_backend_that_takes_no_vectors_refuses_by_name() -> None:
    with pytest.raises(CapabilityError, match=r"compress.*'gist' makes vectors.*'fake'.*radix"):
        await asks.arun(TOWN, "who?", 0.5, backend=rf.FakeBackend())


async def test_passages_become_blocks_and_pieces_of_their_own(
    folder: Path, backend: RadixBackend
) -> None:
    @rf.program
    def p(s: rf.State) -> Any:
        short = rf.compress(Passages.of([TOWN, BOATS]), rate=0.4, method="gist")
        s += rf.user(rf.blocks(short), "and ", short[1], ", ", rf.resolve(short)[0])
        s += rf.assistant(rf.gen("answer", max_tokens=4))
        return s.messages()

    kept = Kept(backend)
    messages = (await p.arun(backend=kept)).value
    (prompt,) = kept.prompts
    town, boats = (vectors(folder, text) for text in (TOWN, BOATS))
    assert [span.vectors for span in prompt.vectors] == [town, boats, boats, town, boats]
    lines = f"[1]{town!s}\n[2]{boats!s}"
    assert messages[0]["content"] == f"{lines}\nand [2]{boats!s}, {lines}"
    assert len(prompt.blocks) == 2


def test_mixed_is_read_in_its_order() -> None:
    soft = Vectors.of([[1.0, 2.0]])
    mixed = Mixed.joined([Mixed(("a", soft)), Mixed((soft,))], " ")
    assert mixed.parts == ("a", soft, " ", soft) and str(mixed) == "a[1 vectors] [1 vectors]"
