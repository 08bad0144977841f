"""From versions and their tags to the days behind each version's weights."""

from collections.abc import Sequence
from datetime import date

from mmoe.registry.versions import Version
from mmoe.registry.windows import LearnedModel


def lineage(versions: Sequence[Version]) -> list[LearnedModel]:
    """One per version, in their order. Follows parents (warm starts) and teachers to their ends."""
    by_version = {version.version: version for version in versions}
    by_digest = {version.digest: version for version in versions}

    def ancestors(version: Version) -> list[Version]:
        found: list[Version] = []
        parent = by_version.get(version.parent or "")
        while parent is not None and parent not in found:
            found.append(parent)
            parent = by_version.get(parent.parent or "")
        return found

    def teachers(version: Version, seen: set[str]) -> set[date]:
        """Days of all teachers of the version and its ancestors, and of theirs."""
        days: set[date] = set()
        for student in (version, *ancestors(version)):
            teacher = by_digest.get(student.teacher or "")
            if teacher is not None and teacher.version not in seen:
                seen.add(teacher.version)
                for source in (teacher, *ancestors(teacher)):
                    days |= {*source.learned}
                days |= teachers(teacher, seen)
        return days

    def learned(version: Version) -> LearnedModel:
        own = {*version.learned}
        inherited = {day for parent in ancestors(version) for day in parent.learned} - own
        return LearnedModel(
            version=version.version,
            stage=version.stage,
            aliases=version.aliases,
            own=tuple(sorted(own)),
            inherited=tuple(sorted(inherited)),
            taught=tuple(sorted(teachers(version, set()) - own - inherited)),
        )

    return [learned(version) for version in versions]
