"""The floor: what a bare libcurl-multi POST loop costs on this machine, with nothing of ours around it.

`python -m delivery.bench.floor URL [--requests N] [--in-flight C] [--bytes B]` prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from uuid import uuid4

import pycurl  # noqa: TID251 - the floor is libcurl with nothing of ours


def new_handle(url: str, body: bytes) -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.POST, 1)
    handle.setopt(pycurl.POSTFIELDS, body)
    handle.setopt(pycurl.NOSIGNAL, 1)
    handle.setopt(pycurl.PROXY, "")
    handle.setopt(pycurl.WRITEFUNCTION, len)
    return handle


def start(multi: pycurl.CurlMulti, handle: pycurl.Curl) -> None:
    handle.setopt(pycurl.HTTPHEADER, [f"webhook-id: {uuid4()}", "Content-Type: application/json", "Expect:"])
    multi.add_handle(handle)


def post_all(url: str, requests: int, in_flight: int, body: bytes) -> int:
    """Send `requests` POSTs, `in_flight` at a time; returns how many failed."""
    multi = pycurl.CurlMulti()
    idle = [new_handle(url, body) for _ in range(min(in_flight, requests))]
    started = finished = failed = 0
    while finished < requests:
        while idle and started < requests:
            start(multi, idle.pop())
            started += 1
        multi.perform()
        _, good, bad = multi.info_read(in_flight)
        for handle in [*good, *(entry[0] for entry in bad)]:
            multi.remove_handle(handle)
            idle.append(handle)
        failed += len(bad)
        finished += len(good) + len(bad)
        if not good and not bad:
            multi.select(1.0)
    return failed


def measure(url: str, requests: int, in_flight: int = 32, body_bytes: int = 1024) -> dict[str, float]:
    """Requests/s and this process' CPU µs per request."""
    post_all(url, in_flight * 4, in_flight, b"{}")  # connections and code are warm in every run we compare with
    body = b'{"d":"' + b"x" * max(body_bytes - 8, 0) + b'"}'
    wall, cpu = time.perf_counter(), time.process_time()
    failed = post_all(url, requests, in_flight, body)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "requests": requests,
        "failed": failed,
        "requests_per_s": round(requests / wall, 1),
        "cpu_us_per_request": round(cpu / requests * 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--bytes", type=int, default=1024)
    options = parser.parse_args()
    print(json.dumps(measure(options.url, options.requests, options.in_flight, options.bytes)))


if __name__ == "__main__":
    main()
