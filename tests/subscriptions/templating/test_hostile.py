"""Templates that mean harm: refused when they are written, or stopped by a count when they are rendered.

No test here looks at a clock. Each would run for minutes or fill the memory if its limit did not hold; the suite's own
time limit would end it.
"""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriptions.templating import TemplateError, compile_template
from subscriptions.templating.limits import MAX_RENDERED_BYTES
from tests.subscriptions.templating.events import ANY_EVENT, event

LONG = list(range(3000))
TEXT = "x" * 400_000


def render(document: object, data: object) -> bytes:
    return compile_template("custom", {"mapping": document}, {"secret": "s3cret"}).render(event(data))


@pytest.mark.parametrize(
    "text",
    [
        "{{ event.__class__ }}",
        "{{ event.__class__.__mro__ }}",
        "{{ event['__class__'] }}",
        "{{ event.data.__init__.__globals__ }}",
        "{{ __builtins__ }}",
        "{{ event[event.id] }}",
        "{{ self }}",
        "{{ today }}",
        "{% for i in (1..1000) reversed %}{{ event.id }}{% endfor %}",
        "{{ (1..10) }}",
        "{% include '/etc/passwd' %}",
        "{% render '/etc/passwd' %}",
        "{% capture a %}x{% endcapture %}",
        "{% increment a %}",
        "{% tablerow i in event.data %}{% endtablerow %}",
        "{% liquid assign a = 1 %}",
        "{% macro a %}{% endmacro %}",
        "{% if " + "event.a and " * 400 + "event.b %}{% endif %}",
        "{{ " + "event[" * 600 + "]" * 600 + " }}",
        "{{ " + "event[" * 600,
        "{% if event %}" * 20 + "{% endif %}" * 20,
        "x" * 4096 + "{{ event.id }}",
        "{{" * 2000,
        "{{ event.id }}" * 257,
    ],
)
def test_template_is_refused_as_it_is_written(text: str) -> None:
    with pytest.raises(TemplateError):
        compile_template("custom", {"mapping": {"a": text}}, {})


@pytest.mark.parametrize("name", ["__class__", "__dict__", "keys", "items", "get", "__getitem__", "format"])
def test_attributes_of_python_objects_are_out_of_reach(name: str) -> None:
    with pytest.raises(TemplateError):
        render({"a": f"{{{{ event.data.{name} }}}}"}, {"x": 1})
    if not name.startswith("__"):
        assert orjson.loads(render({"a": f"{{{{ event.data.{name} }}}}"}, {name: "own"})) == {"a": "own"}


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("{% for a in event.data %}{% for b in event.data %}{{ a }}{% endfor %}{% endfor %}", LONG),
        ("{% for a in event.data %}{% for b in event.data %}{% endfor %}{% endfor %}{{ event.id }}", LONG),
        ("{% for a in event.data %}{% if a == event.data %}{% endif %}{% endfor %}" * 20 + "{{ event.id }}", LONG),
        ("{% assign a = event.data %}" + "{% assign a = a | append: a %}" * 60 + "{{ a }}", "0123456789"),
        ("{% assign a = event.data %}" + "{% assign a = a | replace: 'x', a %}" * 3 + "{{ a }}", "x" * 2000),
        ("{{ event.data | replace: '', event.data }}", "x" * 5000),
        ("{% assign a = event.data | split: 'x' %}{{ a | join: event.data }}", "x" * 5000),
        ("{{ event.data | url_encode | url_encode | url_encode | url_encode }}", "ü" * 90_000),
        ("{% for a in event.data.list %}{{ event.data.text }}{% endfor %}", {"list": LONG, "text": TEXT}),
        ("{% for a in event.data.list %}{% if event.data.text contains 'y' %}{% endif %}{% endfor %}{{ event.id }}",
         {"list": LONG, "text": TEXT}),
        ("{% for a in event.data.list %}{% assign b = event.data.text | upcase %}{% endfor %}{{ event.id }}",
         {"list": LONG, "text": TEXT}),
        ("{{ event.data | truncate: 99999999999999999999 }}", "x"),
        ("{{ event.data | plus: event.data }}", 2**53 + 2),
    ],
)  # fmt: skip
def test_render_is_stopped_by_its_count(text: str, data: object) -> None:
    with pytest.raises(TemplateError, match=r"steps|grows over|larger than|at most"):
        render({"a": text}, data)


def test_many_copies_of_a_large_event_are_stopped_before_they_are_made() -> None:
    with pytest.raises(TemplateError, match=f"larger than {MAX_RENDERED_BYTES}"):
        render(["{{ event.data }}"] * 400, {"text": TEXT})


@pytest.mark.parametrize(
    "document",
    [
        "[" * 20_000,
        "[" * 17 + "1" + "]" * 17,
        ["x"] * 501,
        {f"k{i}": "{{ event.id }}" for i in range(501)},
        {"a": "x" * 40_000},
    ],
)
def test_document_is_refused_when_it_is_too_deep_or_too_large(document: object) -> None:
    with pytest.raises(TemplateError):
        compile_template("custom", {"mapping": document}, {})


_WORDS = "{{ }} {% %} event .data . | if endif for endfor a upcase ' \" assign = default: case when endcase [0] omit json , 1"
_CHUNKS = [
    "{{ event.data }}",
    "{% if event.data %}",
    "{% endif %}",
    "{% for a in event.data %}",
    "{{ a }}",
    "{% endfor %}",
]
_PIECES = st.sampled_from([*_WORDS.split(), *_CHUNKS, "for a in", "__class__"])


@settings(max_examples=400, deadline=None)
@given(text=st.lists(_PIECES, max_size=25).map(" ".join) | st.text(max_size=60), body=ANY_EVENT)
def test_any_text_gives_json_or_the_one_error(text: str, body: bytes) -> None:
    document = {"a": text, "b": [text + "{{ event.id }}"], "c": {"$when": "{{ event.data }}", "d": "x" + text}}
    try:
        made = compile_template("custom", {"mapping": document}, {}).render(body)
    except TemplateError:
        return
    assert isinstance(orjson.loads(made), dict)
