"""Registered versions: what a run became, with the tags that say where it comes from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from mmoe.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

Stage = Literal["bootstrap", "batch", "incremental"]
Alias = Literal["champion", "challenger", "previous"]


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered version, by its tags. What a tag would say is None where it does not apply."""

    version: str
    run_id: str
    digest: str
    line: str
    """Versions that descend from one batch training share a line."""
    stage: Stage
    trained_through: date
    first_day: date
    days: int
    parent: str | None
    """The version it was warm-started from."""
    baseline: str | None
    """The version it is compared with."""
    teacher: str | None
    """Digest of the model it was distilled from."""
    verdict: str | None
    report: str | None
    aliases: tuple[str, ...]
    learned: tuple[date, ...] = ()
    """Every day that its own training read, oldest first; not what it was warm-started or taught with."""


class Versions:
    """The versions of one registered model."""

    def __init__(self, client: "MlflowClient", name: str) -> None:
        self.client = client
        self.name = name

    def create(
        self, run_id: str, *, digest: str, line: str, stage: Stage, trained_through: date, days: Collection[date],
        parent: str | None, baseline: str | None, teacher: str | None,
    ) -> Version:  # fmt: skip
        """The version with this digest; registered now if there is none."""
        if stage not in get_args(Stage):
            raise RegistryError(f"stage={stage!r}: no such stage; use one of {', '.join(get_args(Stage))}.")
        if not days or max(days) != trained_through:
            newest = max(days, default=None)
            raise RegistryError(
                f"trained_through={trained_through}: the newest of its days is {newest}; give all days."
            )
        found = self.by_digest(digest)
        if found is not None:
            return found
        self._ensure_model()
        tags = {
            "digest": digest, "line": line, "stage": stage, "trained_through": str(trained_through),
            "first_day": str(min(days)), "days": str(len(set(days))), "learned": " ".join(map(str, sorted(set(days)))),
        }  # fmt: skip
        related = {"parent": parent, "baseline": baseline, "teacher": teacher}
        tags |= {name: value for name, value in related.items() if value is not None}
        created = self.client.create_model_version(
            self.name,
            source=f"{self.client.get_run(run_id).info.artifact_uri}/model",
            run_id=run_id,
            tags=tags,
            description=f"{stage} of line {line}, trained through {trained_through}",
        )
        return self.get(str(created.version))

    def get(self, version: str) -> Version:
        """Raises RegistryError if there is no such version."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version(self.name, version)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            found = None
        if found is None or "digest" not in found.tags:
            known = ", ".join(each.version for each in self.all()) or "none"
            raise RegistryError(f"version={version!r}: not registered under {self.name!r}; there are: {known}.")
        return parse_version(found, self.aliases())

    def by_digest(self, digest: str) -> Version | None:
        return next(iter(self._search(f"name = '{self.name}' AND tags.digest = '{digest}'")), None)

    def all(self) -> list[Version]:
        """Oldest first. Versions that something else registered under this name are left out."""
        return self._search(f"name = '{self.name}'")

    def _search(self, wanted: str) -> list[Version]:
        aliases = self.aliases()
        pages: list[Any] = []
        token = None
        while token != "":
            page = self.client.search_model_versions(wanted, max_results=1000, page_token=token)
            pages += page
            token = page.token or ""
        found = [parse_version(each, aliases) for each in pages if "digest" in each.tags]
        return sorted(found, key=lambda each: int(each.version))

    def aliases(self) -> dict[str, str]:
        """Alias to version; empty before the first registration."""
        registered = self._model()
        return {name: str(version) for name, version in registered.aliases.items()} if registered else {}

    def by_alias(self, alias: Alias) -> Version | None:
        version = self.aliases().get(alias)
        return None if version is None else self.get(version)

    def point(self, alias: Alias, version: str | None) -> None:
        """Move an alias; None removes it."""
        if version is None:
            self.client.delete_registered_model_alias(self.name, alias)
        else:
            self.client.set_registered_model_alias(self.name, alias, version)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self.client.set_model_version_tag(self.name, version, name, value)

    def _model(self) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _ensure_model(self) -> None:
        if self._model() is None:
            self.client.create_registered_model(self.name)


def parse_version(found: Any, aliases: Mapping[str, str]) -> Version:
    tags = found.tags
    return Version(
        version=str(found.version),
        run_id=str(found.run_id),
        digest=tags["digest"],
        line=tags["line"],
        stage=tags["stage"],
        trained_through=date.fromisoformat(tags["trained_through"]),
        first_day=date.fromisoformat(tags["first_day"]),
        days=int(tags["days"]),
        parent=tags.get("parent"),
        baseline=tags.get("baseline"),
        teacher=tags.get("teacher"),
        verdict=tags.get("verdict"),
        report=tags.get("report"),
        aliases=tuple(sorted(name for name, version in aliases.items() if version == str(found.version))),
        learned=learned_days(tags),
    )


def learned_days(tags: Mapping[str, str]) -> tuple[date, ...]:
    """As tagged; of a version from before that tag, every day of its span."""
    if "learned" in tags:
        return tuple(date.fromisoformat(day) for day in tags["learned"].split())
    first, last = date.fromisoformat(tags["first_day"]), date.fromisoformat(tags["trained_through"])
    return tuple(first + timedelta(days=number) for number in range((last - first).days + 1))
