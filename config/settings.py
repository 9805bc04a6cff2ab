"""Settings of Event Center. Everything a deployment may change is read from the environment, here and nowhere else."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config.env import SERVICE_VARIABLES, Env, load_stack_file
from config.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
PRODUCTION = os.environ.get("ENVIRONMENT", "development") == "production"
SERVICES_CONFIGURED = any(name in os.environ for name in SERVICE_VARIABLES)
if not PRODUCTION:
    load_stack_file(Path(os.environ.get("STACK_DIR", BASE_DIR / ".stack")), os.environ)
env = Env(os.environ)

ENVIRONMENT = env.choice("ENVIRONMENT", ("development", "test", "production"), "development")
DEBUG = env.boolean("DEBUG", False) and not PRODUCTION
# Outside production the two keys have throw-away defaults; in production their absence stops the start.
SECRET_KEY = env.text("SECRET_KEY", None if PRODUCTION else "development-only-key-never-used-in-production-0123456789")
ENCRYPTION_KEYS = env.encryption_keys(
    "ENCRYPTION_KEYS", None if PRODUCTION else "dev:ZGV2ZWxvcG1lbnQta2V5LW9ubHktMzItYnl0ZXMtISE="
)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "" if PRODUCTION else "127.0.0.1,localhost,[::1],testserver")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "audit",  # before auth, whose commands on users it puts into the trail
    "config.apps.Administration",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "django_prometheus",
    "csp",
    "axes",
    "eventcenter",
    "subscriptions",
    "delivery",
    "waffle",  # after eventcenter, whose waffle_flag command goes before its own
]
MIDDLEWARE = [
    "config.request_context.request_context",  # first: every line of a request has its id
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    # Outside of all that answers by itself, so that error pages have their policies too.
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.permissions_policy",
    "config.middleware.client_address",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "subscriptions.sign_in.session_age.session_age",
    "eventcenter.access.middleware.TenantScope",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "eventcenter.access.context.permissions",
                "delivery.signing_keys.banner.due_signing_keys",
                "delivery.console.waiting.approvals_waiting",
                "delivery.console.waiting.alerts_firing",
            ],
        },
    }
]

# --- Services ---------------------------------------------------------------------------------------------------------
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        **env.database("DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/eventcenter"),
        # Kept open: a new connection costs a fork of PostgreSQL, and workers talk to it hundreds of times a second.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        # The server drops a session whose machine is gone after 25 s, and with it the lock of an elected process; by itself
        # after two hours. Over a Unix socket it takes these and heeds them not.
        "OPTIONS": {
            "connect_timeout": 5,
            "application_name": env.text("PROCESS_NAME", "event-center"),
            "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.url("REDIS_URL", "redis://127.0.0.1:6379/0", ("redis", "rediss", "unix"))
KAFKA_BOOTSTRAP_SERVERS = env.text("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
KAFKA_EVENTS_TOPIC = env.text("KAFKA_EVENTS_TOPIC", "events")
KAFKA_EVENTS_PARTITIONS = env.integer("KAFKA_EVENTS_PARTITIONS", 6, 1, 10_000)
KAFKA_REPLICATION_FACTOR = env.integer("KAFKA_REPLICATION_FACTOR", 1, 1, 9)
KAFKA_EVENTS_RETENTION_HOURS = env.integer("KAFKA_EVENTS_RETENTION_HOURS", 168, 1, 100_000)
# Signed heads and, with the flag audit-streaming, entries of the audit trail; see docs/operations/audit.md.
KAFKA_AUDIT_HEADS_TOPIC = env.text("KAFKA_AUDIT_HEADS_TOPIC", "audit-heads")
KAFKA_AUDIT_ENTRIES_TOPIC = env.text("KAFKA_AUDIT_ENTRIES_TOPIC", "audit-entries")
KAFKA_CONSUMER_GROUP = env.text("KAFKA_CONSUMER_GROUP", "event-center")

# Static membership: a consumer that comes back under its name takes its partitions over at once. One name a process.
KAFKA_CONSUMER_INSTANCE = env.text("KAFKA_CONSUMER_INSTANCE", "")

# --- Delivery ---------------------------------------------------------------------------------------------------------
WEBHOOK_ALLOWED_CIDRS = env.networks("WEBHOOK_ALLOWED_CIDRS")
WEBHOOK_MAX_IN_FLIGHT = env.integer("WEBHOOK_MAX_IN_FLIGHT", 256, 1, 400)
WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT = env.integer("WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT", 32, 1, 400)
WEBHOOK_CA_BUNDLE = env.text("WEBHOOK_CA_BUNDLE", "")
# A claimed dispatch is free for another worker after this; the start-up check holds it above the longest send.
DISPATCH_LEASE_S = env.integer("DISPATCH_LEASE_S", 25, 5, 600)
WEBHOOK_MAX_TIMEOUT_S = env.integer("WEBHOOK_MAX_TIMEOUT_S", 20, 1, 300)
# A stopping worker lets what it has in flight finish for so long. Longer than the longest send: no request is cut off.
WORKER_STOP_DEADLINE_S = env.integer("WORKER_STOP_DEADLINE_S", 22, 1, 300)

# When an endpoint's breaker opens and how long it waits; delivery.health.breaker.BreakerPolicy says where the numbers come from.
BREAKER_MIN_COUNT = env.integer("BREAKER_MIN_COUNT", 20, 1, 100_000)
BREAKER_FAILURE_SHARE = env.number("BREAKER_FAILURE_SHARE", 0.5, 0.01, 1.0)
BREAKER_WINDOW_S = env.integer("BREAKER_WINDOW_S", 60, 1, 3600)
BREAKER_CONSECUTIVE = env.integer("BREAKER_CONSECUTIVE", 10, 1, 100_000)
BREAKER_FIRST_WAIT_S = env.integer("BREAKER_FIRST_WAIT_S", 10, 1, 3600)
BREAKER_MAX_WAIT_S = env.integer("BREAKER_MAX_WAIT_S", 600, 1, 36_000)
ENDPOINT_DISABLE_AFTER_HOURS = env.integer("ENDPOINT_DISABLE_AFTER_HOURS", 120, 1, 8760)

# A signing secret of this age is due for rotation; an endpoint can have another. NIST SP 800-57 part 1, 5.3.6: one to two
# years for keys that authenticate.
SIGNING_KEY_ROTATE_DAYS = env.integer("SIGNING_KEY_ROTATE_DAYS", 365, 1, 3650)
# What takes a second person, for how long they may take (docs/adr/0019), and whether rules open work orders.
APPROVAL_REPLAY_COUNT = env.integer("APPROVAL_REPLAY_COUNT", 1000, 0, 1_000_000)
APPROVAL_EXPIRES_HOURS = env.integer("APPROVAL_EXPIRES_HOURS", 24, 1, 720)
WORK_ORDERS_BY_RULE = env.boolean("WORK_ORDERS_BY_RULE", True)

# --- Channels besides webhooks ----------------------------------------------------------------------------------------
# Kafka clusters that endpoints may name; tenants name no hosts. "bus" is the one above.
KAFKA_CHANNEL_CLUSTERS = env.clusters("KAFKA_CHANNEL_CLUSTERS", {"bus": KAFKA_BOOTSTRAP_SERVERS})
PAGERDUTY_EVENTS_URL = env.url("PAGERDUTY_EVENTS_URL", "", ("https", "http"))

# --- Alerts: who is called, and by what links (docs/operations/paging.md) ----------------------------------------------------
PUBLIC_URL = env.public_url("PUBLIC_URL", ALLOWED_HOSTS, PRODUCTION)
RUNBOOK_URL = env.url("RUNBOOK_URL", "", ("https", "http"))
OPS_TENANT = env.text("OPS_TENANT", "")
MAIL = env.mail("EMAIL_URL")
EMAIL_HOST, EMAIL_PORT = MAIL["host"], MAIL["port"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = MAIL["user"], MAIL["password"]
EMAIL_USE_TLS, EMAIL_USE_SSL = MAIL["starttls"], MAIL["tls"]
EMAIL_TIMEOUT = 10  # seconds to connect and between bytes
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.address("EMAIL_FROM", "Event Center <event-center@localhost>")

# --- Feature flags: read by eventcenter.flags --------------------------------------------------------------------------
WAFFLE_FLAG_MODEL = "eventcenter.FeatureFlag"
# waffle's own tables would stand empty, and its flag table hold on to users that its model, swapped out, knows nothing of.
MIGRATION_MODULES = {"waffle": None}
WAFFLE_ENABLE_ADMIN_PAGES = False
# What asks waffle itself sees a change at once too: its cache is of one process, and would hold a flag for minutes.
WAFFLE_CACHE_NAME = "none"
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "none": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
}

# --- Retention, in days; see eventcenter/partitions.py ----------------------------------------------------------------
RETENTION_DAYS = {
    "eventcenter_event": env.integer("RETENTION_DAYS_EVENTS", 30, 2, 3650),
    "eventcenter_rejectedevent": env.integer("RETENTION_DAYS_REJECTED", 30, 2, 3650),
    "delivery_delivery": env.integer("RETENTION_DAYS_DELIVERIES", 30, 2, 3650),
    "delivery_attempt": env.integer("RETENTION_DAYS_ATTEMPTS", 30, 2, 3650),
}
RETENTION_DAYS_FEED = env.integer("RETENTION_DAYS_FEED", 30, 1, 3650)
# Minute counters whose hours are kept (delivery.telemetry.hours); metrics, alerts and objectives of older days read hours.
COUNTER_MINUTES_DAYS = env.integer("COUNTER_MINUTES_DAYS", 35, 2, 3650)
RETENTION_DAYS_IDEMPOTENCY = env.integer("RETENTION_DAYS_IDEMPOTENCY", 7, 1, 365)

# --- Celery: a message is a hint, PostgreSQL is the truth (docs/adr/0002) -----------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "ack_emulation": False,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    # While Redis is away a hint is left to the sweep at once: kombu's own retries held each ingest and record up for 6 s.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "queue_order_strategy": "delivery.queue_order:FirstAttemptsFirst",
    "priority_steps": [0],
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = env.text(
    "CELERY_BEAT_SCHEDULE_FILENAME", str(Path(tempfile.gettempdir()) / "event-center-beat")
)

# --- Web --------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "eventcenter.problems.exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Event Center",
    "DESCRIPTION": "Publish events, govern subscriptions, follow deliveries.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # Choices stand where they are used: as components of their own they would be named by chance.
    "POSTPROCESSING_HOOKS": ["eventcenter.api.document.complete"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "/static/icon.svg",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "tryItOutEnabled": False, "docExpansion": "list"},
}
# A batch may hold 5 MiB (the publish view checks that itself and answers 413).
DATA_UPLOAD_MAX_MEMORY_SIZE = 6 * 1024 * 1024
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "object-src": [NONE],
        "img-src": [SELF, "data:"],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", PRODUCTION)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31_536_000 if PRODUCTION else 0, 0, 63_072_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
BEHIND_TLS_PROXY = env.boolean("BEHIND_TLS_PROXY", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None
# How many proxies of ours add to X-Forwarded-For: what the outermost of them wrote is the client's address.
TRUSTED_PROXY_HOPS = env.integer("TRUSTED_PROXY_HOPS", 1 if BEHIND_TLS_PROXY else 0, 0, 9)
PROMETHEUS_EXPORT_MIGRATIONS = False

# --- Metrics (docs/operations/metrics.md) -------------------------------------------------------------------------------
# Where each process but the web's serves its metrics. Loopback: those of run_telemetry name tenants and endpoints.
METRICS_PORT = env.integer("METRICS_PORT", 0, 0, 65_535)
METRICS_HOST = env.text("METRICS_HOST", "127.0.0.1")
METRICS_SERIES_MOST = env.integer("METRICS_SERIES_MOST", 1_000, 1, 100_000)
# A Datadog agent; empty: nothing is sent.
DD_AGENT_HOST = env.text("DD_AGENT_HOST", "")
DD_DOGSTATSD_PORT = env.integer("DD_DOGSTATSD_PORT", 8125, 1, 65_535)

# --- Sign-in (docs/operations/sign-in.md, docs/adr/0018) ----------------------------------------------------------------
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# __Host-: a browser takes such a cookie over TLS only, for this host alone, so that no neighbouring host can plant one.
SESSION_COOKIE_NAME = "__Host-sessionid" if PRODUCTION else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if PRODUCTION else "csrftoken"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = (
    "Lax"  # not Strict: the way back from the identity provider is cross-site
)
SESSION_COOKIE_AGE = 3600 * env.integer("SESSION_IDLE_HOURS", 12, 1, 720)
SESSION_MAX_AGE_S = 3600 * env.integer("SESSION_MAX_HOURS", 72, 1, 8760)

OIDC_ON = env.complete(("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"))
OIDC_SCHEMES = ("https",) if PRODUCTION else ("https", "http")
OIDC_ISSUER = env.url("OIDC_ISSUER", "", OIDC_SCHEMES)
OIDC_RP_CLIENT_ID = env.text("OIDC_CLIENT_ID", "")
OIDC_RP_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET", "")
OIDC_NAME = env.text("OIDC_NAME", "single sign-on")
OIDC_RP_SCOPES = env.text("OIDC_SCOPES", "openid profile email")
OIDC_RP_SIGN_ALGO = env.choice("OIDC_SIGN_ALGORITHM", ("RS256", "ES256"), "RS256")
# Without these three the provider's discovery document is asked for them.
OIDC_ENDPOINTS_GIVEN = env.complete(("OIDC_AUTHORIZATION_URL", "OIDC_TOKEN_URL", "OIDC_JWKS_URL"))
OIDC_AUTHORIZATION_URL = env.url("OIDC_AUTHORIZATION_URL", "", OIDC_SCHEMES)
OIDC_TOKEN_URL = env.url("OIDC_TOKEN_URL", "", OIDC_SCHEMES)
OIDC_JWKS_URL = env.url("OIDC_JWKS_URL", "", OIDC_SCHEMES)
OIDC_USERINFO_URL = env.url("OIDC_USERINFO_URL", "", OIDC_SCHEMES)
OIDC_END_SESSION_URL = env.url("OIDC_END_SESSION_URL", "", OIDC_SCHEMES)
OIDC_CLAIM_USERNAME = env.text("OIDC_CLAIM_USERNAME", "preferred_username")
OIDC_CLAIM_NAME = env.text("OIDC_CLAIM_NAME", "name")
OIDC_CLAIM_EMAIL = env.text("OIDC_CLAIM_EMAIL", "email")
OIDC_CLAIM_GROUPS = env.text("OIDC_CLAIM_GROUPS", "groups")
OIDC_LINK_VERIFIED_EMAIL = env.boolean("OIDC_LINK_VERIFIED_EMAIL", False)
OIDC_ROLE_MAP = env.role_map("OIDC_ROLE_MAP", ("viewer", "operator", "approver", "tenant_admin"))
# What mozilla-django-oidc reads besides.
OIDC_USE_PKCE = OIDC_USE_NONCE = True
OIDC_PKCE_CODE_CHALLENGE_METHOD = "S256"
OIDC_AUTHENTICATION_CALLBACK_URL = "oidc-callback"
OIDC_TIMEOUT = 5  # seconds to connect and between bytes; somebody waits before a browser

PASSWORD_SIGN_IN = env.boolean("PASSWORD_SIGN_IN", True)
if not PASSWORD_SIGN_IN and not OIDC_ON:
    raise ImproperlyConfigured("PASSWORD_SIGN_IN is false and OIDC_ISSUER is not set: nobody could sign in.")
# A session is good while its backend stands here: what is switched off ends the sessions that came by it.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    *(["subscriptions.sign_in.oidc.backend.OidcBackend"] if OIDC_ON else []),
    *(["django.contrib.auth.backends.ModelBackend"] if PASSWORD_SIGN_IN else []),
    "eventcenter.access.backend.RoleBackend",
]
AXES_HANDLER = "subscriptions.sign_in.throttle.SignInAttempts"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]
AXES_FAILURE_LIMIT = env.integer("SIGN_IN_FAILURES_PER_USER", 5, 1, 1000)
SIGN_IN_FAILURES_PER_ADDRESS = env.integer("SIGN_IN_FAILURES_PER_ADDRESS", 50, 1, 100_000)
AXES_COOLOFF_TIME = timedelta(minutes=env.integer("SIGN_IN_LOCK_MINUTES", 15, 1, 1440))
AXES_CLIENT_IP_CALLABLE = "subscriptions.sign_in.throttle.throttled_address"
AXES_LOCKOUT_CALLABLE = "subscriptions.sign_in.throttle.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken", "code", "state"]
AXES_DISABLE_ACCESS_LOG = True  # the audit trail has it
AXES_ENABLE_ADMIN = AXES_VERBOSE = False

LOGGING = logging_config(env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"))
