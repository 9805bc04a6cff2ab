"""How gunicorn serves the web process; every choice a deployment has is an environment variable."""

from __future__ import annotations

import os
from typing import Protocol

from prometheus_client import multiprocess

from config.access_log import JsonLogger
from eventcenter import log_context
from eventcenter.tracing import switch as tracing

SHARED_MEMORY = "/dev/shm"  # noqa: S108 (nothing of ours is named there; gunicorn makes and unlinks its own file)

# Loopback unless told otherwise; an image that must be reached from outside sets WEB_HOST=0.0.0.0.
bind = f"{os.environ.get('WEB_HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 30
graceful_timeout = 5
keepalive = 30
# Workers touch a file as their sign of life: in memory, so that a slow disk is not taken for a dead worker.
worker_tmp_dir = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
# Requests are counted by metrics; a log line each costs more than it tells.
accesslog = "-" if os.environ.get("WEB_ACCESS_LOG") else None
errorlog = "-"
logger_class = JsonLogger
log_context.set_role("web")


class Worker(Protocol):
    pid: int


def post_worker_init(worker: Worker) -> None:
    """After the fork: the thread that sends spans would not survive it."""
    tracing.start("web")


def worker_exit(server: object, worker: Worker) -> None:
    """What Kafka is just taking leaves the outbox now; the relay would send it once more. Last, what spans there are."""
    from eventcenter.bus import close_outbox_producer  # Django is there in a worker, and not where this file is read

    close_outbox_producer(timeout_s=1)
    tracing.stop()


def child_exit(server: object, worker: Worker) -> None:
    """Forgets the gauges of a worker that ended, as prometheus_client asks for in its multiprocess mode."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
