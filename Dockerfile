# One image for every process: bridge, hub, region worker, migrate, sandbox. The last words of the command say which one it is.
#
#   docker build -t region-sync:local .
#
# What is in it is what requirements.lock names, by version and hash (tests/unit/test_image.py carries out these very steps).
# The same to the byte, whoever builds it: docker buildx build --build-arg SOURCE_DATE_EPOCH=0 --output type=image,rewrite-timestamp=true .
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH=0
# Nothing is compiled by the way, with the time in it; and sets come out in one order.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
WORKDIR /build
# Without pip of its own: whoever gets into a container finds nothing to install with.
RUN python -m venv --without-pip /opt/region-sync
COPY requirements.lock ./
RUN python -m pip --python /opt/region-sync/bin/python install --no-cache-dir --no-compile --disable-pip-version-check \
        --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY bridges bridges
COPY pipeline pipeline
RUN python -m pip --python /opt/region-sync/bin/python install --no-cache-dir --no-compile --disable-pip-version-check \
        --no-deps --no-build-isolation .
# Compiled here, since nothing can be written there; by the sources' hashes, since times differ from build to build.
RUN find /opt/region-sync -type d \( -name tests -o -name test \) -prune -exec rm -r {} + && \
    python -m compileall -q --invalidation-mode unchecked-hash /opt/region-sync/lib && \
    find /opt/region-sync -exec touch --no-dereference --date=@${SOURCE_DATE_EPOCH} {} +

FROM ${BASE}
LABEL org.opencontainers.image.title="Region Sync" \
      org.opencontainers.image.description="One identity in every Apache CloudStack region" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# The same numbers in each version, for volumes, for mounted files, for Kubernetes' runAsUser.
RUN groupadd --system --gid 10001 region-sync && \
    useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/region-sync region-sync && \
    install --directory --owner=10001 --group=10001 /var/lib/region-sync && \
    python -m pip uninstall --yes --root-user-action=ignore --disable-pip-version-check wheel setuptools pip
COPY --from=build /opt/region-sync /opt/region-sync
ENV PATH=/opt/region-sync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
# No process needs to write here, or anywhere: give it a volume only for an SQLite database (`region-sync run`).
WORKDIR /var/lib/region-sync
STOPSIGNAL SIGTERM
# Whichever process it is: where it answers says REGION_SYNC_HEALTH_URL, http://127.0.0.1:6066 (hub, run) without it.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["region-sync", "health"]
ENTRYPOINT ["region-sync"]
CMD ["--help"]
