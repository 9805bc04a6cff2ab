"""The template language: what it does, what it says of what is wrong."""

from __future__ import annotations

import orjson
import pytest

from subscriptions.templating import TemplateError, compile_template
from tests.subscriptions.templating.events import event

DATA = {
    "name": "torch",
    "count": 3,
    "ratio": 1.5,
    "on": True,
    "off": False,
    "none": None,
    "list": ["a", "b"],
    "map": {"k": "v"},
    "at": "2025-11-05T12:00:00Z",
    "nothing": "",
    "mark": 'quote " backslash \\ line\nend',
}


def render(document: object, secret: str = "s3", **params: object) -> object:
    made = compile_template("custom", {"mapping": document, **params}, {"secret": secret})
    return orjson.loads(made.render(event(DATA)))


def value(text: str) -> object:
    found = render({"value": text})
    assert isinstance(found, dict)
    return found["value"]


def problem(document: object) -> str:
    with pytest.raises(TemplateError) as caught:
        render(document)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{ event.data.count }}", 3),
        ("{{ event.data.ratio }}", 1.5),
        ("{{ event.data.on }}", True),
        ("{{ event.data.none }}", None),
        ("{{ event.data.list }}", ["a", "b"]),
        ("{{ event.data.map }}", {"k": "v"}),
        ("{{ event.data.map.k }}{{ event.data.list[1] }}", "vb"),
        ('{{ event["data"]["name"] }}', "torch"),
        (" {{ event.data.count }}", " 3"),
        ("n={{ event.data.none }} on={{ event.data.on }} map={{ event.data.map }}", 'n= on=true map={"k":"v"}'),
        ("{{ event.data.mark }}", 'quote " backslash \\ line\nend'),
        ("<{{ event.data.mark }}>", '<quote " backslash \\ line\nend>'),
        ("{{ secrets.secret }}", "s3"),
        ("{{ 'text' }}", "text"),
    ],
)
def test_value_keeps_its_type_when_the_text_is_one_expression(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ event.data.name | upcase }}", "TORCH"),
        ("{{ event.data.name | capitalize | append: '!' | prepend: '>' }}", ">Torch!"),
        ("{{ 'ABC' | downcase }}", "abc"),
        ("{{ ' a ' | strip }}", "a"),
        ("{{ event.data.name | replace: 'to', 'wi' }}", "wirch"),
        ("{{ event.data.name | remove: 'o' }}", "trch"),
        ("{{ event.data.name | truncate: 4 }}", "t..."),
        ("{{ event.data.name | truncate: 3, '' }}", "tor"),
        ("{{ event.data.name | slice: 1, 2 }}", "or"),
        ("{{ event.data.name | slice: -2, 2 }}", "ch"),
        ("{{ event.data.list | slice: 1, 5 }}", ["b"]),
        ("{{ 'a,b' | split: ',' }}", ["a", "b"]),
        ("{{ event.data.list | join: '+' }}", "a+b"),
        ("{{ event.data.list | first }}{{ event.data.list | last }}", "ab"),
        ("{{ event.data.list | size }}", 2),
        ("{{ event.data.count | plus: 1 | minus: 0.5 }}", 3.5),
        ("{{ event.data.map | json }}", '{"k":"v"}'),
        ("{{ event.data.count | text }}", "3"),
        ("{{ 'a b/ü' | url_encode }}", "a%20b%2F%C3%BC"),
        ("{{ 'https://a.example/?b' | web_url }}", "https://a.example/?b"),
        ("{{ '!channel' | web_url }}", None),
        ("{{ event.data.at | date: '%d.%m.%Y %H:%M' }}", "05.11.2025 12:00"),
        ("{{ event.data.nope | default: 'x' }}", "x"),
        ("{{ event.data.nope.deeper | default: 7 }}", 7),
        ("{{ event.data.nothing | default: 'x' }}", "x"),
        ("{{ event.data.off | default: 'x' }}", "x"),
        ("{{ event.data.off | default: 'x', allow_false: true }}", False),
    ],
)
def test_filters(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% if event.data.on and event.data.nope %}a{% elsif event.data.count > 2 %}b{% else %}c{% endif %}", "b"),
        ("{% if event.data.nope == 'x' %}a{% else %}b{% endif %}", "b"),
        ("{% unless event.data.off %}a{% endunless %}", "a"),
        ("{% case event.data.name %}{% when 'x', 'torch' %}a{% else %}b{% endcase %}", "a"),
        ("{% for item in event.data.list %}{{ forloop.index }}{{ item }};{% endfor %}", "1a;2b;"),
        ("{% for item in event.data.list %}{{ item }}{% break %}{% endfor %}", "a"),
        ("{% for item in event.data.list reversed %}{{ item }}{% endfor %}", "ba"),
        ("{% assign short = event.data.name | slice: 0, 2 %}{{ short }}", "to"),
        ("{% if event.data.list contains 'b' %}yes{% endif %}", "yes"),
    ],
)
def test_tags(text: str, expected: object) -> None:
    assert value(text) == expected


