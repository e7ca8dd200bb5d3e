"""The hand-written HTTP and the event parser: equal to h11, whatever the pieces; proxies; certificates."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint import Endpoint, expected
from heedful.errors import EngineError, SettingsError
from heedful.generate.engine import Request
from heedful.generate.remote import RemoteEngine
from heedful.generate.remote.http1 import BrokenResponseError, ResponseReader
from heedful.generate.remote.sse import EventParser
from heedful.records import Message


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


# -- responses -------------------------------------------------------------------------------------------------------------


def ours(pieces: list[bytes]) -> tuple[int, bytes, bool] | None:
    """(status, body, usable again), or None for a broken response."""
    reader, body = ResponseReader(), b""
    try:
        for piece in pieces:
            body += reader.feed(piece)
        keeps_alive = reader.keeps_alive
        reader.end()
    except BrokenResponseError:
        return None
    assert reader.head is not None
    return reader.head.status, body, keeps_alive


def theirs(data: bytes) -> tuple[int, bytes, bool] | None:
    """The same by h11."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    status, body = 0, b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return None
        return status, body, connection.their_state is h11.DONE
    except h11.RemoteProtocolError:
        return None


bodies = st.binary(max_size=40)
spaces = st.sampled_from(["", " ", "  "])


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Mostly right; sometimes lengths that lie, ends that are missing, bytes that are none of HTTP."""
    body = draw(bodies)
    kind = draw(st.sampled_from(["length", "chunked", "close", "nothing"]))
    status = draw(st.sampled_from([200, 204, 304, 404, 500]))
    lines = [f"HTTP/1.{draw(st.sampled_from('10'))} {status}{draw(st.sampled_from([' OK', ' ', '']))}"]
    lines += draw(st.lists(st.sampled_from(["Server: x", "X-A: b: c", "Connection: close", "connection:keep-alive"])))
    if kind == "length":
        lines.append(f"Content-Length:{draw(spaces)}{len(body) + draw(st.sampled_from([0, 0, 0, 3, -1]))}")
    if kind == "chunked":
        lines.append("Transfer-Encoding: chunked")
        size = draw(st.integers(1, 20))
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        body = b"".join(
            f"{len(part):x}{draw(st.sampled_from(['', ';a=b']))}\r\n".encode() + part + b"\r\n" for part in parts
        )
        body += draw(
            st.sampled_from([b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX-T: 1\r\n\r\n", b"0\r\n", b"", b"-1\r\n", b"0x\r\n"])
        )
    early = draw(
        st.sampled_from([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"])
    )
    return early + ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@given(responses(), st.data())
def test_responses_are_read_as_h11_reads_them(data: bytes, draws: st.DataObject) -> None:
    cuts = sorted(draws.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    one, other = ours(pieces), theirs(data)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one[:2] == other[:2]
        assert one[2] <= other[2], "a connection that cannot be used again would be"


@given(st.binary(max_size=200), st.data())
def test_garbage_is_broken_and_nothing_worse(data: bytes, draws: st.DataObject) -> None:
    prefix = draws.draw(
        st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
    )
    found = ours([prefix + data])
    assert found is None or found[0] >= 100


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"",
    ],
)
def test_what_is_not_http(data: bytes) -> None:
    assert ours([data]) is None


def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
    assert ours([data]) == (200, b"ab", True)
    assert ours([data + b"c"]) == ours([data, b"c"]) == (200, b"ab", False)


def test_a_length_beside_chunks_closes_the_connection() -> None:
    # Request smuggling lives on such responses; the chunks count, and the connection is not used again.
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    assert ours([data]) == (200, b"ab", False)


# -- events ----------------------------------------------------------------------------------------------------------------


def parsed(pieces: list[bytes]) -> list[bytes]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)] + parser.end()


texts = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=12)


@given(st.lists(st.tuples(texts, st.sampled_from(["\n", "\r", "\r\n"]), st.booleans()), max_size=8), st.data())
def test_events_cut_anywhere(events: list[tuple[str, str, bool]], draws: st.DataObject) -> None:
    data = "".join(
        (f": {text}{end}event: x{end}" if remarked else "") + f"data: {text}{end}{end}"
        for text, end, remarked in events
    ).encode()
    cuts = sorted(draws.draw(st.lists(st.integers(0, len(data)), max_size=20)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert parsed(pieces) == [text.encode() for text, _, _ in events]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data:a\ndata: b\ndata:  c\n\n", [b"a\nb\n c"]),
        (b"data\n\ndata: x\n\n", [b"", b"x"]),
        (b"data: no blank line", [b"no blank line"]),
        (b"data: a\r\n\r\ndata: b\r\n", [b"a", b"b"]),
        (b"id: 3\nretry: 10\n\n: only remarks\n\n", []),
    ],
)
def test_events_by_the_letter(data: bytes, expected: list[bytes]) -> None:
    assert parsed([data]) == expected
    assert parsed([data[place : place + 1] for place in range(len(data))]) == expected


# -- proxies and certificates ------------------------------------------------------------------------------------------------


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def served(serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of this machine where `serve` meets whoever comes, in a thread of its own."""
    ready, ports = Event(), list[int]()
    control: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        control.append((asyncio.get_running_loop(), asyncio.Event()))
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await control[0][1].wait()
        server.close()
        # Time for connections to notice that their other end is closed.
        await asyncio.sleep(0.05)

    thread = Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield ports[0]
    finally:
        loop, stopping = control[0]
        loop.call_soon_threadsafe(stopping.set)
        thread.join()


