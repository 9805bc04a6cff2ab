"""Settings of Event Center. Everything a deployment may change is read from the environment, here and nowhere else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from csp.constants import NONE, SELF

from config.env import SERVICE_VARIABLES, Env, load_stack_file

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
    "config.apps.Administration",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "django_filters",
    "django_htmx",
    "django_prometheus",
    "csp",
    "audit",
    "eventcenter",
    "subscriptions",
    "delivery",
    "waffle",  # after eventcenter, whose waffle_flag command goes before its own
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "eventcenter.access.middleware.TenantScope",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
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
        "OPTIONS": {"connect_timeout": 5, "application_name": env.text("PROCESS_NAME", "event-center")},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.url("REDIS_URL", "redis://127.0.0.1:6379/0", ("redis", "rediss", "unix"))
KAFKA_BOOTSTRAP_SERVERS = env.text("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
KAFKA_EVENTS_TOPIC = env.text("KAFKA_EVENTS_TOPIC", "events")
KAFKA_EVENTS_PARTITIONS = env.integer("KAFKA_EVENTS_PARTITIONS", 6, 1, 10_000)
KAFKA_REPLICATION_FACTOR = env.integer("KAFKA_REPLICATION_FACTOR", 1, 1, 9)
KAFKA_EVENTS_RETENTION_HOURS = env.integer("KAFKA_EVENTS_RETENTION_HOURS", 168, 1, 100_000)
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

# --- Channels besides webhooks ----------------------------------------------------------------------------------------
# Kafka clusters that endpoints may name; tenants name no hosts. "bus" is the one above.
KAFKA_CHANNEL_CLUSTERS = env.clusters("KAFKA_CHANNEL_CLUSTERS", {"bus": KAFKA_BOOTSTRAP_SERVERS})
PAGERDUTY_EVENTS_URL = env.url("PAGERDUTY_EVENTS_URL", "", ("https", "http"))

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
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "eventcenter.access.backend.RoleBackend",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "deliveries"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "object-src": [NONE],
        "img-src": [SELF, "data:"],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", PRODUCTION)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31_536_000 if PRODUCTION else 0, 0, 63_072_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.boolean("BEHIND_TLS_PROXY", False) else None
PROMETHEUS_EXPORT_MIGRATIONS = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger", "message": "event"},
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")},
}
