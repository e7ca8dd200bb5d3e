"""Attacks on the server from elsewhere on the web, from a rebound host name, and without the key. Each must fail."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from heedful.feedback.store import Store
from heedful.generate.fake import FakeEngine
from heedful.serve.guard import MAX_BODY
from heedful.serve.state import ServedModel, Sessions, State
from live_server import LiveServer, live_server

KEY = "correct-horse"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def state(folder: Path, *, key: str | None = None, hosts: frozenset[str] | None = None) -> State:
    store = Store(f"sqlite:///{folder / 'feedback.sqlite'}")
    return State([ServedModel("m", FakeEngine("ok"), "tuned")], store, title="t", api_key=key, hosts=hosts)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with a key."""
    with live_server(state(tmp_path_factory.mktemp("locked"), key=KEY)) as live:
        yield live
    live.state.store.close()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that listens beyond loopback, under any name, without a key."""
    with live_server(state(tmp_path_factory.mktemp("wide"))) as live:
        yield live
    live.state.store.close()


def post(live: LiveServer, **headers: str) -> httpx.Response:
    # As a form on a foreign page would send it: no preflight asks first.
    return live.client.post(
        "/v1/chat/completions", json=CHAT, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil", "127.0.0.1@evil.example", "", "[::2]", "localhost:80:80", "0.0.0.0"])  # fmt: skip
def test_a_rebound_host_name_is_not_answered(live: LiveServer, host: str) -> None:
    # The attacker's name now points to this machine: the browser thinks that both are one origin.
    for path in ("/v1/models", "/health", "/", "/ui/conversations", "/static/chat.js"):
        response = live.client.get(path, headers={"Host": host, "Origin": f"http://{host}"})
        assert response.status_code in (400, 403), (path, host)
        assert "tiny" not in response.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:8000"])
def test_our_own_names_are_answered(live: LiveServer, host: str) -> None:
    assert live.client.get("/v1/models", headers={"Host": host}).status_code == 200


def test_two_host_headers_are_refused(live: LiveServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(live.url).netloc)
    connection.putrequest("GET", "/v1/models", skip_host=True)
    connection.putheader("Host", "127.0.0.1")
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
    connection.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1", "http://127.0.0.1.evil.example", "file://", ""])  # fmt: skip
def test_foreign_pages_change_nothing(wide: LiveServer, origin: str) -> None:
    before = wide.client.get("/ui/conversations").json()
    assert post(wide, Origin=origin).status_code == 403
    for method, path in (
        ("POST", "/ui/conversations"),
        ("DELETE", "/ui/conversations/x"),
        ("PUT", "/ui/messages/x/feedback"),
    ):
        response = wide.client.request(method, path, json={}, headers={"Origin": origin})
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "foreign_origin"
    assert wide.client.get("/ui/conversations").json() == before


def test_foreign_pages_without_origin_are_known_by_fetch_metadata(wide: LiveServer) -> None:
    assert post(wide, Sec_Fetch_Site="cross-site").status_code == 403
    assert post(wide, Sec_Fetch_Site="same-site").status_code == 403
    assert post(wide, Sec_Fetch_Site="same-origin", Origin=wide.url).status_code == 200
    assert post(wide, Sec_Fetch_Site="none").status_code == 200


def test_foreign_pages_cannot_read(wide: LiveServer) -> None:
    read = wide.client.get("/v1/models", headers={"Origin": "http://evil.example"})
    asked = wide.client.options(
        "/v1/chat/completions", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    for response in (read, asked):
        assert not [name for name in response.headers if name.startswith("access-control-")]
    assert asked.status_code == 405
    assert read.headers["cross-origin-resource-policy"] == "same-origin"


def test_our_own_page_may_ask(wide: LiveServer) -> None:
    assert post(wide, Origin=wide.url).status_code == 200
    named = urlsplit(wide.url)
    assert post(wide, Host=f"my-server:{named.port}", Origin=f"http://my-server:{named.port}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/m"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("GET", "/openapi.json"),
        ("GET", "/ui/conversations"),
        ("POST", "/ui/conversations"),
        ("DELETE", "/ui/conversations/x"),
        ("GET", "/nothing"),
        ("GET", "/docs"),
        ("GET", "/health/"),
        ("GET", "/static/../v1/models"),
        ("GET", "/static/..%2fv1/models"),
        ("GET", "//v1/models"),
        ("GET", "/sign-in/../v1/models"),
    ],
)
@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", "Bearer", "Basic correct-horse", "Bearer correct-horse2", "correct-horse"]
)
def test_nothing_opens_without_the_key(locked: LiveServer, method: str, path: str, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    # http.client sends the path as it stands; others would tidy it up.
    connection = http.client.HTTPConnection(urlsplit(locked.url).netloc)
    connection.request(method, path, body="{}" if method != "GET" else None, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    assert response.status in ((404,) if path.startswith("/static/") else (401,))
    assert '"data"' not in body
    assert KEY not in body


def test_the_key_opens(locked: LiveServer) -> None:
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer  {KEY}"}):
        assert locked.client.get("/v1/models", headers=headers).status_code == 200
    # Bytes that are no ASCII are a wrong key, not a failure.
    assert locked.client.get("/v1/models", headers={"Authorization": "Bearer schlüssel".encode()}).status_code == 401


def test_open_without_the_key(locked: LiveServer) -> None:
    assert locked.client.get("/health").json() == {"status": "ok", "models": ["m"], "in_flight": 0}
    assert locked.client.get("/sign-in").status_code == 200


def test_pages_lead_to_the_sign_in(locked: LiveServer) -> None:
    response = locked.client.get("/c/abc", headers={"Accept": "text/html"})
    assert (response.status_code, response.headers["location"]) == (303, "/sign-in?next=/c/abc")


def test_the_cookie_opens_the_page_but_not_the_api(locked: LiveServer) -> None:
    with httpx.Client(base_url=locked.url) as browser:
        browser.cookies.set("heedful_session", KEY)
        assert browser.get("/ui/conversations").status_code == 401
        browser.cookies.clear()
        browser.cookies.set("heedful_session", locked.state.sessions.open())
        assert browser.get("/ui/conversations").status_code == 200
        assert browser.get("/v1/models").status_code == 401
        # A foreign page that rides on the cookie is refused like any other.
        assert browser.post("/ui/conversations", json={}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_the_log_never_holds_a_key(locked: LiveServer) -> None:
    locked.client.get(f"/v1/models?api_key={KEY}", headers={"Authorization": f"Bearer {KEY}x"})
    assert locked.log
    assert KEY not in "\n".join(locked.log)


def test_huge_bodies_are_refused_whether_they_say_so_or_not(wide: LiveServer) -> None:
    stated = wide.client.post(
        "/v1/chat/completions", content=b" " * (MAX_BODY + 1), headers={"Content-Type": "application/json"}
    )
    counted = wide.client.post(
        "/v1/chat/completions", content=(b" " * 2**18 for _ in range(20)), headers={"Content-Type": "application/json"}
    )
    for response in (stated, counted):
        assert response.status_code == 413
        assert str(MAX_BODY) in response.json()["error"]["message"]


def test_headers_that_browsers_obey(wide: LiveServer) -> None:
    for path in ("/", "/v1/models", "/nothing"):
        headers = wide.client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_no_documentation_page_that_loads_from_elsewhere(wide: LiveServer) -> None:
    assert wide.client.get("/docs").status_code == 404
    assert wide.client.get("/redoc").status_code == 404


def test_sessions_are_forgotten_when_too_many_or_closed() -> None:
    sessions = Sessions()
    first = sessions.open()
    second = sessions.open()
    assert sessions.valid(first)
    sessions.close(first)
    assert not sessions.valid(first)
    assert sessions.valid(second)
    for _ in range(1000):
        sessions.open()
    assert not sessions.valid(second)
    assert not sessions.valid("")
