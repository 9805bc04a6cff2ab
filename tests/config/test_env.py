"""The strict readers of the environment, and that a production without its keys does not start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.env import Env, load_stack_file
from eventcenter.access.roles import Role

ROOT = Path(__file__).parents[2]
KEY = b64encode(b"k" * 32).decode()
ROLES_READ = re.findall(r'role_map\("OIDC_ROLE_MAP", (.*)\)', (ROOT / "config" / "settings.py").read_text())
OTHER_KEY = b64encode(b"o" * 32).decode()


def refused(value: str, read: Callable[[Env], object]) -> str:
    """What is said of NAME's value; the name is always said."""
    with pytest.raises(ImproperlyConfigured) as caught:
        read(Env({"NAME": value}))
    assert str(caught.value).startswith("NAME")
    return str(caught.value)


def test_default_is_taken_when_a_variable_is_absent_or_blank() -> None:
    for environ in ({}, {"NAME": ""}, {"NAME": "  "}):
        env = Env(environ)
        assert env.text("NAME", "d") == "d"
        assert env.integer("NAME", 5, 1, 9) == 5
        assert env.boolean("NAME", True) is True
        assert env.words("NAME", "a, b,,") == ["a", "b"]


def test_name_is_told_when_a_variable_without_default_is_blank() -> None:
    assert refused(" ", lambda env: env.text("NAME")) == "NAME is not set and has no default."


@pytest.mark.parametrize(("value", "read"), [("Yes", True), ("1", True), ("on", True), ("OFF", False), ("0", False)])
def test_boolean_is_read_when_it_is_one_of_the_words(value: str, read: bool) -> None:
    assert Env({"NAME": value}).boolean("NAME", not read) is read


@pytest.mark.parametrize("value", ["tru", "2", "-", "y"])
def test_boolean_is_refused_when_it_is_another_word(value: str) -> None:
    refused(value, lambda env: env.boolean("NAME", False))


@pytest.mark.parametrize("value", ["1", "9", " 5 ", "005"])
def test_integer_is_read_when_it_is_within_bounds(value: str) -> None:
    assert Env({"NAME": value}).integer("NAME", 3, 1, 9) == int(value)


@pytest.mark.parametrize("value", ["0", "10", "-5", "--5", "5.0", "1e1", "0x5", "5 5", "²", "٣", "9" * 5000, "1_0"])
def test_integer_is_refused_when_it_is_out_of_bounds_or_no_number(value: str) -> None:
    assert "1 to 9" in refused(value, lambda env: env.integer("NAME", 3, 1, 9))


@pytest.mark.parametrize("value", ["-0.5", "1.1", "half", "1e-1", "0,5", ".5", "nan", "0.000", "1/2"])
def test_number_is_refused_when_it_is_out_of_bounds_or_none(value: str) -> None:
    assert "0.01 to 1.0" in refused(value, lambda env: env.number("NAME", 0.5, 0.01, 1.0))


def test_number_is_read_when_it_is_within_its_bounds() -> None:
    assert [Env({"NAME": value}).number("NAME", 0.5, 0.01, 1.0) for value in ("0.01", "1", "0.75", "")] == [
        0.01,
        1.0,
        0.75,
        0.5,
    ]


def test_choice_is_refused_when_it_is_not_among_them() -> None:
    assert "takes one of a, b" in refused("c", lambda env: env.choice("NAME", ("a", "b"), "a"))
    assert Env({"NAME": "b"}).choice("NAME", ("a", "b"), "a") == "b"


def test_networks_are_read_when_they_are_cidrs() -> None:
    read = Env({"NAME": "10.0.0.0/8, ::1/128"}).networks("NAME")

    assert read == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize("value", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "10.0.0.0-10.0.0.9"])
def test_networks_are_refused_when_one_is_no_cidr(value: str) -> None:
    refused(f"127.0.0.0/8,{value}", lambda env: env.networks("NAME"))


