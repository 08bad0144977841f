"""WHERE things are: MMOE_* environment variables. Nothing is read at import."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mmoe.errors import SettingsError


class Settings(BaseSettings):
    """Locations of data and services. Everything unset lives under `home`."""

    model_config = SettingsConfigDict(env_prefix="MMOE_", frozen=True, extra="ignore")

    home: Path = Path("var/local")
    """Folder that holds all local state."""
    schema_file: str = "ads"
    """A shipped schema's name, or the path of a schema YAML file."""
    params_file: Path = Path("params.yaml")
    """What to train and gate."""
    registered_model: str = "ads_engagement"
    """Name of the registered model in MLflow."""
    lake: str = ""
    """Local folder or s3://bucket/prefix of the lake; default HOME/lake."""
    landing: str = ""
    """Local folder of the landing zone; default HOME/landing."""
    cache: str = ""
    """Local folder for copies of an S3 lake's objects, by key; default HOME/cache/lake."""
    mlflow_tracking_uri: str = ""
    """MLflow tracking and registry store; default a SQLite file under HOME/mlflow."""
    mlflow_url: str = ""
    """Address of MLflow's UI as a browser reaches it; default the tracking store's, where that is a server."""
    threads: int = 0
    """CPU threads for training; 0 leaves the choice to PyTorch."""
    train_processes: int = Field(default=1, ge=1)
    """Processes that share a training's rows; more than one are started by torchrun on this machine."""
    shard_rows: int = Field(default=0, ge=0)
    """Embedding tables of at least so many rows are shared out over the training's processes, by TorchRec; 0: none."""
    checkpoint_seconds: float = Field(default=120.0, ge=0)
    """Seconds between two checkpoints of a training, at least; writing them takes a tenth of the time at most."""
    checkpoint_steps: int = Field(default=0, ge=0)
    """Steps between two checkpoints, beside those by the clock; 0: by the clock alone."""
    code_commit: str = ""
    """Git commit of the code, where it lies in no checkout (an image); recorded with every training."""
    extra_stores: str = ""
    """Further places that may hold rows: NAME=FOLDER or NAME=s3://…, comma-separated. Retention and audit walk them."""
    dvc_project: Path = Path()
    """Folder of the DVC project whose cache and remotes retention and audit walk."""

    @property
    def lake_url(self) -> str:
        return self.lake or str(self.home.absolute() / "lake")

    @property
    def landing_path(self) -> Path:
        return Path(self.landing) if self.landing else self.home.absolute() / "landing"

    @property
    def cache_path(self) -> Path:
        return Path(self.cache).absolute() if self.cache else self.home.absolute() / "cache" / "lake"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{self.home.absolute() / 'mlflow' / 'mlflow.db'}"

    @property
    def mlflow_ui(self) -> str | None:
        """Where links to runs lead; None where MLflow has no address."""
        address = self.mlflow_url or self.mlflow_tracking_uri
        return address.rstrip("/") if address.startswith(("http://", "https://")) else None

    @property
    def artifact_root(self) -> Path:
        return self.home.absolute() / "mlflow" / "artifacts"

    @property
    def work(self) -> Path:
        """Checkpoints and finished trainings, one folder per digest of their inputs."""
        return self.home.absolute() / "work"

    @property
    def reports(self) -> Path:
        return self.home.absolute() / "reports"


def load_settings() -> Settings:
    """Read the environment now. Raises SettingsError naming the variable, its value and what is allowed."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "MMOE_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(f"{name}={first['input']!r}: {first['msg']}. Correct or unset it.") from error
