# The server as a small image: locked dependencies and the built wheel in one environment, started by an unnamed user.
#
#   docker build -t airflow-mcp .                                        # --build-arg EXTRAS="redis otel" adds extras
#   docker run -i --rm --no-healthcheck -e AIRFLOW_MCP_URL=https://airflow.example.com -e AIRFLOW_MCP_TOKEN airflow-mcp
#
# Nothing is written, so that the root may be read-only; docs/deploy.md has the rest.

FROM python:3.13-slim-trixie AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/airflow-mcp \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir 'uv>=0.9,<1'
WORKDIR /src
ARG EXTRAS=""
COPY pyproject.toml uv.lock ./
RUN set -- && for extra in $EXTRAS; do set -- "$@" --extra "$extra"; done \
    && uv sync --frozen --no-dev --no-install-project "$@"
COPY LICENSE README.md ./
COPY tool_manifests tool_manifests
COPY airflow_mcp airflow_mcp
RUN set -- && for extra in $EXTRAS; do set -- "$@" --extra "$extra"; done \
    && uv sync --frozen --no-dev --no-editable "$@"

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="airflow-mcp" \
      org.opencontainers.image.description="An MCP server that lets an AI assistant operate Apache Airflow well and safely." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="python:3.13-slim-trixie"
# What is not compiled here would be at every start, as nothing can be written later; and nothing is installed later.
RUN pip uninstall --yes --quiet --root-user-action=ignore pip && python -m compileall -q /usr/local/lib
COPY --from=build /opt/airflow-mcp /opt/airflow-mcp
ENV PATH=/opt/airflow-mcp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_MCP_HTTP_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8765
STOPSIGNAL SIGTERM
# For `serve --transport http`; it asks the address that the settings say, over TLS if they say so.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["airflow-mcp", "health"]
ENTRYPOINT ["airflow-mcp"]
