"""The services that the application needs, embedded: for `make run`, the tests and the benchmark.

with Services(Path(".stack")) as services:
    os.environ.update(services.env)
    services.kafka.kill()
    services.kafka.start()
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from config.stack.child import end_leftovers
from config.stack.errors import StackError
from config.stack.kafka import kafka_service
from config.stack.ports import Ports
from config.stack.postgres import Postgres
from config.stack.service import Service
from config.stack.valkey import Valkey

Progress = Callable[[str], None]


def silent(_: str) -> None:
    return None


class Services:
    """PostgreSQL, Valkey and a Kafka endpoint below one directory, which one Services at a time may use.

    A service whose variable (DATABASE_URL, REDIS_URL, KAFKA_BOOTSTRAP_SERVERS) is in `external` is not started: the
    given address is passed on instead. With `durable=False` PostgreSQL runs without fsync. With `keep=False` all data
    is removed at the end.
    """

    def __init__(
        self,
        directory: Path,
        *,
        external: Mapping[str, str] | None = None,
        durable: bool = True,
        keep: bool = True,
        progress: Progress = silent,
    ) -> None:
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._external = {name: url for name, url in (external or {}).items() if name in VARIABLES and url}
        self._keep = keep
        self._progress = progress
        self._lock = _locked(self.directory)
        self.leftovers = end_leftovers(self.directory)
        self.ports = Ports(self.directory / "ports.json")
        self.secrets = _secrets(self.directory / "secrets.json")
        self.postgres = Postgres(
            self.directory,
            self.ports.get(Postgres.name),
            self.secrets["POSTGRES_PASSWORD"],
            durable=durable,
            lasting=keep,
        )
        self.valkey = Valkey(self.directory, self.ports.get(Valkey.name))
        self.kafka = kafka_service(self.directory, self.ports)

    @property
    def parts(self) -> dict[str, Service]:
        """The embedded services by the variable that names them to clients."""
        parts: dict[str, Service] = dict(zip(VARIABLES, (self.postgres, self.valkey, self.kafka), strict=True))
        return {variable: part for variable, part in parts.items() if variable not in self._external}

    @property
    def env(self) -> dict[str, str]:
        """What a process of the application needs in its environment to use these services."""
        return {**self._external, **{variable: part.url for variable, part in self.parts.items()}}

    def start(self) -> None:
        """Starts what is not external. When one fails the others are stopped and PartFailed names it."""
        try:
            for part in self.parts.values():
                part.start()
                self._progress(f"{part.name} answers on port {part.port}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops everything and gives the directory free. May be called again."""
        for part in reversed(self.parts.values()):
            part.stop()
        if not self._keep:
            self.postgres.destroy()
            shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Services:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


VARIABLES = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")


def _locked(directory: Path) -> IO[str]:
    """Held until closed or until we die, however we die. Not inherited by children."""
    lock = (directory / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise StackError(
            f"{directory} is in use by process {holder}; stop that one, or set STACK_DIR to another directory"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _secrets(file: Path) -> dict[str, str]:
    """Made on the first start and kept: the data is encrypted with them."""
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    made = {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": f"dev1:{b64encode(secrets.token_bytes(32)).decode()}",
        "DEMO_CONSOLE_PASSWORD": secrets.token_urlsafe(12),
    }
    if made.keys() - kept.keys():
        write_private(file, json.dumps({**made, **kept}, indent=1))
    return {**made, **kept}


def write_private(file: Path, text: str) -> None:
    """Replaces the file in one step; only its owner may read it."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    fresh.replace(file)
