"""The documentation of the standard library: plenty, exact, and the same in every process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from heedful.errors import InputError
from heedful.records import Section, digest
from heedful.sources import DEFAULT_MODULES, python_docs


@pytest.fixture(scope="module")
def sections() -> dict[str, Section]:
    return {section.title: section for document in python_docs() for section in document.sections}


def test_there_is_plenty() -> None:
    documents = python_docs()
    with_enough = [document for document in documents if len(document.sections) >= 3]
    assert [document.title for document in documents] == list(DEFAULT_MODULES)
    assert len(with_enough) >= 30
    assert sum(len(document.sections) for document in documents) >= 600
    assert {document.license for document in documents} == {"PSF-2.0"}
    assert {document.language for document in documents} == {"en"}
    assert len({document.id for document in documents}) == len(documents)


def test_a_function_is_described_exactly(sections: dict[str, Section]) -> None:
    heapreplace = sections["heapq.heappush"]
    assert heapreplace.kind == "function"
    assert heapreplace.meta_value("summary") == "Push item onto heap, maintaining the heap invariant."
    assert heapreplace.meta_value("signature") == "(heap, item, /)"
    assert heapreplace.meta_value("parameters") == [
        {"name": "heap", "default": None, "kind": "positional_only"},
        {"name": "item", "default": None, "kind": "positional_only"},
    ]


def test_defaults_and_stars_are_written_as_python_writes_them(sections: dict[str, Section]) -> None:
    dump = sections["json.dumps"]
    assert dump.meta_value("signature") == (
        "(obj, *, skipkeys=False, ensure_ascii=True, check_circular=True, allow_nan=True, cls=None, indent=None, "
        "separators=None, default=None, sort_keys=False, **kw)"
    )
    kinds = {parameter["name"]: parameter["kind"] for parameter in dump.meta_value("parameters")}
    assert (kinds["obj"], kinds["cls"], kinds["kw"]) == ("positional_or_keyword", "keyword_only", "var_keyword")
    defaults = {parameter["name"]: parameter["default"] for parameter in dump.meta_value("parameters")}
    # No default is null; a default that is None is the text "None".
    assert (defaults["obj"], defaults["cls"]) == (None, "None")


def test_methods_lose_self_and_name_their_class(sections: dict[str, Section]) -> None:
    add = sections["statistics.NormalDist.zscore"]
    assert (add.kind, add.meta_value("signature"), add.meta_value("class")) == (
        "function",
        "(x)",
        "statistics.NormalDist",
    )
    # A class method loses its first parameter, a static method has none to lose.
    assert sections["statistics.NormalDist.from_samples"].meta_value("signature") == "(data)"
    assert sections["str.maketrans"].meta_value("class") == "str"


def test_builtins_go_by_their_bare_name(sections: dict[str, Section]) -> None:
    assert sections["len"].meta_value("summary") == "Return the number of items in a container."
    assert "builtins.len" not in sections


def test_a_signature_in_front_of_the_text_is_not_the_summary(sections: dict[str, Section]) -> None:
    # The documentation string begins "max(iterable, *[, default=obj, key=func]) -> value".
    assert sections["max"].meta_value("summary").startswith("With a single iterable argument")


def test_every_section_says_something_and_no_address(sections: dict[str, Section]) -> None:
    for title, section in sections.items():
        assert len(section.meta_value("summary").split()) >= 3, title
        assert " at 0x" not in section.text + section.meta, title
        assert section.text == section.text.strip(), title
        assert ":class:`" not in section.text, title


def test_what_was_imported_from_elsewhere_is_left_out(sections: dict[str, Section]) -> None:
    # `shutil` imports `fnmatch`, `collections.deque`, `os.path` functions ... none of them is its own.
    shutil = [title for title in sections if title.startswith("shutil.")]
    assert "shutil.copytree" in shutil
    assert not any("deque" in title or "fnmatch" in title for title in shutil)


def test_two_processes_agree_whatever_the_order_of_hashes() -> None:
    program = (
        "from heedful.sources import python_docs; from heedful.records import digest;"
        "print(digest([[d.id, d.title, [[s.title, s.text, s.kind, s.meta] for s in d.sections]] for d in python_docs()]))"
    )
    # This process has an order of hashes of its own.
    there = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True
    ).stdout.strip()
    here = digest([[d.id, d.title, [[s.title, s.text, s.kind, s.meta] for s in d.sections]] for d in python_docs()])
    assert there == here


def test_a_part_is_the_same_as_in_the_whole() -> None:
    whole = {document.title: document for document in python_docs()}
    assert python_docs(["textwrap", "json", "json"]) == [whole["textwrap"], whole["json"]]


@pytest.mark.parametrize("name", ["this", "antigravity", "heedful", "os", "../json"])
def test_other_modules_are_never_imported(name: str) -> None:
    with pytest.raises(InputError, match="is not offered"):
        python_docs([name])


def test_a_misspelt_module_is_told_its_neighbour() -> None:
    with pytest.raises(InputError, match="did you mean 'textwrap'"):
        python_docs(["textwarp"])


def test_an_interpreter_without_documentation_is_told_apart() -> None:
    # -OO removes every documentation string that is written in Python.
    program = "from heedful.sources import python_docs; python_docs(['json'])"
    process = subprocess.run([sys.executable, "-OO", "-c", program], capture_output=True, text=True, check=False)
    assert (
        "InputError: python_docs: this interpreter runs without documentation strings; run it without -OO"
        in process.stderr
    )


def test_libraries_that_patch_the_library_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import inspect

    before = python_docs(["inspect"])
    # What torch does when it is imported.
    monkeypatch.setattr(inspect, "getfile", lambda object: "patched")
    assert python_docs(["inspect"]) == before
