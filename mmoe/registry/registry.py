"""What the pipeline asks of the registry."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from mmoe.errors import RegistryError
from mmoe.registry.client import asked, file_lock, open_client, open_experiment
from mmoe.registry.live import fail_live, log_live
from mmoe.registry.promotion import Change, Promotions
from mmoe.registry.records import PromotionRecord, Records
from mmoe.registry.runs import (
    Training,
    UsedDay,
    add_metrics,
    add_report,
    download_files,
    download_report,
    finished_run,
    log_run,
    read_config,
    read_tags,
)
from mmoe.registry.versions import Alias, Stage, Version, Versions
from mmoe.settings import Settings


class Registry:
    """Runs, versions and aliases of `settings.registered_model`. Every method may run again after a kill."""

    def __init__(self, settings: Settings) -> None:
        """Raises RegistryError when MLflow cannot be asked."""
        with asked():
            self._client = open_client(settings)
            self._experiment = open_experiment(self._client, settings)
        self._versions = Versions(self._client, settings.registered_model)
        self._records = Records(settings)
        self._promotions = Promotions(self._versions, self._records)

    def log_training(
        self, *, key: str, name: str, params: Mapping[str, Any], metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[tuple[int, float]]], tags: Mapping[str, str], folder: Path,
        days: Collection[UsedDay] = (), live: str = "",
    ) -> str:  # fmt: skip
        """Id of the finished run with this key, made now if there is none, of the one that `log_live` began under the
        key `live` where there is one. `folder` becomes its files.
        """
        training = Training(
            key=key, name=name, params=params, metrics=metrics, curves=curves, tags=tags, folder=folder, days=days,
            live=live or key,
        )  # fmt: skip
        return log_run(self._client, self._experiment, training)

    def log_live(self, key: str, name: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Points of a training that goes on, into its run, made now if there is none. Raises RegistryError."""
        with asked():
            log_live(self._client, self._experiment, key, name, curves)

    def fail_live(self, key: str) -> None:
        """Say of the run, where there is one, that its training failed. Raises RegistryError."""
        with asked():
            fail_live(self._client, self._experiment, key)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Metrics found after training, such as those per head and view type."""
        add_metrics(self._client, run_id, metrics)

    def log_report(self, run_id: str, html: Path, json: Path) -> None:
        """Keep a promotion report beside the model it judges."""
        add_report(self._client, run_id, (html, json))

    def register(
        self, run_id: str, *, digest: str, line: str, stage: Stage, trained_through: date, days: Collection[date],
        parent: str | None = None, baseline: str | None = None, teacher: str | None = None,
    ) -> Version:  # fmt: skip
        """The version with this digest, registered now if there is none. Raises RegistryError for unusable values."""
        with file_lock(self._records.folder / ".register.lock"):
            return self._versions.create(
                run_id, digest=digest, line=line, stage=stage, trained_through=trained_through, days=days,
                parent=parent, baseline=baseline, teacher=teacher,
            )  # fmt: skip

    def set_challenger(self, version: str) -> None:
        """Point `challenger` at the version that is up for comparison."""
        self._versions.point("challenger", self._versions.get(version).version)

    def set_verdict(self, version: str, *, verdict: str, report: str) -> None:
        """Note on a version what the gate found, and the report that shows it."""
        self._versions.tag(version, {"verdict": verdict, "report": report})

    def alias(self, alias: Alias) -> Version | None:
        return self._versions.by_alias(alias)

    def version(self, version: str) -> Version:
        """Raises RegistryError if there is no such version."""
        return self._versions.get(version)

    def versions(self) -> list[Version]:
        """Every version, oldest first."""
        return self._versions.all()

    def config(self, version: str) -> dict[str, Any]:
        """The resolved configuration a version was trained with."""
        return read_config(self._client, self.version(version).run_id)

    def run(self, key: str) -> str | None:
        """Id of the finished run with this key."""
        return finished_run(self._client, self._experiment, key)

    def tags(self, version: str) -> dict[str, str]:
        """The tags of the run that a version was made by."""
        return read_tags(self._client, self.version(version).run_id)

    def download(self, version: str, folder: Path) -> Path:
        """The version's training folder at `folder`, verified. Raises CorruptionError if its files have changed."""
        return download_files(self._client, self.version(version).run_id, folder)

    def download_report(self, version: str, folder: Path) -> None:
        """The version's report files into `folder`. Raises RegistryError if MLflow keeps none."""
        download_report(self._client, self.version(version).run_id, folder)

    def bootstrap(self, version: str, *, actor: str, reason: str = "first champion") -> PromotionRecord:
        """Make a version the first champion. Raises RegistryError if there is, or was, another one."""
        digest = self.version(version).digest
        return self._promotions.apply(
            Change(kind="bootstrap", version=version, expected_champion=None, digest=digest, actor=actor, reason=reason)
        )

    def promote(
        self, version: str, *, expected_champion: str | None, digest: str, actor: str, reason: str, report: str
    ) -> PromotionRecord:
        """Make a version champion, if the champion is still the expected one and the version's digest the approved one.

        Raises RegistryError otherwise. Once made, the same call returns the same record.
        """
        if expected_champion is None:
            raise RegistryError(
                f"version={version}: compared with no champion; the first one is installed by bootstrap."
            )
        change = Change(
            kind="promotion", version=version, expected_champion=expected_champion, digest=digest, actor=actor,
            reason=reason, report=report,
        )  # fmt: skip
        return self._promotions.apply(change)

    def rollback(self, *, expected_champion: str, actor: str, reason: str, to: str | None = None) -> PromotionRecord:
        """Make a registered version champion again; None: the one before `expected_champion`.

        Raises RegistryError if there is none, or the champion is another one by now.
        """
        if not reason.strip():
            raise RegistryError("reason='': a rollback needs one; say what is wrong with the champion.")
        return self._promotions.roll_back(expected_champion, actor, reason, to)

    def rollback_target(self, expected_champion: str) -> str:
        """The version that a rollback from this champion returns to. Raises RegistryError if there is none."""
        return self._promotions.target(expected_champion)

    def reconcile(self) -> PromotionRecord | None:
        """Finish or undo an interrupted change of the champion; the record of it, or None if there was nothing."""
        return self._promotions.reconcile()

    def history(self) -> list[PromotionRecord]:
        """Every change of the champion, oldest first."""
        return self._records.read()
