"""Backends by name, and what is said about names that mean nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ramify.backend import FakeBackend, open_backend
from ramify.backend.open import _openers, register_backend
from ramify.errors import BackendError, MissingExtraError


def test_the_fake_backend_by_name_with_options() -> None:
    backend = open_backend("fake:?context=512&name=twin")
    assert isinstance(backend, FakeBackend)
    assert backend.profile().context == 512 and backend.name == "twin"
    assert open_backend(backend) is backend
    assert open_backend("fake:").name == open_backend("fake").name == "fake"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vllm:", "the vllm backend needs a model"),
        ("llama:x", r"'llama:x' names no backend.*\"fake:\".*\"radix:PATH"),
        ("", "names no backend"),
        ("fake:model", "has no path 'model'"),
        ("fake:?context", "options 'context' cannot be read"),
        ("fake:?speed=3", "no option 'speed'"),
        ("radix:", "needs a model"),
    ],
)
def test_other_names_say_what_there_is(spec: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        open_backend(spec)


@pytest.mark.parametrize(("spec", "extra"), [("radix:x", "engine"), ("demo", "engine")])
def test_packages_that_are_not_installed_are_named_with_their_extra(
    spec: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = spec.partition(":")[0]

    def opener(path: str, options: Mapping[str, str]) -> FakeBackend:
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")

    monkeypatch.setitem(_openers, kind, (opener, spec))
    told = rf"'{spec}' needs torch.*pip install \"ramify\[{extra}\]\""
    with pytest.raises(MissingExtraError, match=told):
        open_backend(spec)


def test_a_missing_module_of_our_own_is_a_defect_and_stays_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opener(path: str, options: Mapping[str, str]) -> FakeBackend:
        raise ModuleNotFoundError("No module named 'ramify.gone'", name="ramify.gone")

    monkeypatch.setitem(_openers, "radix", (opener, "radix"))
    with pytest.raises(ModuleNotFoundError, match=r"ramify\.gone") as raised:
        open_backend("radix:x")
    assert not isinstance(raised.value, MissingExtraError)


def test_things_that_are_no_backends() -> None:
    with pytest.raises(BackendError, match="3 is not a backend"):
        open_backend(3)  # type: ignore[arg-type]


def test_a_registered_backend() -> None:
    seen: list[tuple[str, Mapping[str, str]]] = []

    def opener(path: str, options: Mapping[str, str]) -> FakeBackend:
        seen.append((path, options))
        return FakeBackend(name=path)

    register_backend("mine", opener, '"mine:NAME"')
    try:
        assert open_backend("mine:a/b?x=1").name == "a/b" and seen == [("a/b", {"x": "1"})]
        with pytest.raises(BackendError, match='"mine:NAME"'):
            open_backend("yours:a")
    finally:
        del _openers["mine"]
