"""Text to ids and back: bytes are kept, control tokens never come from text."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Tokenizers
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ramify.backend.fake import WordTokenizer
from ramify.backend.hf_tokenizer import HFTokenizer
from ramify.backend.tokenizer import EncodeCache, Tokenizer
from ramify.errors import ModelLoadError
from tests.backend import small_tokenizers as small

KINDS = ("byte_level", "prefix_space", "unigram", "legacy", "stories", "fake")
EXACT = ("byte_level", "prefix_space", "fake")
WORDS = ("<|end|>", "<s>", "</s>", "<|user|>", "<0x41>", "▁", " ", "\n", "é", "😀", "the", "<")
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=8).map("".join)


def tokenizer(kind: str) -> Tokenizer:
    if kind == "fake":
        return WordTokenizer()
    if kind == "stories":
        return HFTokenizer.load(small.stories())
    if kind == "prefix_space":
        return small.byte_level(prefix_space=True)
    if kind == "unigram":
        return small.unigram()
    if kind == "legacy":
        return small.unigram(legacy=True)
    return small.byte_level()


@pytest.mark.parametrize("kind", KINDS)
def test_text_comes_back_and_holds_no_control_token(kind: str) -> None:
    ours = tokenizer(kind)

    @settings(max_examples=100, deadline=None)
    @given(TEXTS, TEXTS)
    def check(first: str, second: str) -> None:
        for text in (first, second):
            # a sentencepiece-like model cannot tell its own space mark from a space
            want = text if kind in EXACT else text.replace("▁", " ")
            ids = ours.encode(text)
            assert ours.decode(ids) == want
            assert not ours.end_ids & set(ids) and not set(ours.start_ids) & set(ids)
            assert all(ours.bytes_of(i) for i in ids), "a control token came from text"
            assert b"".join(map(ours.bytes_of, ids)).decode() == want
        assert ours.decode(ours.encode(first) + ours.encode(second)).replace("▁", " ") == (
            (first + second).replace("▁", " ")
        )

    check()


@pytest.mark.parametrize("kind", ["stories", "unigram", "legacy"])
def test_only_the_first_text_gets_a_dummy_space(kind: str) -> None:
    ours = tokenizer(kind)
    assert ours.decode(ours.encode("a") + ours.encode("b")) == "ab"
    assert ours.decode(ours.encode("a", first=True)) == " a"
    assert ours.encode(" a") == ours.encode("a", first=True)


def test_stories_are_tokenized_as_the_model_was_trained() -> None:
    ours = HFTokenizer.load(small.stories())
    ids = ours.start_ids + ours.encode("Once upon a time <s>", first=True)
    assert list(ids[: len(ours.fast("Once upon a time").input_ids)]) == (
        ours.fast("Once upon a time").input_ids
    )
    assert ours.start_ids == (1,) and ours.end_ids == {1, 2}
    assert ours.vocab_size == 512


def test_middle_text_is_tokenized_as_the_library_does() -> None:
    ours = small.byte_level()
    for text in ("The harbour was built", " on trade\n\n", "1234"):
        assert list(ours.encode(text)) == ours.fast(text).input_ids


def test_control_tokens_are_written_by_name_only_for_us() -> None:
    ours = small.byte_level()
    end = ours.fast.convert_tokens_to_ids("<|end|>")
    assert end in ours.encode_control("a<|end|>b") and end not in ours.encode("a<|end|>b")
    assert ours.encode_control("plain") == ours.encode("plain")
    assert ours.encode_control(" x<|end|>")[:-1] == ours.encode(" x")
    assert ours.decode([end]) == "" and ours.spell([end]) == "<|end|>"
    assert ours.end_ids == {end}
    assert ours.bytes_of(10**9) == b"" == ours.bytes_of(-1)


def test_markers_that_are_not_special_keep_their_text_but_never_come_from_text() -> None:
    ours = small.byte_level(plain=("<think>", "  "))
    think = ours.fast.convert_tokens_to_ids("<think>")
    spaces = ours.fast.convert_tokens_to_ids("  ")
    assert think not in ours.encode("a<think>b") and spaces in ours.encode("a  b")
    assert think in ours.encode_control("<think>")
    assert ours.decode([think]) == "<think>"


def test_a_tokenizer_with_its_special_tokens_as_words_still_keeps_them_out() -> None:
    ours = small.unigram()  # its vocabulary holds "<s>" with the best score of all
    assert ours.decode(ours.encode("x<s></s>y")) == "x<s></s>y"


def test_names_tell_tokenizers_apart() -> None:
    assert small.byte_level().name == HFTokenizer(small.byte_level().fast).name
    assert small.byte_level().name != small.byte_level(size=300).name


def test_lone_surrogates_become_replacement_characters() -> None:
    ours = small.byte_level()
    assert ours.decode(ours.encode("a\ud800b")) == "a\ufffdb"


def test_what_a_vocabulary_lacks_is_lost_and_not_an_error() -> None:
    core = Tokenizers(models.WordLevel({"<unk>": 0, "▁a": 1, "▁b": 2}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    ours = HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>"))
    assert ours.encode(" a c b") == (1, 0, 2) and ours.decode((1, 0, 2)) == " a b"
    core.decoder = None
    with pytest.raises(ModelLoadError, match=r"of this kind is not supported .its decoder: none"):
        HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>"))


def test_loading_says_what_is_missing(tmp_path) -> None:
    with pytest.raises(ModelLoadError, match=r"has no tokenizer\.json"):
        HFTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "BPE"}}')
    with pytest.raises(ModelLoadError, match="no tokenizer could be loaded"):
        HFTokenizer.load(tmp_path)
    with pytest.raises(ModelLoadError, match="no tokenizer could be loaded"):
        HFTokenizer.load("nobody/has-this-model")
    with pytest.raises(ModelLoadError, match="is not a fast tokenizer"):
        HFTokenizer(object())


def test_a_saved_folder_loads(tmp_path) -> None:
    small.byte_level().fast.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [1, 3]}')
    (tmp_path / "config.json").write_text('{"eos_token_id": null, "model_type": "llama"}')
    loaded = HFTokenizer.load(tmp_path)
    assert loaded.encode("The harbour") == small.byte_level().encode("The harbour")
    assert loaded.end_ids == small.byte_level().end_ids | {1, 3}


def test_the_cache_is_bounded_and_right_in_threads() -> None:
    calls: list[str] = []

    def encode(text: str) -> tuple[int, ...]:
        calls.append(text)
        return tuple(map(ord, text))

    cache = EncodeCache(encode, characters=200)

    def work(seed: int) -> None:
        for number in range(300):
            text = f"{(number * seed) % 37}" * 3
            assert cache(text) == tuple(map(ord, text))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.check()
    calls.clear()
    cache("abc"), cache("abc"), cache("x" * 190), cache("x" * 190)
    assert calls == ["abc", "x" * 190, "x" * 190], "long texts are not kept"
