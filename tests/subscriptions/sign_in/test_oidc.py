"""Signing in by an identity provider: the whole flow, as a browser does it, against a provider that may lie or be away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from django.contrib.auth.models import User
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from requests.cookies import RequestsCookieJar

from audit.models import AuditEntry
from eventcenter.access.principal import of_user
from eventcenter.access.roles import Permission
from eventcenter.models import Membership
from subscriptions.models import SignInIdentity
from tests.factories import TenantFactory, UserFactory
from tests.fakes import identity_provider as fake
from tests.fakes.identity_provider import IdentityProvider

START, CALLBACK = "/sign-in/oidc", "/sign-in/oidc/callback"
PAGE = "/console/deliveries?status=dead"


class Browser:
    """Cookies, and one step at a time, each on a connection of its own: the site keeps none, nor a thread, when a test ends."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.cookies = RequestsCookieJar()

    def get(self, path: str) -> requests.Response:
        return self._send("GET", path)

    def post(self, path: str) -> requests.Response:
        return self._send("POST", path, data={"csrfmiddlewaretoken": self.cookies.get("csrftoken", "")})

    def _send(self, method: str, path: str, data: dict[str, str] | None = None) -> requests.Response:
        with requests.Session() as session:
            session.cookies = self.cookies
            return session.request(method, self.site + path, data=data, allow_redirects=False, timeout=10)

    def begin(self, following: str = PAGE) -> str:
        """→ the provider's page that we send to."""
        answer = self.get(f"{START}?{urlencode({'next': following})}")
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def agree(self, url: str, subject: str = "eva", **form: str) -> str:
        """At the provider. → the path and query of our callback."""
        data = {"sub": subject, **form}
        answer = requests.post(url, data=data, allow_redirects=False, timeout=10)
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"

    def sign_in(self, subject: str = "eva", following: str = PAGE) -> requests.Response:
        return self.get(self.agree(self.begin(following), subject))

    def is_in(self) -> bool:
        return self.get("/sign-in").status_code == 302


@pytest.fixture
def browser(live_server: LiveServer, provider: IdentityProvider) -> Browser:
    provider.knows(
        "eva", preferred_username="eva.zhang", name="Eva Zhang", email="eva@example.com", email_verified=True
    )
    return Browser(live_server.url)


def trail() -> list[tuple[str, str, str, dict[str, object]]]:
    entries = AuditEntry.objects.order_by("chain", "position")
    return [(entry.actor, entry.action, entry.target, entry.details) for entry in entries]


def refused(browser: Browser, answer: requests.Response, status: int, reason: str) -> None:
    """A page that says so, nobody in, no account made, and the trail knows."""
    assert answer.status_code == status, answer.text
    assert "Not signed in" in answer.text
    assert not browser.is_in()
    assert not SignInIdentity.objects.exists()
    assert trail()[-1] == ("system:sign-in", "sign_in.failed", "user:unknown", {"method": "oidc", "reason": reason})


def test_account_is_made_and_signed_in_when_the_provider_says_who_it_is(browser: Browser) -> None:
    start = parse_qs(urlsplit(browser.begin()).query)
    assert start["code_challenge_method"] == ["S256"]
    assert start["scope"] == ["openid profile email"]
    before = browser.cookies["sessionid"]

    answer = browser.sign_in()

    assert (answer.status_code, answer.headers["Location"]) == (302, PAGE)
    assert browser.cookies["sessionid"] != before
    user = User.objects.get()
    assert (user.username, user.first_name, user.email) == ("eva.zhang", "Eva Zhang", "eva@example.com")
    assert not any((user.has_usable_password(), user.is_staff, user.is_superuser))
    assert [entry[:3] for entry in trail()] == [
        ("user:eva.zhang", "user.created", "user:eva.zhang"),
        ("user:eva.zhang", "sign_in.succeeded", "user:eva.zhang"),
    ]


def test_page_explains_when_the_account_has_no_rights(browser: Browser) -> None:
    answer = browser.get(urlsplit(browser.sign_in().headers["Location"]).path)

    assert answer.status_code == 403
    assert "no right to this page" in answer.text
    assert browser.get("/admin/").headers["Location"].startswith("/admin/login/")
    assert browser.get("/admin/login/?next=/admin/").status_code == 403


def test_account_is_the_same_when_name_and_address_change(browser: Browser, provider: IdentityProvider) -> None:
    browser.sign_in()
    provider.knows("eva", preferred_username="boss", name="Eva Li", email="li@example.com", email_verified=True)

    browser.sign_in()

    user = User.objects.get()
    assert (user.username, user.first_name, user.email) == ("eva.zhang", "Eva Li", "li@example.com")


def test_button_is_shown_when_the_provider_is_set_up(browser: Browser, settings: Settings) -> None:
    assert "Sign in with Keyring" in browser.get("/sign-in").text
    settings.OIDC_ON = False
    assert "Sign in with" not in browser.get("/sign-in").text
    assert browser.get(START).status_code == browser.get(CALLBACK).status_code == 404


