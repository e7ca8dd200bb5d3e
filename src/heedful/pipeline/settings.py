"""All settings of a project: the stages' own models joined, read from `heedful.toml` and `--set section.key=value`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from heedful.construct.settings import ConstructSettings
from heedful.curate.settings import CurateSettings
from heedful.errors import SettingsError
from heedful.evaluate.settings import EvaluateSettings
from heedful.pipeline.serve_settings import ServeSettings
from heedful.project.settings import Settings, parse_settings
from heedful.sources.settings import ImportSettings
from heedful.train.pretraining.settings import PretrainSettings
from heedful.train.settings import TuneSettings

Overrides = Iterable[str] | Mapping[str, Any]
"""Settings laid over others: texts `section.key=value` as `--set` takes them, or values by `section.key` from Python."""


class ProjectSettings(Settings):
    """What concerns the project as a whole."""

    name: str = "assistant"
    """What the report and the model card call it."""
    seed: int = Field(1, ge=0, lt=2**31)
    """Every random choice flows from it."""


class HeedfulSettings(Settings):
    """The whole of `heedful.toml`: one table for each stage."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    project: ProjectSettings = ProjectSettings()
    import_: ImportSettings = Field(ImportSettings(), alias="import")
    construct_: ConstructSettings = Field(ConstructSettings(), alias="construct")
    curate: CurateSettings = CurateSettings()
    pretrain: PretrainSettings = PretrainSettings()
    tune: TuneSettings = TuneSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    serve: ServeSettings = ServeSettings()


def load_settings(path: Path, overrides: Overrides = ()) -> HeedfulSettings:
    """Read `heedful.toml` and lay `overrides` over it; raises SettingsError naming file (or override) and key."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}; strings need quotes, tables look like [tune]") from None
    settings = parse_settings(HeedfulSettings, values, where=str(path))
    return _laid_over(values, overrides) or settings


def settings_from(overrides: Overrides) -> HeedfulSettings:
    """The defaults with `overrides` laid over them, for work on files outside a project."""
    return _laid_over({}, overrides) or HeedfulSettings()


def _laid_over(values: Mapping[str, Any], overrides: Overrides) -> HeedfulSettings | None:
    """The settings with `overrides`; None when there are none."""
    if not isinstance(overrides, Mapping):
        overrides = list(overrides)
    if not overrides:
        return None
    where = "settings given in Python" if isinstance(overrides, Mapping) else "--set"
    return parse_settings(HeedfulSettings, with_overrides(values, overrides), where=where)


def with_overrides(values: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """A copy of `values` with `overrides` laid over it; the value in a text is TOML, or else taken as it stands."""
    result: dict[str, Any] = {
        name: dict(table) if isinstance(table, Mapping) else table for name, table in values.items()
    }
    for path, value, said in _split(overrides):
        section, dot, key = path.partition(".")
        if not (dot and section and key):
            raise SettingsError(f"{said}: expected section.key, for example tune.epochs with the value 3")
        table = result.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{said}: {section!r} is not a table")
        table[key] = value
    return result


def _split(overrides: Overrides) -> Iterator[tuple[str, Any, str]]:
    """(section.key, value, how it was given) of each."""
    if isinstance(overrides, Mapping):
        for path, value in overrides.items():
            yield str(path), value, f"setting {path!r}"
        return
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals:
            raise SettingsError(f"--set {override!r}: expected section.key=value, for example --set tune.epochs=3")
        yield path.strip(), _toml_value(text.strip()), f"--set {override!r}"


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def describe_settings(settings: HeedfulSettings) -> list[tuple[str, Any, Any, str]]:
    """(section.key, value, default, meaning) of every setting, in order."""
    rows = []
    for name, info in HeedfulSettings.model_fields.items():
        section: Settings = getattr(settings, name)
        for key, field in type(section).model_fields.items():
            default = field.get_default(call_default_factory=True)
            rows.append((f"{info.alias or name}.{key}", getattr(section, key), default, field.description or ""))
    return rows
