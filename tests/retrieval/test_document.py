import json
from pathlib import Path

import pytest

from ramify.retrieval import Document, Passage, RetrievalError
from ramify.retrieval.document import documents_of, read_documents


def test_every_way_to_give_a_document() -> None:
    given = documents_of(
        [
            "a text",
            ("named", "another"),
            {"id": 7, "text": "third", "title": "T", "year": 1999, "meta": {"lang": "en"}},
            {"text": "a text"},
            Passage(id="p#1", text="fourth", title="P", meta={"a": 1}),
            Document("d", "fifth"),
        ]
    )
    assert [d.id for d in given[1:3]] == ["named", "7"]
    assert given[0].id == given[3].id  # named after its content
    assert given[2] == Document("7", "third", "T", {"lang": "en", "year": 1999})
    assert given[4] == Document("p#1", "fourth", "P", {"a": 1})
    assert given[5] == Document("d", "fifth")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("one string", "must be a list"),
        ({"text": "x"}, "must be a list"),
        ([3], "document number 1 is a int"),
        (["x", {"body": "y"}], "document number 2 has no string"),
        ([{"text": "x", "meta": 3}], '"meta" a mapping'),
        ([("a", "b", "c")], "is a tuple"),
    ],
)
def test_what_is_no_document(items: object, message: str) -> None:
    with pytest.raises(RetrievalError, match=message):
        documents_of(items)  # type: ignore[arg-type]


def test_digest_is_about_content() -> None:
    assert Document("a", "t", "x", {"n": 1}).digest == Document("b", "t", "x", {"n": 1}).digest
    assert Document("a", "t").digest != Document("a", "t", "title").digest
    with pytest.raises(RetrievalError, match="meta holds what JSON cannot"):
        Document("a", "t", meta={"when": object()}).digest  # noqa: B018


def test_reading_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.txt").write_text("no")
    (tmp_path / "sub" / "the_harbour.txt").write_text("\ufeffShips.", encoding="utf-8")
    (tmp_path / "notes.md").write_text("intro\n# A heading\nbody", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89")
    rows = [{"id": "r1", "text": "one"}, {"text": "two", "title": "T"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    found = {d.id: d for d in read_documents(tmp_path)}
    assert set(found) == {"notes.md", "r1", "rows.jsonl:2", "sub/the_harbour.txt"}
    assert found["sub/the_harbour.txt"].text == "Ships."
    assert found["sub/the_harbour.txt"].title == "the harbour"
    assert found["notes.md"].title == "A heading"
    assert read_documents(tmp_path / "rows.jsonl")[1].title == "T"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match="no file or folder"):
        read_documents(tmp_path / "nothing")
    with pytest.raises(RetrievalError, match=r"no documents in .*\.txt, \.md, \.jsonl"):
        read_documents(tmp_path)
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(RetrievalError, match="cannot read"):
        read_documents(tmp_path / "a.pdf")
    (tmp_path / "a.txt").write_bytes(b"ok \xff")
    with pytest.raises(RetrievalError, match=r"a\.txt.* is not UTF-8 \(byte 3\)"):
        read_documents(tmp_path)
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": ')
    with pytest.raises(RetrievalError, match=r"a\.jsonl.*line 2 is not JSON"):
        read_documents(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n["y"]')
    with pytest.raises(RetrievalError, match="line 2 is not an object"):
        read_documents(tmp_path)
