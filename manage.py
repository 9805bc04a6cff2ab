#!/usr/bin/env python
"""Event Center's command line: `python manage.py help` lists what it can do."""

from __future__ import annotations

import logging
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    logging.captureWarnings(True)
    from django.core.management import execute_from_command_line  # after the settings module is named

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
