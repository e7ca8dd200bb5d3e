"""The base of all settings: frozen pydantic models, one beside each stage; an unknown key names its nearest neighbour.

Every field is followed by one line of meaning and unit; `heedful init` and the documentation print those lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from heedful.errors import SettingsError

SettingsType = TypeVar("SettingsType", bound="Settings")


class Settings(BaseModel):
    """Frozen, strict about names, documented field by field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


def nearest(name: str, valid: list[str]) -> str:
    """A phrase that helps with a misspelt name: the nearest valid one, or the list."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"valid names: {', '.join(sorted(valid))}"


def parse_settings(model: type[SettingsType], values: Mapping[str, Any], *, where: str) -> SettingsType:
    """Check `values` against `model`; raises SettingsError with every problem, each naming `where`, key and remedy."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(model, item, where) for item in error.errors())) from None


def _explain(model: type[Settings], item: Any, where: str) -> str:
    path = [str(part) for part in item["loc"]]
    key = ".".join(path)
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown setting {key!r}; {nearest(path[-1], _names_at(model, path[:-1]))}"
    return f"{where}: {key} = {item['input']!r}: {item['msg']}"


def _names_at(model: type[Settings], path: list[str]) -> list[str]:
    for part in path:
        inner = _fields(model).get(part)
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            return []
        model = inner
    return list(_fields(model))


def _fields(model: type[Settings]) -> dict[str, Any]:
    """Types by the names that users write (`import`, not `import_`)."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}