def test_database_url_is_taken_apart_when_it_is_complete() -> None:
    read = Env({"NAME": "postgresql://us%40er:p%2Fw%25@[::1]:5433/event%20center"}).database("NAME", "")

    assert read == {"NAME": "event center", "USER": "us@er", "PASSWORD": "p/w%", "HOST": "::1", "PORT": "5433"}


@pytest.mark.parametrize(
    "value",
    [
        "mysql://u@h/db",
        "postgresql://u@h",
        "postgresql://u@h/",
        "postgresql://u@h:port/db",
        "postgresql://u@h:99999/db",
        "postgresql://[::1/db",
        "postgresql://u:p#w@h/db",
        "postgresql://u@h/db?sslmode=require",
        "u@h/db",
    ],
)
def test_database_url_is_refused_when_a_part_would_be_lost(value: str) -> None:
    assert value not in refused(value, lambda env: env.database("NAME", ""))


@pytest.mark.parametrize("value", ["http://h", "redis", "redis:h", "://h", "redis//h"])
def test_url_is_refused_when_its_scheme_is_another(value: str) -> None:
    assert "redis:// or rediss://" in refused(value, lambda env: env.url("NAME", "", ("redis", "rediss")))


def test_url_may_stay_empty_when_its_default_is() -> None:
    assert Env({}).url("NAME", "", ("https",)) == ""


@pytest.mark.parametrize(
    ("environ", "hosts", "production", "url"),
    [
        ({}, [], False, "http://127.0.0.1:8000"),
        ({"PORT": "8123"}, ["events.example.com"], False, "http://127.0.0.1:8123"),
        ({}, ["*", ".example.com", "events.example.com"], True, "https://events.example.com"),
        ({}, ["*"], True, ""),
        ({"NAME": "https://ops.example.com/"}, ["events.example.com"], True, "https://ops.example.com"),
    ],
)
def test_public_url_is_the_named_one_or_worked_out(
    environ: dict[str, str], hosts: list[str], production: bool, url: str
) -> None:
    assert Env(environ).public_url("NAME", hosts, production) == url


def test_mail_url_is_taken_apart_when_it_is_one() -> None:
    nothing = {"host": "", "port": 25, "user": "", "password": "", "starttls": False, "tls": False}
    assert Env({}).mail("NAME") == nothing
    assert Env({"NAME": "smtp://mail.example.com"}).mail("NAME") == nothing | {"host": "mail.example.com"}
    read = Env({"NAME": "smtp+starttls://events%40example.com:p%2Fw@mail.example.com"}).mail("NAME")
    assert (read["user"], read["password"], read["port"]) == ("events@example.com", "p/w", 587)
    assert (read["starttls"], read["tls"]) == (True, False)
    read = Env({"NAME": "smtps://mail.example.com:4465"}).mail("NAME")
    assert (read["port"], read["starttls"], read["tls"]) == (4465, False, True)


@pytest.mark.parametrize(
    "value",
    [
        "mail.example.com",
        "https://mail.example.com",
        "smtp://",
        "smtp://h:x",
        "smtp://h/path",
        "smtp://h?tls=1",
        "smtp://[h",
    ],
)
def test_mail_url_is_refused_when_a_part_would_be_lost(value: str) -> None:
    assert "smtp+starttls://" in refused(value, lambda env: env.mail("NAME"))


def test_address_is_read_when_it_has_a_name_or_none() -> None:
    for value in ("events@example.com", "Event Center <events@example.com>"):
        assert Env({"NAME": value}).address("NAME", "x@y") == value


@pytest.mark.parametrize("value", ["events", "a@", "@b", "a@b, c@d", "a b@c", "A <a@b> x"])
def test_address_is_refused_when_it_is_none(value: str) -> None:
    refused(value, lambda env: env.address("NAME", "x@y"))


def test_clusters_are_added_to_those_that_are_known() -> None:
    env = Env({"NAME": " lake=a:9092,b:9092 ; audit=c.example:9093;"})
    known = {"bus": "k:1"}
    assert env.clusters("NAME", known) == {"bus": "k:1", "lake": "a:9092,b:9092", "audit": "c.example:9093"}
    assert known == {"bus": "k:1"}
    assert Env({}).clusters("NAME", known) == known


