"""The monitoring log: one JSON file a day, and the last look at them. No MLflow, so the web pages read it too."""

from datetime import date

from mmoe.evaluate.monitor import MonitoredDay, Watch
from mmoe.registry.records import read_record, read_records, write_record
from mmoe.settings import Settings


class Monitored:
    """The monitored days of one registered model, oldest first."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home.absolute() / "monitoring" / settings.registered_model
        self.days = self.folder / "days"
        self.last = self.folder / "watch.json"

    def read(self, last: int = 0) -> list[MonitoredDay]:
        """All, or the `last` ones. Raises RegistryError for a file that is no record."""
        return read_records(self.days, MonitoredDay, last)

    def read_day(self, day: date) -> MonitoredDay | None:
        path = self.days / f"{day}.json"
        return read_record(path, MonitoredDay) if path.exists() else None

    def write(self, record: MonitoredDay) -> None:
        write_record(self.days / f"{record.day}.json", record)

    def read_watch(self) -> Watch | None:
        return read_record(self.last, Watch) if self.last.exists() else None

    def write_watch(self, found: Watch) -> None:
        write_record(self.last, found)
