# The image of what stands between clients and a model server: gateway, ledger, bills. It has
# no TensorFlow and none of TFX.
#
#   docker build -f kfp/gateway.Dockerfile -t tallygraph/gateway:0.1.0 .

FROM python:3.11-slim-trixie AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
ENV UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/opt/tallygraph \
    UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-default-groups --extra gateway --no-install-project --compile-bytecode
COPY README.md LICENSE ./
COPY tokenizer tokenizer
COPY serving serving
COPY components components
COPY pipelines pipelines
RUN uv sync --frozen --no-default-groups --extra gateway --no-editable --compile-bytecode

FROM python:3.11-slim-trixie
RUN useradd --uid 1000 --user-group --create-home tallygraph
COPY --from=build /opt/tallygraph /opt/tallygraph
ENV PATH=/opt/tallygraph/bin:$PATH \
    PYTHONUNBUFFERED=1
# By number: Kubernetes checks runAsNonRoot without reading /etc/passwd.
USER 1000:1000
WORKDIR /home/tallygraph
# Clients; and metrics and readiness, for those who run it (--admin-host 0.0.0.0).
EXPOSE 8600 8601
ENTRYPOINT ["tallygraph", "gateway"]
CMD ["--help"]
