"""Reading what is served, as a scraper does."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families


def samples(text: str) -> dict[str, float]:
    """Name with its label values, sorted by label name → value: "event_delivery_held breaker_open"."""
    families = text_string_to_metric_families(text)
    found = (sample for family in families for sample in family.samples)
    return {" ".join([each.name, *(each.labels[name] for name in sorted(each.labels))]): each.value for each in found}


def declared(text: str) -> Iterator[tuple[str, str]]:
    """(name as in the catalog, type) of every family of ours, those without samples too."""
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["#", "TYPE"] and words[2].startswith("event_"):
            yield words[2], words[3]