async def copied(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter], far: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Both ways, until one end is closed."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                target.write(data)
        near[1].transport.abort()
        far[1].transport.abort()

    await asyncio.gather(copy(near[0], far[1]), copy(far[0], near[1]))


@contextmanager
def proxy_to(port: int) -> Iterator[tuple[int, list[str]]]:
    """(port, heads that came) of a proxy that knows where every host is: at `port` of this machine."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head.decode())
        far = await asyncio.open_connection("127.0.0.1", port)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            far[1].write(head)
        await copied((reader, writer), far)

    with served(serve) as own:
        yield own, heads


def port_of(endpoint: Endpoint) -> int:
    return int(endpoint.url.rsplit(":", 1)[1].split("/")[0])


REQUEST = Request("r", (Message("user", "hello"),))


def test_a_proxy_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with Endpoint() as endpoint, proxy_to(port_of(endpoint)) as (proxy, heads):
        monkeypatch.setenv("http_proxy", f"http://me:pass%20word@127.0.0.1:{proxy}")
        with RemoteEngine("http://models.example:8000/v1", "m") as engine:
            assert engine.submit(REQUEST).result()[0].text == expected("hello")
    (head,) = heads
    assert head.startswith(
        "POST http://models.example:8000/v1/chat/completions HTTP/1.1\r\nHost: models.example:8000\r\n"
    )
    assert "Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in head


def test_no_proxy_leads_back_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Endpoint() as endpoint, RemoteEngine(endpoint.url, "m") as engine:
        assert engine.submit(REQUEST).result()[0].text == expected("hello")


def test_a_kind_of_proxy_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(SettingsError, match="of the kind 'socks5'"):
        RemoteEngine("http://models.example/v1", "m")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) of models.example and 127.0.0.1, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("the command `openssl` makes the certificate")
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    names = "subjectAltName=DNS:models.example,IP:127.0.0.1"
    options = ["-addext", names, "-out", paths[0], "-keyout", paths[1]]
    subprocess.run([*command.split(), *options], check=True, capture_output=True)
    return paths


@contextmanager
def encrypted(port: int, certificate: tuple[Path, Path]) -> Iterator[int]:
    """The port where TLS is taken off and the rest is handed to `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await copied((reader, writer), await asyncio.open_connection("127.0.0.1", port))

    with served(serve, context) as own:
        yield own


def test_certificates_are_checked(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with Endpoint() as endpoint, encrypted(port_of(endpoint), certificate) as port:
        url = f"https://127.0.0.1:{port}/v1"
        with (
            RemoteEngine(url, "m", first_wait=0.001) as engine,
            pytest.raises(EngineError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            engine.submit(REQUEST).result()
        assert not endpoint.asked
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with RemoteEngine(url, "m") as engine:
            assert engine.submit(REQUEST).result()[0].text == expected("hello")
            assert engine.submit(REQUEST).result()[0].text == expected("hello")
        assert endpoint.num_connections == 1, "the connection is kept"


def test_certificates_through_a_proxy(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with (
        Endpoint() as endpoint,
        encrypted(port_of(endpoint), certificate) as port,
        proxy_to(port) as (proxy, heads),
    ):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy}")
        with RemoteEngine("https://models.example/v1", "m") as engine:
            assert engine.submit(REQUEST).result()[0].text == expected("hello")
        assert heads[0].startswith("CONNECT models.example:443 HTTP/1.1\r\nHost: models.example:443\r\n\r\n")
        with (
            RemoteEngine("https://other.example/v1", "m", first_wait=0.001) as engine,
            pytest.raises(EngineError, match="Hostname mismatch"),
        ):
            engine.submit(REQUEST).result()