@pytest.mark.parametrize("value", ["lake", "lake=", "lake=host", "bus=a:1", "a=b:1;a=c:1", "Lake=a:1", "lake=a:1,,b:2"])
def test_clusters_are_refused_when_one_is_no_pair_or_named_twice(value: str) -> None:
    assert "bus" in refused(value, lambda env: env.clusters("NAME", {"bus": "k:1"}))


def test_variables_belong_together_when_one_of_them_is_set() -> None:
    names = ("NAME", "OTHER", "THIRD")
    assert Env({}).complete(names) is False
    assert Env({"NAME": "a", "OTHER": "b", "THIRD": "c"}).complete(names) is True
    with pytest.raises(ImproperlyConfigured, match=r"^OTHER is not set, but others of NAME, OTHER, THIRD are"):
        Env({"NAME": "a", "OTHER": " "}).complete(names)


def test_role_map_is_read_when_groups_hold_commas_and_equals_signs() -> None:
    env = Env({"NAME": " ops = platform:operator; cn=admins,ou=acme=acme:tenant_admin ;"})
    assert env.role_map("NAME", ("operator", "tenant_admin")) == (
        ("ops", "platform", "operator"),
        ("cn=admins,ou=acme", "acme", "tenant_admin"),
    )
    assert Env({}).role_map("NAME", ("operator",)) == ()


@pytest.mark.parametrize(
    "value", ["ops", "ops=acme", "ops=acme:", "=acme:operator", "ops=:operator", "ops=Acme:operator", "ops=acme:root"]
)
def test_role_map_is_refused_when_an_entry_grants_nothing_we_know(value: str) -> None:
    assert "operator, viewer" in refused(
        f"a=b:viewer;{value}", lambda env: env.role_map("NAME", ("operator", "viewer"))
    )


def test_encryption_keys_are_read_in_their_order() -> None:
    keys = Env({"NAME": f"new:{KEY}, old:{OTHER_KEY}"}).encryption_keys("NAME", None)

    assert keys == (("new", b"k" * 32), ("old", b"o" * 32))


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        f":{KEY}",
        "k:",
        f"k:{KEY[:-4]}",
        f"k:{KEY}é",
        f"k:{KEY[:-2]}",
        f"k:{KEY},",
        f"k:{KEY},k:{OTHER_KEY}",
        "k:" + b64encode(b"s" * 16).decode(),
    ],
)
def test_encryption_keys_are_refused_when_one_could_not_open_what_it_sealed(value: str) -> None:
    said = refused(value, lambda env: env.encryption_keys("NAME", None))

    assert KEY[:-4] not in said


