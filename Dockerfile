# One image for API, worker, migrations and simulators: the command chooses. PostgreSQL and Temporal have images of their own.
FROM python:3.13-slim AS libraries
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY ops/requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements.txt

FROM python:3.13-slim
# /data is where a volume of the simulators is mounted: it takes its owner from here.
RUN useradd --uid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin tessera && install -d -o tessera /data
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app
COPY --from=libraries /opt/venv /opt/venv
WORKDIR /app
COPY . /app
USER tessera
# SIGTERM must reach Python itself: no shell in between.
ENTRYPOINT ["python", "-m", "cli"]
CMD ["--help"]
