import pytest

from ramify.retrieval.terms import fold, stem, terms, words


def test_terms_are_folded_stemmed_and_without_stop_words() -> None:
    assert terms("The Cafés of Zürich's cities were NOT boxes") == [
        "cafe",
        "zurich",
        "city",
        "boxe",
    ]
    assert terms("boxes box") != []
    assert terms("the of and") == []
    assert terms("") == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("cities", "city"),
        ("glasses", "glasse"),
        ("class", "class"),
        ("bus", "bus"),
        ("gas", "gas"),
        ("cats", "cat"),
        ("virus", "virus"),
        ("goes", "goe"),
        ("ties", "ty"),
        ("was", "was"),
    ],
)
def test_only_plurals_are_cut(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_words_of_scripts_without_spaces_are_pairs() -> None:
    assert list(words("東京タワーは高い")) == [
        "東京",
        "京タ",
        "タワ",
        "ワー",
        "ーは",
        "は高",
        "高い",
    ]
    assert list(words("木")) == ["木"]


def test_words_keep_numbers_and_apostrophes_inside() -> None:
    assert list(words("don't pay $3.50 for Anna's cat_tail")) == [
        "don't",
        "pay",
        "3",
        "50",
        "for",
        "anna",
        "cat",
        "tail",
    ]


def test_folding_takes_case_width_and_accents() -> None:
    assert fold("\uff21\uff22\uff23 Éclair ß 한국") == "abc eclair ss 한국"
