"""A process that asks an endpoint through the cache, to be killed.

    python endpoint_client.py URL CACHE FIRST LAST IN_FLIGHT      asks "question FIRST" up to, not including, "question LAST"

Prints "asking" when all are asked, and at the end one JSON line with the answers' texts in order.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from heedful.generate.cached import CachedEngine
from heedful.generate.engine import Request, Sampling
from heedful.generate.remote import RemoteEngine
from heedful.records import Message


def question(number: int) -> Request:
    """What is asked as number `number`."""
    return Request(str(number), (Message("user", f"question {number}"),), sampling=Sampling(max_tokens=16))


def main(url: str, cache: str, first: str, last: str, in_flight: str) -> None:
    remote = RemoteEngine(url, "m", max_in_flight=int(in_flight), first_wait=0.005, timeout=5)
    with CachedEngine(remote, Path(cache)) as engine:
        handles = [engine.submit(question(number)) for number in range(int(first), int(last))]
        print("asking", flush=True)
        texts = [handle.result()[0].text for handle in handles]
    print(json.dumps(texts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
