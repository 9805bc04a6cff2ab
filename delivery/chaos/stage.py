"""What a chaos run plays on: our processes, the receivers, the tenants, and the services it was given."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import redis
import requests  # noqa: TID251 - asks our own receivers and our own readiness
from django.conf import settings

from audit.trail import Actor
from delivery.bench.processes import Fleet
from delivery.chaos.load import EVENT_TYPE, FAULTY_TAG, Publisher
from delivery.chaos.services import ServiceControl
from eventcenter.crypto import seal
from eventcenter.publish_keys import create_publish_key
from eventcenter.standardwebhooks import decode_secret, generate_secret
from subscriptions.models import Endpoint, EndpointSecret, Subscription, Tenant

TENANTS = 4
HEALTHY_ENDPOINTS = 3  # of each tenant
WORKERS = ("worker1", "worker2")
READY_WITHIN_S = 90.0
POLL_S = 0.2
FAULTY_TIMEOUT_S = 2.0
# A faulty receiver takes each delivery in the end; no attempt of these may be the last one.
FAULTY_POLICY = {"schedule_s": [0, *[1.0] * 10, *[3.0] * 39], "jitter_share": 0.2, "max_age_s": 3600}


class Receiver:
    """A running delivery.chaos.receiver."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.url = f"http://127.0.0.1:{told['port']}"
        self._control = f"http://127.0.0.1:{told['control']}"

    def stats(self) -> dict[str, Any]:
        return self._ask("/stats")

    def window(self) -> dict[str, float]:
        return self._ask("/window")

    def incomplete(self, below: int, each: int) -> set[int]:
        return set(self._ask(f"/incomplete?below={below}&each={each}")["numbers"])

    def set_mood(self, acts: Sequence[str], share: float) -> None:
        answer = requests.post(f"{self._control}/mood", json={"acts": list(acts), "share": share}, timeout=30)
        if error := answer.json()["error"]:
            raise RuntimeError(f"the receiver: {error}")

    def _ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(self._control + path, timeout=30).json()
        return answer


class Stage:
    """Made once per run. The services are those of the settings; `control` stops and starts them."""

    def __init__(self, fleet: Fleet, control: ServiceControl, seed: int) -> None:
        self.fleet = fleet
        self.control = control
        self.port = _free_port()
        self.healthy = self._receiver("receiver", seed)
        self.faulty = self._receiver("faulty-receiver", seed)

    def _receiver(self, name: str, seed: int) -> Receiver:
        argv = [sys.executable, "-m", "delivery.chaos.receiver", "--seed", str(seed)]
        return Receiver(self.fleet.start_told(name, argv))

    def make_tenants(self) -> list[Publisher]:
        return [self._make_tenant(f"chaos-{number}") for number in range(TENANTS)]

    def _make_tenant(self, slug: str) -> Publisher:
        tenant = Tenant.objects.create(slug=slug, name="Chaos")
        for number in range(HEALTHY_ENDPOINTS):
            endpoint = _endpoint(tenant, f"healthy-{number}", f"{self.healthy.url}/{slug}/{number}")
            Subscription.objects.create(tenant=tenant, slug=endpoint.slug, endpoint=endpoint, types=[EVENT_TYPE])
        faulty = _endpoint(tenant, "faulty", f"{self.faulty.url}/{slug}", timeout_s=FAULTY_TIMEOUT_S)
        Subscription.objects.create(
            tenant=tenant,
            slug="faulty",
            endpoint=faulty,
            types=[EVENT_TYPE],
            tags=[FAULTY_TAG],
            retry_policy=FAULTY_POLICY,
        )
        key, secret = create_publish_key(tenant.pk, "chaos", Actor("system:chaos"))
        return Publisher(slug, key.key_id, decode_secret(secret))

    def start_processes(self) -> None:
        """All of ours; returns when they take part. Raises TimeoutError."""
        self.fleet.start_web(self.port)
        self.fleet.start_relay()
        self.fleet.start_consumer()
        self.fleet.start_sweep()
        for name in WORKERS:
            self.fleet.start_worker(name)
        ends_at = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            if time.monotonic() > ends_at:
                raise TimeoutError(f"not ready within {READY_WITHIN_S:g} s; see the logs in {self.fleet.logs}")
            time.sleep(POLL_S)

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def revive(self) -> list[str]:
        """Start what ended by itself again, as a supervisor would. Returns its names: a process of ours must not end."""
        ended = [name for name, part in self.fleet.parts.items() if part.process.poll() is not None]
        for name in ended:
            self.fleet.start_again(name)
        return ended

    def flush_redis(self) -> None:
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            client.flushall()


def _endpoint(tenant: Tenant, slug: str, url: str, **values: float) -> Endpoint:
    assert urlsplit(url).port
    endpoint = Endpoint.objects.create(tenant=tenant, slug=slug, url=url, **values)
    sealed = seal(generate_secret(), EndpointSecret.SECRET_PURPOSE)
    EndpointSecret.objects.create(endpoint=endpoint, sealed_secret=sealed)
    return endpoint


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
