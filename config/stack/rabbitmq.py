"""RabbitMQ from Debian's package, for the tests of the AMQP channel. Not part of Services: it starts when a test asks for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import amqp

from config.stack.child import Child, Command
from config.stack.debian import unpacked
from config.stack.ports import LOOPBACK, Ports, accepts
from config.stack.service import Service, plain_environment

SYSTEM = Path("/")
SERVER = Path("usr/lib/rabbitmq/bin/rabbitmq-server")
ERLANG = Path("usr/lib/erlang/bin")
USER = PASSWORD = "guest"  # noqa: S105 - RabbitMQ's own default, on loopback
ANSWER_TIMEOUT_S = 5.0

SETTINGS = """\
listeners.tcp.default = {host}:{port}
log.file = false
log.console = true
log.console.level = warning
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 512MiB
"""


def installation() -> Path:
    """The directory below which `SERVER` is; fetched when it is nowhere. Raises StackError, saying why it cannot be."""
    if (SYSTEM / SERVER).exists():
        return SYSTEM
    root = unpacked("rabbitmq", "rabbitmq-server", "adduser", "logrotate", "libpopt0", "socat")
    _tell_erlang(root)
    return root


def _tell_erlang(root: Path) -> None:
    """Debian's erl names the place that it is made for; here it is another. Done once; a run beside us does the same."""
    script = root / ERLANG / "erl"
    told = script.read_text().replace("ROOTDIR=/usr/lib/erlang\n", f"ROOTDIR={root}/usr/lib/erlang\n")
    if told != script.read_text():
        draft = script.with_name(f"erl.{os.getpid()}")
        draft.write_text(told)
        draft.chmod(0o755)
        draft.rename(script)


class RabbitMq(Service):
    """One node, on loopback, with its own Erlang port mapper. It has the same port and data when it is started again."""

    name: ClassVar[str] = "rabbitmq"

    def __init__(self, home: Path, ports: Ports, root: Path) -> None:
        super().__init__(home, ports.get(self.name))
        self._root = root
        self._distribution_port = ports.get("rabbitmq-distribution")
        self._epmd_port = ports.get("rabbitmq-epmd")
        # The server would start the port mapper as a daemon, which nobody would end.
        self._epmd = Child(home, "rabbitmq-epmd")

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{PASSWORD}@{LOOPBACK}:{self.port}/%2F"

    def start(self) -> None:
        if not self._epmd.is_running():
            argv = [str(self._root / ERLANG / "epmd"), "-port", str(self._epmd_port), "-address", LOOPBACK]
            self._epmd.spawn(Command(argv, self._environment()))
        super().start()

    def stop(self) -> None:
        super().stop()
        self._epmd.stop()

    def kill(self) -> None:
        super().kill()
        self._epmd.kill()

    def command(self) -> Command:
        self._place.mkdir(parents=True, exist_ok=True)
        (self._place / "rabbitmq.conf").write_text(SETTINGS.format(host=LOOPBACK, port=self.port))
        return Command([str(self._root / SERVER)], self._environment(), cwd=self._place)

    def probe(self) -> None:
        if not accepts(self.port):
            raise ConnectionError("nothing listens yet")
        address = f"{LOOPBACK}:{self.port}"
        with amqp.Connection(address, USER, PASSWORD, connect_timeout=ANSWER_TIMEOUT_S, login_method="PLAIN"):
            pass

    @property
    def _place(self) -> Path:
        return self.home / self.name

    def _environment(self) -> dict[str, str]:
        place = self._place
        libraries = (
            ":".join(str(path) for path in self._root.glob("usr/lib/*-linux-gnu")) if self._root != SYSTEM else ""
        )
        plain = plain_environment(
            HOME=str(place),
            RABBITMQ_NODENAME=f"event-center-{self.port}@localhost",
            RABBITMQ_MNESIA_BASE=str(place / "mnesia"),
            RABBITMQ_LOG_BASE=str(place / "log"),
            RABBITMQ_CONFIG_FILE=str(place / "rabbitmq.conf"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(place / "enabled_plugins"),
            RABBITMQ_CONF_ENV_FILE="/dev/null",  # not the system's
            RABBITMQ_DIST_PORT=str(self._distribution_port),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
            ERL_EPMD_PORT=str(self._epmd_port),
            ERL_EPMD_ADDRESS=LOOPBACK,
            RUNNING_UNDER_SYSTEMD="true",  # the script becomes the server, instead of a shell that waits for it
            LD_LIBRARY_PATH=libraries,
        )
        return {**plain, "PATH": f"{self._root / ERLANG}:{plain.get('PATH', '/usr/bin:/bin')}"}
