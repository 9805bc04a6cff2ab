# One image for every process; compose.yaml and the Procfile say which command runs in it.
FROM python:3.13-slim AS build
# Every pinned requirement has a wheel: no compiler is needed, here or later.
COPY requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --only-binary=:all: -r /tmp/requirements.txt

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    WEB_HOST=0.0.0.0 \
    CELERY_BEAT_SCHEDULE_FILENAME=/tmp/beat-schedule
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin eventcenter
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY manage.py ./
COPY audit ./audit
COPY config ./config
COPY delivery ./delivery
# A page of the console shows it.
COPY docs/operations/runbook.md ./docs/operations/runbook.md
COPY eventcenter ./eventcenter
COPY static ./static
COPY subscriptions ./subscriptions
COPY templates ./templates
# Collecting needs settings, not secrets: development's throw-away keys serve for this one command.
RUN ENVIRONMENT=development python manage.py collectstatic --noinput
USER eventcenter
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["gunicorn", "config.wsgi", "-c", "config/gunicorn.py"]
