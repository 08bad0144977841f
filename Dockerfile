# One image for every role: Airflow's components, the Celery workers and the MLflow server.
FROM python:3.11-slim-bookworm

# The CPU build of torch by default; for the gpu queue build with
#   --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN useradd --create-home --uid 50000 mmoe \
    && mkdir -p /opt/mmoe /opt/airflow/logs /var/lib/mmoe \
    && chown -R mmoe:mmoe /opt/mmoe /opt/airflow /var/lib/mmoe
WORKDIR /opt/mmoe

# torch first and alone: only it comes from that index.
COPY requirements.txt ./
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple \
        "$(grep -E '^torch==' requirements.txt)" \
    && pip install --no-cache-dir -r requirements.txt

COPY --chown=mmoe:mmoe pyproject.toml README.md params.yaml ./
COPY --chown=mmoe:mmoe mmoe mmoe
COPY --chown=mmoe:mmoe dags dags
COPY --chown=mmoe:mmoe plugins plugins
COPY --chown=mmoe:mmoe expectations expectations
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

# The commit that every training records:  --build-arg CODE_COMMIT=$(git rev-parse HEAD)
ARG CODE_COMMIT=""
USER mmoe
ENV MMOE_CODE_COMMIT=${CODE_COMMIT} \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/mmoe/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/mmoe/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    MMOE_HOME=/var/lib/mmoe \
    MMOE_PARAMS_FILE=/opt/mmoe/params.yaml \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    GX_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    PYTHONUNBUFFERED=1
VOLUME ["/var/lib/mmoe", "/opt/airflow/logs"]
