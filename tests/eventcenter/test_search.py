from __future__ import annotations

from uuid import UUID

import pytest

from eventcenter.search import Sought, sought

ID = UUID("01a20a0a-619c-7007-ad58-199ffa363d39")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Sought()),
        ("   ", Sought()),
        ("a\0b", Sought()),
        (f" {ID} ", Sought(id=ID)),
        (str(ID).upper(), Sought(id=ID)),
        (TRACE, Sought(id=UUID(TRACE), trace_id=TRACE)),
        (f"00-{TRACE}-00f067aa0ba902b7-01", Sought(trace_id=TRACE)),
        ("4.14.0", Sought(version="4.14.0")),
        ("v2.0.0-rc.1", Sought(version="v2.0.0-rc.1")),
        ("pytest-django", Sought(plugin="pytest-django")),
        ("payments gateway", Sought(plugin="payments gateway")),
        ("pytest-django 4.14.0", Sought(plugin="pytest-django", version="4.14.0")),
        ("pytest-django@4.14.0", Sought(plugin="pytest-django", version="4.14.0")),
        ("@scope/plugin@nightly", Sought(plugin="@scope/plugin", version="nightly")),
        ("@scope", Sought(plugin="@scope")),
        ("12345678-not-a-uuid", Sought(plugin="12345678-not-a-uuid")),
    ],
)
def test_text_is_read_as_what_somebody_means_by_it(text: str, expected: Sought) -> None:
    assert sought(text) == expected
    assert bool(sought(text)) == (expected != Sought())
