"""What models have learned, beside what the lake may still hold; and how old a model may become."""

from datetime import date
from pathlib import Path

from mmoe.errors import RegistryError, TrainingError
from mmoe.registry import Registry, Version
from mmoe.registry.lineage import lineage
from mmoe.registry.windows import LearnedModels
from mmoe.steps.context import Context

SQLITE = "sqlite:///"


def learned_models(context: Context, as_of: date) -> LearnedModels:
    """Every registered version with its days. A registry that cannot be asked is no reason to keep expired rows."""
    limit = context.params.retention.max_model_age_days
    try:
        versions = Registry(context.settings).versions() if has_registry(context) else []
    except RegistryError as error:
        return LearnedModels(as_of=as_of, max_age_days=limit, models=(), unknown=str(error))
    return LearnedModels(as_of=as_of, max_age_days=limit, models=tuple(lineage(versions)))


def has_registry(context: Context) -> bool:
    """Whether anything was ever registered here: asking would create MLflow's database."""
    uri = context.settings.tracking_uri
    return not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).is_file()


def refuse_too_old(context: Context, registry: Registry, version: Version, as_of: date, use: str, fix: str) -> None:
    """Raises TrainingError when the version has learned a day more than retention.max_model_age_days before `as_of`."""
    limit = context.params.retention.max_model_age_days
    model = next(each for each in lineage(registry.versions()) if each.version == version.version)
    if limit is not None and model.age(as_of) > limit:
        raise TrainingError(
            f"version {version.version} may not {use}: the oldest day that its weights have learned is {model.oldest}, "
            f"{model.age(as_of)} days before {as_of}, and retention.max_model_age_days={limit}; {fix}."
        )


def refuse_old_days(context: Context, oldest: date, as_of: date) -> None:
    """Raises TrainingError, before anything is trained, for a window whose model could not be promoted on `as_of`."""
    limit, age = context.params.retention.max_model_age_days, (as_of - oldest).days
    if limit is not None and age > limit:
        raise TrainingError(
            f"the window begins on {oldest}, {age} days before {as_of}, and with retention.max_model_age_days={limit} "
            "its model could not become champion; take a window of fewer days."
        )
