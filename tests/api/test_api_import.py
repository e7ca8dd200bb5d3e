"""`import heedful` stays cheap, and its names stay functions whatever else was imported."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

NAMES = ("curate", "evaluate", "generator", "init", "open", "read")


def fresh(code: str) -> str:
    """What a new process prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_loads_nothing_heavy() -> None:
    loaded = json.loads(fresh("import heedful, json, sys; print(json.dumps(sorted(sys.modules)))"))
    assert not {"torch", "transformers", "daft", "pyarrow", "pydantic", "rich", "typer", "regex"} & set(loaded)
    # Ours that are loaded: the errors that callers catch, and what makes the rest lazy.
    ours = {name for name in loaded if name.startswith("heedful.")}
    assert ours == {"heedful.errors", "heedful._lazy", "heedful._quiet"}


def test_importing_takes_a_twentieth_of_a_second() -> None:
    # Processor time, since the machine may be busy with other tests.
    def least(code: str) -> float:
        seconds = []
        for _ in range(7):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            fresh(code)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(seconds)

    assert least("import heedful") - least("pass") < 0.05


@pytest.mark.parametrize("before", ["", "import heedful.curate, heedful.evaluate"])
def test_names_are_functions_also_beside_rooms_of_the_same_name(before: str) -> None:
    # `import heedful.curate` binds the room to the package, where the function of the same name stood.
    code = f"""
{before}
import heedful
kinds = [type(getattr(heedful, name)).__name__ for name in {NAMES!r}]
from heedful.curate import CurateSettings
from heedful.curate.settings import CurateSettings as same
from heedful import curate
print(kinds, CurateSettings is same, type(curate).__name__, type(heedful.curate).__name__)
"""
    assert fresh(code).strip() == f"{['function'] * len(NAMES)} True function function"


def test_unknown_names_and_the_list_of_names() -> None:
    import heedful

    assert set(NAMES) <= set(dir(heedful))
    with pytest.raises(AttributeError, match="has no attribute 'generate_all'"):
        _ = heedful.generate_all  # type: ignore[attr-defined]
    assert heedful.errors.UserError.exit_code == 2
