# The server as a small image: locked dependencies and the built wheel in one environment, started by an unnamed user.
#
#   docker build -t airflow-mcp .
#   docker run -i --rm -e AIRFLOW_MCP_URL=https://airflow.example.com -e AIRFLOW_MCP_TOKEN airflow-mcp

FROM python:3.13-slim-trixie AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/airflow-mcp \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir 'uv>=0.9,<1'
WORKDIR /src
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY LICENSE README.md ./
COPY tool_manifests tool_manifests
COPY airflow_mcp airflow_mcp
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="airflow-mcp" \
      org.opencontainers.image.description="An MCP server that lets an AI assistant operate Apache Airflow well and safely." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/airflow-mcp /opt/airflow-mcp
ENV PATH=/opt/airflow-mcp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["airflow-mcp"]
