"""Answers a second from an endpoint 50 ms away with 64 requests in flight: ours against OpenAI's client, and against the ideal.

    make bench-remote

The endpoint (tests/support/endpoint.py, a process of its own) answers every request after 50 ms, so 64 in flight cannot bring more than
64 / 0.05 = 1,280 answers a second. The share of that is the figure; OpenAI's asynchronous client with a semaphore of 64, in the same run
and interleaved, is the peer; 64 bare connections that send the same bytes and throw the answers away are what this machine can do.
Ours does more than the peer: through the cache it claims each request and stores each answer before the next one is sent.

Each round begins after 200 answers have warmed connections and pace up. The last line is JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import openai

from heedful.generate.cached import CachedEngine
from heedful.generate.engine import Engine, Request, Sampling, generate
from heedful.generate.remote import RemoteEngine
from heedful.generate.remote.wire import request_body
from heedful.records import Message

LATENCY, LIMIT = 0.05, 64
IDEAL = LIMIT / LATENCY
NUM_WARM, NUM_REQUESTS, NUM_OF_PEER = 200, 4000, 800
ROUNDS = 3
SERVER = Path(__file__).resolve().parent.parent / "tests" / "support" / "endpoint.py"

Side = Callable[[str, int], float]
"""(URL, number of requests) -> answers a second."""


def question(number: int | str) -> Request:
    return Request(str(number), (Message("user", f"question {number}"),), sampling=Sampling(max_tokens=16))


def expected(number: int) -> str:
    return f"answer 0 to question {number}"


def asked_at_once(engine: Engine, num_requests: int) -> float:
    """Everything is submitted, then read in order."""
    for handle in [engine.submit(question(f"warm {number}")) for number in range(NUM_WARM)]:
        handle.result()
    started = time.perf_counter()
    handles = [engine.submit(question(number)) for number in range(num_requests)]
    texts = [handle.result()[0].text for handle in handles]
    seconds = time.perf_counter() - started
    assert texts == [expected(number) for number in range(num_requests)]
    return num_requests / seconds


def streamed(url: str, num_requests: int) -> float:
    with RemoteEngine(url, "m", max_in_flight=LIMIT) as engine:
        return asked_at_once(engine, num_requests)


def cached(url: str, num_requests: int) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        CachedEngine(RemoteEngine(url, "m", max_in_flight=LIMIT), Path(folder) / "cache.sqlite") as engine,
    ):
        return asked_at_once(engine, num_requests)


def in_batches(url: str, num_requests: int) -> float:
    """As stages ask: `generate`, which begins a batch when the one before is complete."""
    with (
        tempfile.TemporaryDirectory() as folder,
        CachedEngine(RemoteEngine(url, "m", max_in_flight=LIMIT), Path(folder) / "cache.sqlite") as engine,
    ):
        list(generate(engine, [question(f"warm {number}") for number in range(NUM_WARM)]))
        started = time.perf_counter()
        texts = [one.text for one in generate(engine, map(question, range(num_requests)))]
        seconds = time.perf_counter() - started
        assert texts == [expected(number) for number in range(num_requests)]
        return num_requests / seconds


def of_openai(url: str, num_requests: int) -> float:
    async def run() -> float:
        gate = asyncio.Semaphore(LIMIT)
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

            async def ask(number: int | str) -> str | None:
                async with gate:
                    completion = await client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": f"question {number}"}], max_tokens=16, n=1
                    )
                    return completion.choices[0].message.content

            await asyncio.gather(*[ask(f"warm {number}") for number in range(NUM_WARM)])
            started = time.perf_counter()
            texts = await asyncio.gather(*[ask(number) for number in range(num_requests)])
            seconds = time.perf_counter() - started
        assert texts == [expected(number) for number in range(num_requests)]
        return num_requests / seconds

    return asyncio.run(run())


def bare(url: str, num_requests: int) -> float:
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")

    async def worker(numbers: Iterator[int]) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in numbers:
            body = request_body(question(number), "m", stream=False)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.rpartition(b": ")[2]))
        writer.close()

    async def run() -> float:
        started, numbers = time.perf_counter(), iter(range(num_requests))
        await asyncio.gather(*[worker(numbers) for _ in range(LIMIT)])
        return num_requests / (time.perf_counter() - started)

    return asyncio.run(run())


@contextmanager
def endpoint() -> Iterator[tuple[str, dict[str, int]]]:
    """Its URL, and what it counted, which is there at the end."""
    counts: dict[str, int] = {}
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(LATENCY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip(), counts
    counts |= json.loads(process.communicate("")[0])


SIDES: dict[str, tuple[Side, int]] = {
    "bare connections": (bare, NUM_REQUESTS),
    "ours, through the cache": (cached, NUM_REQUESTS),
    "ours, streamed": (streamed, NUM_REQUESTS),
    "ours, batch by batch": (in_batches, NUM_REQUESTS),
    "openai": (of_openai, NUM_OF_PEER),
}


def main() -> None:
    rates: dict[str, list[float]] = {name: [] for name in SIDES}
    num_asked = 0
    with endpoint() as (url, counts):
        for _ in range(ROUNDS):
            for name, (side, num_requests) in SIDES.items():
                rates[name].append(side(url, num_requests))
                num_asked += num_requests + (NUM_WARM if side is not bare else 0)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"ideal: {LIMIT} in flight / {LATENCY * 1000:g} ms = {IDEAL:,.0f} answers/s")
    for name, median in medians.items():
        print(f"{name:<24} {median:7,.0f} answers/s, {median / IDEAL:.1%} of the ideal, best {max(rates[name]):,.0f}")
    print(f"counted at the server: {counts['served']:,} answers, at most {counts['peak']} in flight")
    share = medians["ours, through the cache"] / IDEAL
    result = {
        "bench": "remote",
        "ratios": {
            "share_of_ideal": round(share, 3),
            "share_of_ideal_streamed": round(medians["ours, streamed"] / IDEAL, 3),
            "share_of_ideal_in_batches": round(medians["ours, batch by batch"] / IDEAL, 3),
            "share_of_ideal_bare": round(medians["bare connections"] / IDEAL, 3),
            "vs_openai": round(medians["ours, through the cache"] / medians["openai"], 2),
        },
        "checks": {
            "ninety_percent_of_ideal": share >= 0.9,
            "each_asked_once": counts["served"] == num_asked == counts["asked"],
            "never_more_than_the_limit": counts["peak"] <= LIMIT,
        },
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "versions": {"python": platform.python_version(), "openai": version("openai"), "httpx": version("httpx")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
