"""The short form of `manage.py chaos`: each family of faults once, under load, with services of its own."""

from __future__ import annotations

import json
import subprocess

import pytest
from django.conf import settings

from delivery.bench.processes import MANAGE

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

SEED = "3"


def test_nothing_is_lost_when_everything_fails_once() -> None:
    argv = [*MANAGE, "chaos", "--short", "--json", "--seed", SEED]
    done = subprocess.run(argv, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=380, check=False)
    print(done.stdout[-5000:], done.stderr[-15_000:])

    result = json.loads(done.stdout.splitlines()[-1])
    assert result["broken"] == []
    assert done.returncode == 0
    assert (result["lost"], result["decoy_calls"], result["delivered"]) == (0, 0, result["accepted"])
    assert result["rounds"] == len({fault["fault"] for fault in result["faults"]}) == 7
    assert result["accepted"] >= 4_000
