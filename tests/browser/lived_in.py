"""A console with something on every page: traffic, failures, and what people did about them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Producer

from tests.browser.house import APPROVAL_REPLAY_COUNT, House, Subscriber
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

RELEASES = (
    ("django-ca", "2.1.0"),
    ("pytest-django", "4.14.0"),
    ("jupyterlab-git", "0.50.1"),
    ("mkdocs-material", "9.6.2"),
    ("apache-airflow-providers-amazon", "9.4.0"),
)
UNKNOWN_TYPE = "plugin.release.yanked"


def live(house: House, receiver: Receiver) -> list[str]:
    """Returns when all of it is there to be seen: paths to what is one of many, so that no first link leads there."""
    failing, gone = house.subscriber(receiver.url("/alerting")), house.subscriber(receiver.url("/gone"))
    receiver.script("/alerting", Answer(503, [("content-type", "text/plain")], b"upstream is down\n"))
    receiver.script("/gone", Answer(410))
    blocked = house.subscriber(receiver.url("/blocked"), ordering="block")
    receiver.script("/blocked", Answer(500))
    for plugin, version in RELEASES:
        failing.release(plugin, version, count=APPROVAL_REPLAY_COUNT // len(RELEASES) + 1)
    gone.release("django-ca", "2.1.1")  # which disables it: an alert
    dead = failing.deliveries("dead", least=APPROVAL_REPLAY_COUNT + 1)
    gone.deliveries("dead")
    draft = _act(house, failing, dead[0]["id"])
    write_unknown_type(house)
    blocked.release("django-filebrowser", "4.0.3")  # the newest: a dead one that holds up its key
    [stuck] = blocked.deliveries("dead")
    paused = house.subscriber(receiver.url("/paused"))
    house.call("POST", f"endpoints/{paused.id}/pause", {"reason": "Their database moves."})
    eventually(paused.is_held, timeout=30.0)
    [held, *_] = paused.deliveries("pending")
    slow = house.call("POST", "replays", {"ids": [each["id"] for each in dead[:4]], "rate_per_s": 0.1})
    return [
        f"/console/deliveries/{stuck['id']}",
        f"/console/deliveries/{held['id']}",
        f"/console/subscribers/{paused.id}",
        f"/console/replays/{slow['id']}",
        f"/console/replays/{draft}",
        "/console/search?q=django-ca",
    ]


def _act(house: House, failing: Subscriber, delivery_id: str) -> str:
    """Few are replayed at once; many wait for a second person; somebody looks after one of them by hand. Returns the id of
    the replay that waits."""
    house.call("POST", "replays", {"ids": [delivery_id], "reason": "Is it back?"})
    many = house.call("POST", "replays", {"endpoint": failing.id, "status": ["dead", "delivered"], "dry_run": True})
    asked = {"kind": "replay.start", "target": many["id"], "reason": "They fixed their ingress."}
    house.call("POST", "approvals", asked)
    links = [{"kind": "delivery", "id": delivery_id}]
    house.call("POST", "work-orders", {"title": "Ask the alerting team about the 503s", "links": links})
    return str(many["id"])


def write_unknown_type(house: House) -> str:
    """Straight to Kafka, an event of a type that nobody registered; returns its id once it is kept as rejected."""
    event = str(uuid.uuid4())
    attributes = {
        "specversion": "1.0",
        "id": event,
        "source": "/pipelines/release",
        "type": UNKNOWN_TYPE,
        "subject": "django-ca",
        "tenant": house.demo.tenant,
    }
    headers: list[tuple[str, str | bytes | None]] = [(f"ce_{name}", value) for name, value in attributes.items()]
    headers.append(("content-type", "application/json"))
    environment = house.environment()
    producer = Producer({"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"]})
    producer.produce(environment.get("KAFKA_EVENTS_TOPIC", "events"), key="django-ca", value=b"{}", headers=headers)
    assert producer.flush(10) == 0
    eventually(lambda: any(UNKNOWN_TYPE in each["detail"] for each in _rejected(house)), timeout=30.0)
    return event


def _rejected(house: House) -> list[Mapping[str, Any]]:
    return list(house.call("GET", "rejected-events")["items"])
