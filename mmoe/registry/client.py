"""Open MLflow on the configured store."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from mmoe.errors import RegistryError
from mmoe.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULTS = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
SQLITE = "sqlite:///"


def open_client(settings: Settings) -> "MlflowClient":
    """A client of the tracking and registry store. A SQLite file is created, and migrated by one process at a time."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)  # MLflow takes these from nowhere else, and some only while it is imported
    from mlflow import MlflowClient

    uri = settings.tracking_uri
    local = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None
    with file_lock(local.with_suffix(".lock")) if local else nullcontext():
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def open_experiment(client: "MlflowClient", settings: Settings) -> str:
    """Id of the experiment that holds this model's runs. A server decides itself where its artifacts lie."""
    from mlflow.exceptions import MlflowException

    name = settings.registered_model
    location = settings.artifact_root.as_uri() if settings.tracking_uri.startswith(SQLITE) else None
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


@contextmanager
def asked() -> Iterator[None]:
    """Raises RegistryError when MLflow cannot be asked."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise RegistryError(
            f"MLflow cannot be asked ({error.error_code}); see that MMOE_MLFLOW_TRACKING_URI leads to a running server."
        ) from error


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that ends with its process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
