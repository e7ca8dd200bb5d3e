"""Which models a server offers, and under which names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from heedful.errors import InputError, ModelError
from heedful.generate.engine import Request, Sampling, generate
from heedful.pipeline.settings import HeedfulSettings, load_settings
from heedful.project.folder import Project as Folder
from heedful.project.progress import Silent
from heedful.records import Message
from heedful.serve.loading import Wanted, load_models, model_id, wanted_models
from heedful.serve.server import address_of, bound, is_loopback
from live_server import LiveServer
from small_project import Project


def test_ids_keep_public_names_and_hide_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_id("smollm2-135m-instruct-q4_1") == "smollm2-135m-instruct-q4_1"
    assert model_id("owner/model-1.5") == "owner/model-1.5"
    assert model_id(f"{tmp_path}/secret/my-model/") == "my-model"
    assert model_id("/models/tiny.Q8_0.gguf") == "tiny.Q8_0"
    assert model_id("https://host:8000/v1#owner/model") == "owner/model"
    monkeypatch.chdir(tmp_path)
    assert model_id(".") == tmp_path.name


@pytest.mark.slow
def test_a_tuned_project_offers_its_model_first_then_its_base_then_others(
    tiny_project: Project, tiny_model: Path, tmp_path: Path
) -> None:
    project = Folder.open(tiny_project.folder)
    settings = load_settings(project.settings_path)
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    wanted = wanted_models(project, settings, [str(other)], Silent())
    assert [(item.id, item.kind) for item in wanted] == [
        ("tiny", "tuned"),
        (tiny_model.name, "base"),
        ("other", "other"),
    ]
    with pytest.raises(InputError, match="leave one out"):
        wanted_models(project, settings, [str(tiny_model)], Silent())
    # Tuned and base never share an id, whatever the project is called.
    same = settings.model_copy(update={"project": settings.project.model_copy(update={"name": tiny_model.name})})
    renamed = [item.id for item in wanted_models(project, same, [], Silent())]
    assert renamed == [tiny_model.name, f"{tiny_model.name}-base"]


def test_a_model_that_cannot_be_loaded_closes_those_before_it(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    wanted = [Wanted("a", str(tiny_model), "other"), Wanted("b", str(tmp_path / "empty"), "other")]
    with pytest.raises(ModelError, match="not a model folder"):
        load_models(wanted, Silent())


def test_an_endpoint_can_be_served_too(live: LiveServer) -> None:
    # Our own server is the other one: what it answers there must come back here.
    (served,) = load_models([Wanted("far", f"{live.url}/v1#tiny", "other")], Silent())
    request = Request("x", (Message("user", "hello"),), sampling=Sampling(max_tokens=7))
    with_us, over_there = (
        list(generate(engine, [request])) for engine in (live.state.models["tiny"].engine, served.engine)
    )
    served.engine.close()
    assert [answer.text for answer in over_there] == [answer.text for answer in with_us]
    assert served.vocabulary is None


def test_what_counts_as_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST")] == [True] * 5
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", "")] == [False] * 5


def test_addresses_to_open() -> None:
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address_of("127.0.0.1", listener) == f"http://127.0.0.1:{port}"
        assert address_of("0.0.0.0", listener) == f"http://localhost:{port}"
        assert address_of("::1", listener) == f"http://[::1]:{port}"


def test_the_settings_defaults_are_safe() -> None:
    serve = HeedfulSettings().serve
    assert (serve.host, serve.port, serve.store) == ("127.0.0.1", 8000, "")