def test_password_is_not_taken_when_it_is_switched_off(browser: Browser, settings: Settings) -> None:
    settings.PASSWORD_SIGN_IN = False
    assert 'type="password"' not in browser.get("/sign-in").text
    browser.cookies["csrftoken"] = "a" * 32
    assert browser.post("/sign-in").status_code == 403


@pytest.mark.parametrize(
    "following", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_next_page_is_ours_when_another_site_is_asked_for(browser: Browser, following: str) -> None:
    assert browser.sign_in(following=following).headers["Location"] == "/console/"


def test_sign_in_is_refused_when_its_state_is_unknown(browser: Browser, provider: IdentityProvider) -> None:
    back = browser.agree(browser.begin())
    state = parse_qs(urlsplit(back).query)["state"][0]

    refused(browser, browser.get(back.replace(state, "x" * 32)), 400, "state")
    refused(browser, browser.get(CALLBACK), 400, "state")
    assert provider.tokens_asked == 0


def test_sign_in_is_refused_when_another_browser_began_it(browser: Browser) -> None:
    """Or a victim could be signed in as the attacker."""
    attacker = Browser(browser.site)
    back = attacker.agree(attacker.begin())
    browser.begin()

    refused(browser, browser.get(back), 400, "state")


def test_sign_in_is_refused_when_it_is_repeated(browser: Browser) -> None:
    back = browser.agree(browser.begin())
    assert browser.get(back).status_code == 302

    assert Browser(browser.site).get(back).status_code == 400
    assert browser.get(back).status_code == 400


def test_sign_in_is_refused_when_the_code_is_another(browser: Browser) -> None:
    back = browser.agree(browser.begin())
    code = parse_qs(urlsplit(back).query)["code"][0]

    refused(browser, browser.get(back.replace(code, "x" * 32)), 400, "code")


def test_sign_in_is_refused_when_the_answer_names_another_issuer(browser: Browser) -> None:
    back = browser.agree(browser.begin())

    refused(browser, browser.get(f"{back}&iss=https://evil.example"), 400, "issuer")


def setting(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda claims: claims.__setitem__(name, value)


@pytest.mark.parametrize(
    "alter",
    [
        setting("nonce", "another"),
        lambda claims: claims.pop("nonce"),
        setting("iss", "https://evil.example"),
        setting("aud", ["another-client"]),
        setting("aud", ["event-center", "another-client"]),
        setting("azp", "another-client"),
        setting("iat", 4_000_000_000),
        lambda claims: claims.pop("exp"),
        setting("sub", "somebody-else"),
        setting("sub", ""),
        fake.expired,
    ],
)
def test_sign_in_is_refused_when_the_token_is_not_for_us_now(
    browser: Browser, provider: IdentityProvider, alter: Callable[[dict[str, Any]], None]
) -> None:
    provider.alter = alter

    refused(browser, browser.sign_in(), 403, "token")


@pytest.mark.parametrize(
    "sign", [fake.by_a_stranger, fake.unsigned, fake.by_the_client_secret, lambda claims, jwk: "no.token.at-all"]
)
def test_sign_in_is_refused_when_the_token_is_forged(
    browser: Browser, provider: IdentityProvider, sign: fake.Sign
) -> None:
    provider.sign = sign

    refused(browser, browser.sign_in(), 403, "token")


def test_sign_in_is_refused_when_the_person_denies_it(browser: Browser) -> None:
    start = browser.begin()
    state = parse_qs(urlsplit(start).query)["state"][0]
    back = browser.agree(start, action="deny")

    # The local provider leaves the state out, which RFC 6749, section 4.1.2.1, wants there.
    refused(browser, browser.get(f"{back}&state={state}"), 403, "denied")


def test_session_goes_on_when_a_link_brings_an_error_to_the_callback(browser: Browser) -> None:
    browser.sign_in()

    assert browser.get(f"{CALLBACK}?error=access_denied&state=x").status_code == 400
    assert browser.is_in()


@pytest.mark.parametrize("verified", [False, None, "no", 1])
def test_account_cannot_be_taken_over_when_the_address_is_not_verified(
    browser: Browser, provider: IdentityProvider, settings: Settings, verified: object
) -> None:
    settings.OIDC_LINK_VERIFIED_EMAIL = True
    victim = UserFactory(username="root", email="root@example.com", is_superuser=True)
    provider.knows("mallory", preferred_username="Root", email="ROOT@example.com", email_verified=verified)

    browser.sign_in("mallory")

    mallory = SignInIdentity.objects.get().user
    assert mallory != victim
    assert mallory.username.startswith("Root-")
    assert mallory.email == ""  # or its owner would later be linked to mallory's account
    assert not mallory.is_superuser


def test_account_is_not_linked_when_the_settings_do_not_allow_it(browser: Browser) -> None:
    UserFactory(username="old", email="eva@example.com")

    browser.sign_in()

    assert SignInIdentity.objects.get().user.username == "eva.zhang"


def test_account_is_linked_when_the_settings_allow_it_and_the_address_is_verified(
    browser: Browser, provider: IdentityProvider, settings: Settings
) -> None:
    settings.OIDC_LINK_VERIFIED_EMAIL = True
    old = UserFactory(username="old", email="Eva@example.com")
    browser.sign_in()
    assert SignInIdentity.objects.get().user == old
    assert trail()[0][1:3] == ("user.linked", "user:old")

    # It has its identity now: a second one with that address gets an account of its own.
    provider.knows("eve", email="eva@example.com", email_verified=True)
    Browser(browser.site).sign_in("eve")
    assert SignInIdentity.objects.get(subject="eve").user != old


def test_account_that_was_switched_off_is_out_at_once_and_stays_out(browser: Browser) -> None:
    browser.sign_in()
    User.objects.update(is_active=False)

    assert not browser.is_in()
    answer = browser.sign_in()
    assert answer.status_code == 403
    assert "switched off" in answer.text


def test_page_says_so_when_the_provider_is_away(browser: Browser, provider: IdentityProvider) -> None:
    back = browser.agree(browser.begin())
    provider.stop()

    answer = browser.get(back)

    assert answer.status_code == 503
    assert "does not answer" in answer.text
    assert answer.headers["Retry-After"] == "30"


def test_page_says_so_when_the_provider_was_never_there(browser: Browser, provider: IdentityProvider) -> None:
    provider.stop()

    assert browser.get(START).status_code == 503
    assert "Sign in with Keyring" in browser.get("/sign-in").text


@pytest.mark.parametrize(
    "discovery",
    [{"issuer": "https://evil.example"}, {"token_endpoint": None}, {"jwks_uri": ""}, {"token_endpoint": "file:///etc"}],
)
def test_page_says_so_when_the_discovery_document_is_of_no_use(
    browser: Browser, provider: IdentityProvider, discovery: dict[str, Any]
) -> None:
    provider.discovery = discovery

    assert browser.get(START).status_code == 502


@pytest.mark.parametrize("role_map", [(("ops", "platform", "operator"), ("cn=a,ou=b", "acme", "tenant_admin"))])
def test_roles_follow_the_groups_when_a_map_says_so(
    browser: Browser, provider: IdentityProvider, settings: Settings, role_map: tuple[tuple[str, str, str], ...]
) -> None:
    acme, other = TenantFactory(slug="acme"), TenantFactory(slug="other")
    settings.OIDC_ROLE_MAP = (*role_map, ("ops", "gone", "viewer"))
    provider.knows("eva", preferred_username="eva", groups=["ops", "cn=a,ou=b", "more"])
    browser.sign_in()
    user = User.objects.get()
    assert roles_of(user) == {(None, "operator"), ("acme", "tenant_admin")}
    assert of_user(user).tenant_ids(Permission.VIEW) is None
    assert ("system:oidc", "member.role_granted") in [entry[:2] for entry in trail()]

    # Out of one group; what a person gave, the map does not name and stays.
    Membership.objects.create(user=user, tenant=other, role="viewer")
    Membership.objects.create(user=user, tenant=acme, role="viewer")
    provider.knows("eva", preferred_username="eva", groups="ops")
    browser.cookies.clear()
    browser.sign_in()
    assert roles_of(user) == {(None, "operator"), ("other", "viewer"), ("acme", "viewer")}

    provider.knows("eva", preferred_username="eva")
    browser.cookies.clear()
    browser.sign_in()
    assert roles_of(user) == {("other", "viewer"), ("acme", "viewer")}


def roles_of(user: User) -> set[tuple[str | None, str]]:
    return set(Membership.objects.filter(user=user).values_list("tenant__slug", "role"))


def test_sign_out_ends_the_session_and_leads_to_the_providers_own(browser: Browser) -> None:
    browser.sign_in()
    session = browser.cookies["sessionid"]
    browser.get("/sign-in")
    browser.get("/console/deliveries")

    answer = browser.post("/sign-out")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/signed-out")
    page = browser.get("/signed-out").text
    assert "Sign out of Keyring too" in page
    assert "/oauth2/end_session?client_id=event-center" in page
    browser.cookies["sessionid"] = session
    assert not browser.is_in()
    assert trail()[-1][:3] == ("user:eva.zhang", "sign_out", "user:eva.zhang")


def test_endpoints_are_taken_from_the_settings_when_they_are_given(
    browser: Browser, provider: IdentityProvider, settings: Settings
) -> None:
    provider.discovery = {"issuer": "unused"}
    settings.OIDC_ENDPOINTS_GIVEN = True
    settings.OIDC_AUTHORIZATION_URL = f"{provider.url}/oauth2/authorize"
    settings.OIDC_TOKEN_URL = f"{provider.url}/oauth2/token"
    settings.OIDC_JWKS_URL = f"{provider.url}/jwks"

    assert browser.sign_in().status_code == 302  # without userinfo: the ID token says it all
    assert User.objects.get().username == "eva.zhang"
