"""`python -m config.stack.prepare COMMAND...`: several management commands in one process, since most of the time that
each takes alone is Python's start. Says each one's name on standard output before it begins; what the last one
prints goes there too, what the others print to standard error.

Run as a program only: nothing of this package may import it, because it imports Django.
"""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command


def main(commands: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    for command in commands:
        print(command, flush=True)
        call_command(*command.split(), stdout=sys.stdout if command is commands[-1] else sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
