"""Settings: an unknown key names its neighbour, every problem is listed, streams depend on their names alone."""

from __future__ import annotations

import pytest

from heedful.errors import SettingsError
from heedful.project import Settings, parse_settings, stream, stream_seed


class Inner(Settings):
    learning_rate: float = 0.1
    """Peak."""


class Outer(Settings):
    tune: Inner = Inner()
    name: str = "x"


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(
        SettingsError, match=r"heedful\.toml: unknown setting 'tune\.lerning_rate'; did you mean 'learning_rate'\?"
    ):
        parse_settings(Outer, {"tune": {"lerning_rate": 1}}, where="heedful.toml")


def test_far_off_key_lists_the_valid_ones() -> None:
    with pytest.raises(SettingsError, match="valid names: name, tune"):
        parse_settings(Outer, {"zzz": 1}, where="heedful.toml")


def test_all_problems_are_named_with_value_and_place() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(Outer, {"tune": {"learning_rate": "fast"}, "nam": 1}, where="here")
    assert "here: tune.learning_rate = 'fast'" in str(caught.value)
    assert "unknown setting 'nam'" in str(caught.value)


def test_streams_depend_on_seed_and_names_only() -> None:
    first = stream(1, "construct", 3).random()
    stream(1, "other").random()
    assert stream(1, "construct", 3).random() == first
    assert stream(2, "construct", 3).random() != first
    assert stream(1, "construct", 4).random() != first
    assert 0 <= stream_seed(1, "x") < 2**63
