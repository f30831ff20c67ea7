# One image for every process: bridge, hub, region worker, demo. The last word of the command says which one it is.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/region-sync
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY bridges bridges
COPY pipeline pipeline
RUN /opt/region-sync/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock && \
    /opt/region-sync/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/region-sync region-sync
COPY --from=build /opt/region-sync /opt/region-sync
ENV PATH=/opt/region-sync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER region-sync
WORKDIR /var/lib/region-sync
STOPSIGNAL SIGTERM
ENTRYPOINT ["region-sync"]
CMD ["--help"]
