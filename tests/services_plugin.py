"""Loaded by `-p` before pytest-django reads the settings: starts the services that the whole run uses.

What DATABASE_URL, REDIS_URL and KAFKA_BOOTSTRAP_SERVERS already name is used as it is; STACK_KAFKA=apache takes Apache Kafka.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from pathlib import Path

from config.stack.services import VARIABLES, Services

# Each process of `pytest -n 2` has services of its own; the one that only hands out the tests needs none.
HANDS_OUT = "PYTEST_XDIST_WORKER" not in os.environ and any(
    word == "-n" or word.startswith("--numprocesses") for word in sys.argv
)
services = Services(
    Path(tempfile.mkdtemp(prefix="event-center-tests-")),
    external={name: os.environ[name] for name in VARIABLES if name in os.environ},
    durable=False,
    keep=False,
)
if not HANDS_OUT:
    services.start()
    atexit.register(services.stop)
    os.environ.update(services.env)
os.environ.update(
    ENVIRONMENT="test",
    WEBHOOK_ALLOWED_CIDRS="127.0.0.0/8",
    LOG_LEVEL="WARNING",
    KAFKA_EVENTS_PARTITIONS="3",
)