def test_stack_file_is_taken_when_no_service_is_set(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(
        "# a comment\nREDIS_URL=redis://h/0?a=b\n\nSECRET_KEY = s=1 \nLOG_LEVEL=DEBUG\nnothing"
    )
    environ = {"LOG_LEVEL": "ERROR"}

    load_stack_file(tmp_path, environ)

    assert environ == {"LOG_LEVEL": "ERROR", "REDIS_URL": "redis://h/0?a=b", "SECRET_KEY": "s=1"}


def test_stack_file_is_left_alone_when_a_service_is_set(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("REDIS_URL=redis://stack/0\n")
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "h:1"}

    load_stack_file(tmp_path, environ)
    load_stack_file(tmp_path / "absent", environ)

    assert environ == {"KAFKA_BOOTSTRAP_SERVERS": "h:1"}


def check(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check` of a production that has these variables and no others of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "HOME") if name in os.environ}
    argv = [sys.executable, str(ROOT / "manage.py"), "check", *options]
    env = {**kept, "ENVIRONMENT": "production", **environ}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_production_starts_when_it_has_its_keys() -> None:
    done = check(SECRET_KEY="s" * 60, ENCRYPTION_KEYS=f"k1:{KEY}", ALLOWED_HOSTS="events.example.com")

    assert done.returncode == 0, done.stderr


PRODUCTION = {
    "SECRET_KEY": "".join(chr(33 + number % 90) for number in range(80)),
    "ENCRYPTION_KEYS": f"k1:{KEY}",
    "ALLOWED_HOSTS": "events.example.com",
}
OIDC = {"OIDC_ISSUER": "https://id.example.com", "OIDC_CLIENT_ID": "event-center", "OIDC_CLIENT_SECRET": "s"}


@pytest.mark.parametrize("environ", [{}, OIDC, OIDC | {"PASSWORD_SIGN_IN": "false"}])
def test_deploy_check_warns_of_nothing_when_production_has_its_keys(environ: dict[str, str]) -> None:
    done = check("--deploy", "--fail-level", "WARNING", **PRODUCTION, **environ)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "System check identified no issues (0 silenced).\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OIDC_ISSUER": "https://id.example.com"}, "OIDC_CLIENT_ID is not set"),
        ({"OIDC_CLIENT_ID": "a", "OIDC_CLIENT_SECRET": "s"}, "OIDC_ISSUER is not set"),
        (OIDC | {"OIDC_ISSUER": "http://id.example.com"}, "OIDC_ISSUER takes a URL that starts with https://."),
        (OIDC | {"OIDC_TOKEN_URL": "https://id.example.com/token"}, "OIDC_AUTHORIZATION_URL is not set"),
        (OIDC | {"OIDC_SIGN_ALGORITHM": "HS256"}, "OIDC_SIGN_ALGORITHM is 'HS256'; it takes one of RS256, ES256"),
        (OIDC | {"OIDC_ROLE_MAP": "ops=acme:root"}, "OIDC_ROLE_MAP: 'ops=acme:root' is no grant"),
        ({"PASSWORD_SIGN_IN": "false"}, "PASSWORD_SIGN_IN is false and OIDC_ISSUER is not set"),
        ({"TRUSTED_PROXY_HOPS": "-1"}, "TRUSTED_PROXY_HOPS is '-1'"),
    ],
)
def test_production_refuses_to_start_when_sign_in_is_half_set_up(environ: dict[str, str], named: str) -> None:
    done = check(**PRODUCTION, **environ)

    assert done.returncode != 0
    assert f"ImproperlyConfigured: {named}" in done.stderr


def test_cookies_are_bound_to_the_host_when_it_is_production() -> None:
    names = ["SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_HTTPONLY"]
    told = "; ".join(f"print(settings.{name})" for name in [*names, "SESSION_COOKIE_SAMESITE", "TRUSTED_PROXY_HOPS"])
    argv = [sys.executable, "-c", f"from django.conf import settings; {told}"]
    env = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "config.settings", "ENVIRONMENT": "production"}
    env |= PRODUCTION | {"BEHIND_TLS_PROXY": "true"}

    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)

    assert done.stdout.split() == ["__Host-sessionid", "__Host-csrftoken", "True", "True", "Lax", "1"], done.stderr


def test_roles_of_the_map_are_those_that_there_are() -> None:
    assert sorted(re.findall(r'"(\w+)"', ROLES_READ[0])) == sorted(Role.values)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ENCRYPTION_KEYS": f"k1:{KEY}"}, "SECRET_KEY"),
        ({"ENCRYPTION_KEYS": f"k1:{KEY}", "SECRET_KEY": " "}, "SECRET_KEY"),
        ({"SECRET_KEY": "s" * 60}, "ENCRYPTION_KEYS"),
        ({"SECRET_KEY": "s" * 60, "ENCRYPTION_KEYS": "k1:c2hvcnQ="}, "ENCRYPTION_KEYS"),
    ],
)
def test_production_refuses_to_start_when_a_key_is_missing_or_wrong(environ: dict[str, str], named: str) -> None:
    done = check(**environ)

    assert done.returncode != 0
    assert f"ImproperlyConfigured: {named} " in done.stderr
    assert not done.stdout


def test_production_takes_no_keys_of_a_stack_beside_it(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(f"SECRET_KEY={'s' * 60}\nENCRYPTION_KEYS=k1:{KEY}\n")

    done = check(STACK_DIR=str(tmp_path))

    assert done.returncode != 0
    assert "SECRET_KEY is not set" in done.stderr
