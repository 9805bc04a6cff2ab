"""Limits as a receiver counts them: two workers' transports, one Redis, more to send than may be sent."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from django.conf import settings

from delivery.addresses import AddressPolicy
from delivery.limiting.limits import Limiter, SlotRequest
from delivery.limiting.places import Places
from delivery.outcome import ErrorKind, Outcome
from delivery.transports.base import Gate, Message
from delivery.transports.webhook import CurlOptions, WebhookTransport
from tests.fakes.counting import CountingReceiver, most_in
from tests.fakes.inbox import Outcomes, make_message

OPTIONS = CurlOptions(AddressPolicy(["127.0.0.0/8"]))
BATCH = 100
RUN_S = 4.0
IDS = count(2_000_000)


def ignore(message: Message, outcome: Outcome) -> None:
    pass


def send_within_limit(request: SlotRequest, url: str) -> int:
    """A worker that always has more to send: it asks, sends what is granted, and asks again when it was told to.

    Returns how many slots it missed because the machine did something else at that time.
    """
    limiter, transport = Limiter(settings.REDIS_URL), WebhookTransport(OPTIONS)
    outcomes = Outcomes()
    ends_at = time.monotonic() + RUN_S
    while time.monotonic() < ends_at:
        (slots,) = limiter.reserve([request])
        messages = [make_message(url, endpoint_id=request.endpoint_id) for _ in range(slots.granted)]
        for place, message in enumerate(messages):
            message.start_at, message.spacing_s = slots.first_at + place * slots.spacing_s, slots.spacing_s
        transport.send(messages, outcomes.record)
        if slots.granted < request.count:
            time.sleep(slots.wait_s)
    transport.close()
    limiter.close()
    return sum(outcome.error_kind is ErrorKind.RATE_LIMIT for _, outcome in outcomes.wait_for(0))


def rate_of(times: list[float], missed: int) -> float:
    """While all workers still had something to send."""
    span_s = RUN_S - 0.5
    return (sum(at < min(times) + span_s for at in times) + missed) / span_s


@pytest.mark.parametrize("rate", [20.0, 200.0])
def test_endpoint_gets_its_limit_and_no_more_when_two_workers_have_a_backlog(rate: float) -> None:
    request = SlotRequest(next(IDS), next(IDS), rate, None, BATCH)
    with CountingReceiver() as receiver, ThreadPoolExecutor() as workers:
        running = [workers.submit(send_within_limit, request, receiver.url("/hook")) for _ in range(2)]
        missed = sum(worker.result() for worker in running)
        times = receiver.finish()["/hook"].at
    assert most_in(times) <= rate
    assert rate_of(times, missed) >= 0.95 * rate


def test_tenant_gets_its_limit_and_no_more_over_all_its_endpoints() -> None:
    tenant_id, rate = next(IDS), 200.0
    with CountingReceiver() as receiver, ThreadPoolExecutor() as workers:
        running = []
        for own in (None, 30.0, 70.0):
            request = SlotRequest(next(IDS), tenant_id, own, rate, BATCH)
            running.append(workers.submit(send_within_limit, request, receiver.url(f"/{own}")))
        missed = sum(worker.result() for worker in running)
        counted = receiver.finish()
    times = [at for each in counted.values() for at in each.at]
    assert most_in(times) <= rate
    assert rate_of(times, missed) >= 0.95 * rate
    assert most_in(counted["/30.0"].at) <= 30
    assert most_in(counted["/70.0"].at) <= 70


def send_within_places(endpoint_id: int, url: str) -> int:
    """A worker with a little to send now and then. Returns how often it might."""
    gate = Gate()
    places, transport = Places(settings.REDIS_URL, gate), WebhookTransport(OPTIONS, None, gate)
    ends_at, turns = time.monotonic() + RUN_S, 0
    while time.monotonic() < ends_at:
        if places.want(endpoint_id, 3, 5):
            transport.send([make_message(url, endpoint_id=endpoint_id) for _ in range(5)], ignore)
            turns += 1
            time.sleep(0.8)  # idle so long that its places go back
        time.sleep(0.02)
    transport.close()
    places.close()
    return turns


def test_requests_in_flight_reach_their_cap_and_never_pass_it_over_two_workers() -> None:
    endpoint_id = next(IDS)
    with CountingReceiver(delay_s=0.05) as receiver, ThreadPoolExecutor() as workers:
        running = [workers.submit(send_within_places, endpoint_id, receiver.url("/hook")) for _ in range(2)]
        turns = [worker.result() for worker in running]
        counted = receiver.finish()["/hook"]
    assert counted.most_open == 3
    assert min(turns) >= 2
