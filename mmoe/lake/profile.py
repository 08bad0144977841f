"""The shape of a day: how its values are distributed, as counts in bins, by view type. No bin names a value.

It lies under validation/dt=DAY/ beside the day's examination, and expires with the day.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Literal

from mmoe.lake.manifest import LabelCount, Manifest, from_json
from mmoe.lake.partitions import profile_key
from mmoe.lake.store import Store
from mmoe.parsing import Frozen


class Histogram(Frozen):
    """Counts of the bins that occur. A bin is a number: a hash bucket, or a step on a logarithmic scale."""

    bins: tuple[int, ...]
    counts: tuple[int, ...]
    missing: int

    @property
    def total(self) -> int:
        return self.missing + sum(self.counts)


class SliceProfile(Frozen):
    """The rows of one view type."""

    rows: int
    labels: dict[str, LabelCount]
    features: dict[str, Histogram]


class DayProfile(Frozen):
    format: Literal[1] = 1
    day: date
    subject: str
    """Digest of the staged day that it describes."""
    schema_fingerprint: str
    view_types: dict[str, SliceProfile]

    def of(self, view_type: str | None) -> SliceProfile | None:
        """One view type's profile, or that of all rows; None for a view type without rows."""
        if view_type is not None:
            return self.view_types.get(view_type)
        slices = list(self.view_types.values())
        heads = {head: [each.labels[head] for each in slices] for head in (slices[0].labels if slices else ())}
        names = slices[0].features if slices else ()
        return SliceProfile(
            rows=sum(each.rows for each in slices),
            labels={head: _added(counts) for head, counts in heads.items()},
            features={name: merged(each.features[name] for each in slices) for name in names},
        )


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of several samples."""
    counts: Counter[int] = Counter()
    missing = 0
    for histogram in histograms:
        counts.update(dict(zip(histogram.bins, histogram.counts, strict=True)))
        missing += histogram.missing
    bins = sorted(counts)
    return Histogram(bins=tuple(bins), counts=tuple(counts[number] for number in bins), missing=missing)


def read_profiles(store: Store, manifests: Iterable[Manifest]) -> list[DayProfile]:
    """Profiles of published days, where they have one under the same schema."""
    found = []
    for manifest in manifests:
        key = profile_key(manifest.day, manifest.validation.subject)
        content = store.read_bytes(key)
        if content is not None:
            profile = from_json(DayProfile, content, key)
            if profile.schema_fingerprint == manifest.schema_fingerprint:
                found.append(profile)
    return found


def _added(counts: list[LabelCount]) -> LabelCount:
    return LabelCount(
        positives=sum(count.positives for count in counts),
        negatives=sum(count.negatives for count in counts),
        nulls=sum(count.nulls for count in counts),
    )
