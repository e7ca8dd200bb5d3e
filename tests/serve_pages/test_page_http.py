"""The page's own addresses without a browser: what is stored whatever happens, signing in, static files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from heedful.feedback.store import Store
from heedful.generate.fake import FakeEngine
from heedful.serve.state import ServedModel, State
from live_server import LiveServer, live_server, until

KEY = "correct horse"


def ask(client: httpx.Client, text: str, **how: Any) -> tuple[str, Any]:
    """(conversation, the answer's stream, to be used in a with block)."""
    told = client.post("/ui/conversations", json={}).json()["id"]
    said = client.post(f"/ui/conversations/{told}/messages", json={"content": text, "parent": None}).json()
    body = {"model": "scripted", "temperature": 0, "max_tokens": 4000, **how}
    return told, client.stream("POST", f"/ui/messages/{said['id']}/answers", json=body)


def events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def test_an_answer_comes_in_pieces_with_html_of_all_so_far(server: LiveServer) -> None:
    told, stream = ask(server.client, f"say **bold** {'word ' * 60}<script>")
    started = time.monotonic()
    with stream as response:
        got = list(events(response))
    seconds = time.monotonic() - started
    names = [name for name, _ in got]
    assert names == ["start", *["text"] * (len(got) - 2), "done"]
    # Sixty-odd words come one by one; the page is told ten times a second, and once more at the end.
    assert 3 <= names.count("text") <= 10 * seconds + 2
    assert "".join(data["delta"] for name, data in got if name == "text") == got[-1][1]["message"]["content"]
    assert all(data["html"].startswith("<p><strong>bold</strong>") for name, data in got[3:-1])
    assert got[-1][1]["message"]["html"] == got[-2][1]["html"]
    message = server.state.store.messages(told)[-1]
    assert (message.finish_reason, message.model, message.sampling["temperature"]) == ("stop", "scripted", 0)
    assert server.state.store.conversation(told).title == "say **bold** word word word word word word word word word w…"


def test_stopping_keeps_what_was_written(server: LiveServer) -> None:
    told, stream = ask(server.client, "long")
    with stream as response:
        got = events(response)
        started = next(got)[1]["answer"]
        assert next(got)[0] == "text"
        # Known as under way: a page that is loaded now looks again.
        assert server.client.get(f"/ui/conversations/{told}").json()["writing"] is True
        assert server.client.delete(f"/ui/answers/{started}").status_code == 204
        *_, (name, data) = got
    assert (name, data["message"]["finish_reason"]) == ("done", "cancelled")
    assert server.state.store.messages(told)[-1].content == data["message"]["content"] != ""
    until(lambda: server.in_flight == 0)
    # It is over: stopping once more is no error.
    assert server.client.delete(f"/ui/answers/{started}").status_code == 204


def test_a_page_that_is_gone_stops_its_answer_and_loses_nothing(server: LiveServer) -> None:
    told, stream = ask(server.client, "long")
    with stream as response:
        got = events(response)
        for _ in range(3):
            next(got)
    seen = len(server.state.store.messages(told))
    until(lambda: server.in_flight == 0 and len(server.state.store.messages(told)) == 2)
    message = server.state.store.messages(told)[-1]
    assert message.finish_reason == "cancelled"
    assert message.content.startswith("word0 word1")
    assert seen in (1, 2)
    until(lambda: server.client.get(f"/ui/conversations/{told}").json()["writing"] is False)


def test_a_server_that_stops_keeps_what_was_written(tmp_path: Path, scripted: Any) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store = Store(url)
    state = State([ServedModel("scripted", scripted, "tuned")], store, title="x")
    with live_server(state) as running, httpx.Client(base_url=running.url, timeout=30) as client:
        told, stream = ask(client, "long")
        with stream as response:
            got = events(response)
            assert [next(got)[0], next(got)[0]] == ["start", "text"]
            running.stop()
            *_, (name, data) = got
    assert (name, data["message"]["finish_reason"]) == ("done", "cancelled")
    store.close()
    again = Store(url)
    assert again.messages(told)[-1].content == data["message"]["content"]
    again.close()


def test_what_is_refused_is_refused_with_a_reason(server: LiveServer) -> None:
    client = server.client
    told = client.post("/ui/conversations", json={"system": "s"}).json()["id"]
    said = client.post(f"/ui/conversations/{told}/messages", json={"content": "你好", "parent": None}).json()["id"]
    stream = {"model": "scripted"}
    cases: list[tuple[str, str, dict[str, Any], int, str]] = [
        ("GET", f"/ui/conversations/{'0' * 32}", {}, 404, "no conversation"),
        ("PATCH", "/ui/conversations/..%2Fx", {"title": "x"}, 404, ""),
        ("POST", f"/ui/conversations/{told}/messages", {"content": " \n"}, 400, "the message is empty"),
        ("POST", f"/ui/conversations/{told}/messages", {"content": "a\0b"}, 400, "NUL"),
        ("POST", f"/ui/conversations/{told}/messages", {"content": "x", "parent": "0" * 32}, 404, "no message"),
        ("POST", f"/ui/conversations/{told}/messages", {"text": "x"}, 400, "content"),
        ("PATCH", f"/ui/conversations/{told}", {"title": "x" * 201}, 400, "200"),
        ("POST", f"/ui/messages/{said}/answers", {"model": "scriptet"}, 404, "did you mean 'scripted'"),
        ("POST", f"/ui/messages/{said}/answers", {**stream, "temperature": 3}, 400, "temperature"),
        ("POST", f"/ui/messages/{said}/answers", {**stream, "max_tokens": 0}, 400, "max_tokens"),
        ("PUT", f"/ui/messages/{said}/feedback", {"rating": 1}, 400, "only answers"),
        ("PUT", f"/ui/messages/{'f' * 32}/feedback", {"rating": 1}, 404, "no message"),
    ]
    for method, path, body, status, reason in cases:
        answer = client.request(method, path, json=body or None)
        assert (answer.status_code, reason in answer.json()["error"]["message"]) == (status, True), answer.text
    answered = server.state.store.add_message(told, "assistant", "x", parent=said)
    refused = client.post(f"/ui/messages/{answered.id}/answers", json=stream)
    assert refused.status_code == 400
    assert "was not written by a person" in refused.text
    assert [message.role for message in server.state.store.messages(told)] == ["user", "assistant"]


def test_static_files_are_looked_up_by_name_and_checked_for_changes(server: LiveServer) -> None:
    client = server.client
    script = client.get("/static/main.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "no-cache"
    assert client.get("/static/main.js", headers={"If-None-Match": script.headers["etag"]}).status_code == 304
    assert client.get("/static/icon.svg").headers["content-type"] == "image/svg+xml"
    for name in ("nothing.js", "..%2Froutes.py", "%2e%2e%2fstrings.toml", "__init__.py", "strings.toml", ""):
        assert client.get(f"/static/{name}").status_code == 404, name


def test_the_page_comes_in_the_visitors_language_and_colours(server: LiveServer) -> None:
    client = server.client
    page = client.get("/", headers={"Accept-Language": "zh-CN"})
    assert '<html lang="zh-Hans" data-theme="auto">' in page.text
    assert "新对话" in page.text
    assert (page.headers["content-language"], page.headers["cache-control"]) == ("zh", "no-store")
    assert "script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    cookies = "heedful_language=en; heedful_theme=dark"
    assert (
        '<html lang="en" data-theme="dark">'
        in client.get("/", headers={"Cookie": cookies, "Accept-Language": "zh"}).text
    )
    # Cookies are anybody's text as well.
    cookies = 'heedful_language="><script>; heedful_theme=x" onload=alert(1)'
    assert '<html lang="en" data-theme="auto">' in client.get("/", headers={"Cookie": cookies}).text


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[LiveServer]:
    """A server with a key, and a title that tries to be HTML."""
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    state = State([ServedModel("fixed", FakeEngine(), "tuned")], store, title="<b>x</b>", api_key=KEY)
    with live_server(state) as running:
        yield running
    store.close()


def test_with_a_key_the_page_asks_for_it_once(locked: LiveServer) -> None:
    client = locked.client
    html = {"Accept": "text/html"}
    first = client.get("/c/abc", headers=html)
    assert (first.status_code, first.headers["location"]) == (303, "/sign-in?next=/c/abc")
    assert client.get("/ui/conversations").status_code == 401
    form = client.get("/sign-in?next=/c/abc")
    assert "<b>x</b>" not in form.text
    assert 'value="/c/abc"' in form.text
    assert client.get("/static/sign_in.css").status_code == 200
    wrong = client.post("/sign-in", data={"key": "battery staple", "next": "/"})
    assert wrong.status_code == 401
    assert "That is not the key" in wrong.text
    assert "set-cookie" not in wrong.headers
    right = client.post("/sign-in", data={"key": KEY, "next": "/c/abc"})
    assert (right.status_code, right.headers["location"]) == (303, "/c/abc")
    cookie = right.headers["set-cookie"]
    assert all(part in cookie for part in ("heedful_session=", "HttpOnly", "SameSite=strict"))
    assert KEY not in cookie
    assert client.get("/ui/conversations").json() == []
    assert client.get("/sign-in", headers=html).headers["location"] == "/"
    # The cookie opens the page, not the API; and made-up cookies open nothing.
    assert client.get("/v1/models").status_code == 401
    stranger = httpx.Client(base_url=locked.url, cookies={"heedful_session": "x" * 43})
    with stranger:
        assert stranger.get("/ui/conversations").status_code == 401


@pytest.mark.parametrize(
    "target",
    ["https://evil.invalid/", "//evil.invalid", "/\\evil.invalid", "/c/a/../..//evil", "javascript:x", "/v1/models"],
)
def test_signing_in_never_leads_elsewhere(locked: LiveServer, target: str) -> None:
    answer = locked.client.post("/sign-in", data={"key": KEY, "next": target})
    assert answer.headers["location"] == "/"


def test_a_form_that_is_too_long_is_not_read(locked: LiveServer) -> None:
    assert locked.client.post("/sign-in", data={"next": "x" * 5000, "key": KEY}).status_code == 401
