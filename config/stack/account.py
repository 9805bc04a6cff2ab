"""The account that PostgreSQL runs under: it refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.stack.errors import StackError

CANDIDATES = ("nobody", "daemon")


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int


def unprivileged(owned: Path) -> Account | None:
    """None when we are not root. Root gets the owner of `owned` where it exists, otherwise an account with no rights."""
    if os.geteuid() != 0:
        return None
    if owned.exists() and (uid := owned.stat().st_uid) != 0:
        return _account(pwd.getpwuid(uid))
    for name in CANDIDATES:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise StackError(f"PostgreSQL does not run as root and there is no account named {' or '.join(CANDIDATES)}")


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def can_enter(account: Account, directory: Path) -> bool:
    """Whether the account may walk down to `directory`, found out by doing it."""
    return _succeeds(account, "/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory))


def can_run(account: Account, program: Path) -> bool:
    return _succeeds(account, str(program), "--version")


def _succeeds(account: Account, *argv: str) -> bool:
    try:
        done = subprocess.run(
            argv, user=account.uid, group=account.gid, extra_groups=[], cwd="/", capture_output=True, check=False
        )
    except PermissionError:
        return False
    return done.returncode == 0