def test_omit_leaves_out_keys_and_items_and_when_leaves_out_objects() -> None:
    document = {
        "kept": 1,
        "gone": "{{ event.data.nope | default: omit }}",
        "list": ["{{ omit }}", "{{ event.data.nope | default: omit | text }}", 2],
        "links": [{"$when": "{{ event.data.nope }}", "href": "x"}, {"$when": "{{ event.data.name }}", "href": "y"}],
        "object": {"$when": "{{ event.data.nothing }}", "x": 1},
    }
    assert render(document) == {"kept": 1, "list": [2], "links": [{"href": "y"}]}


def test_nothing_is_sent_when_nothing_is_left() -> None:
    assert "nothing is left" in problem({"$when": "{{ event.data.nope }}", "x": 1})


def test_what_one_value_assigns_another_does_not_see() -> None:
    assert "there is no 'a'" in problem({"first": "{% assign a = 1 %}{{ a }}", "second": "{{ a }}"})


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"a": {"b": ["x", "{{ event.data.nope }}"]}}, "$.a.b[1]: event.data.nope is undefined; give it a default"),
        ({"a": "{{ event.data.name.x }}"}, "$.a: event.data.name.x is undefined"),
        ({"a": "{{ event.data.nope | upcase }}"}, "is undefined"),
        ({"a": "{{ event.data"}, "$.a: expected '}}'"),
        ({"a": "{{ now }}"}, "there is no 'now'; there are event, params, secrets and omit"),
        ({"a": "{{ event.id | md5 }}"}, "there is no filter 'md5'"),
        ({"a": "{{ event.id | truncate }}"}, "the filter truncate is not given what it takes"),
        ({"a": "{{ event.id | default: 1, other: 2 }}"}, "the filter default is not given what it takes"),
        ({"a": "{% include 'x' %}"}, "unexpected tag 'include'"),
        ({"a": "{% render 'x' %}"}, "unexpected tag 'render'"),
        ({"a": "line\n\n{% nope %}"}, "line 3: "),
        ({"a b": "{{ x }}"}, "$['a b']: there is no 'x'"),
        ({"{{ event.id }}": 1}, "a key is written as it is"),
        ({"$when": True}, "takes an expression"),
        ({"a": "{% break %}{{ event.id }}"}, "break and continue belong in a for"),
        ({"a": "{{ event.data.name | plus: 1 }}"}, "plus and minus take numbers"),
        ({"a": "{{ event.data.name | date: '%Y' }}"}, "date takes a time"),
        ({"a": "{{ event.data.at | date: '%99999999d' }}"}, "date takes only"),
        ({"a": "{{ event.data.name | split: '' }}"}, "split needs a separator"),
        ({"a": "{% if event.data.name < 1 %}{% endif %}{{ event.id }}"}, "not supported between 'str' and 'int'"),
        ('{"a": 1,\n "b": }', "line 2, column"),
        ("[", "this is no JSON"),
        ('"text"', "must be an object or a list"),
        ("", "is needed"),
    ],
)
def test_error_names_the_place_and_the_reason(document: object, words: str) -> None:
    assert words in problem(document)


def test_error_holds_no_value_of_the_event() -> None:
    for text in ("{{ event.data.mark | plus: 1 }}", "{{ event.data.mark | date: '%Y' }}", "{{ event.data.mark.x }}"):
        assert "quote" not in problem({"a": text})


def test_form_is_made_of_an_object() -> None:
    made = compile_template(
        "custom", {"mapping": {"a b": "{{ event.data.list }}", "m": {"k": "ü&"}}, "kind": "form"}, {}
    )
    assert made.render(event(DATA)) == b"a+b=%5B%22a%22%2C%22b%22%5D&m%5Bk%5D=%C3%BC%26"
    assert dict(made.headers) == {"content-type": "application/x-www-form-urlencoded"}
    as_list = compile_template("custom", {"mapping": ["x"], "kind": "form"}, {})
    with pytest.raises(TemplateError, match="made of an object"):
        as_list.render(event(DATA))


def test_data_that_is_no_object_is_rendered_too() -> None:
    made = compile_template(
        "custom", {"mapping": {"a": "{{ event.data | default: omit }}", "b": "{{ event.data.x | default: 0 }}"}}, {}
    )
    for data in ("text", 5, ["x"], None):
        assert orjson.loads(made.render(event(data)))["b"] == 0
