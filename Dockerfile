# The worker, and every other command of segstream. Everything is pinned: the base image and constraints.txt.
# The engine is compiled on the way, so the first stage is an image with a C compiler.
FROM python:3.11.13-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY tools/compile_engine.py tools/wheel_hook.py ./tools/
COPY stream ./stream
RUN python -m venv /opt/segstream \
    && HATCH_BUILD_HOOK_ENABLE_CUSTOM=true /opt/segstream/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[parquet]"

FROM python:3.11.13-slim-bookworm
RUN groupadd --gid 10001 segstream \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin segstream \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/segstream
COPY --from=build /opt/segstream /opt/segstream
ENV PATH="/opt/segstream/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SEGSTREAM_STATE_DIR=/var/lib/segstream
USER 10001:10001
WORKDIR /var/lib/segstream
VOLUME /var/lib/segstream
EXPOSE 6066
# SIGTERM lets the worker finish its round and hand its partitions over.
STOPSIGNAL SIGTERM
ENTRYPOINT ["segstream"]
CMD ["run"]
