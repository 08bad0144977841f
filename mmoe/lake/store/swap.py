"""Compare-and-swap on S3, by what the store was seen to enforce.

Conditional puts where they work. Where they do not but the bucket keeps versions (Ceph 16 refuses or ignores
conditions there), the order of versions decides: whoever finds another write between the bytes it knew and its own
takes its own version back. Such a loser is readable for the moment between, and if it is killed there, until the next
write; the locks keep that to a writer that lost its lock without knowing it.
"""

from typing import Literal, NamedTuple
from uuid import uuid4

from mmoe.errors import LakeError
from mmoe.lake.store.bucket import Bucket, Content
from mmoe.lake.store.protocol import LOCKS
from mmoe.lake.store.refusals import ConditionError

NO_SUCH_ETAG = "0" * 32


class Capabilities(NamedTuple):
    conditions: Literal["quoted", "bare"] | None
    """How an ETag must be written for IfMatch to be enforced; None where conditional puts cannot be relied on."""
    versions: bool


def probe(bucket: Bucket) -> Capabilities:
    """Try it out on an object of its own. Raises LakeError where compare-and-swap cannot be had."""
    key = f"{LOCKS}/probe/{uuid4().hex}"
    try:
        version = bucket.put(key, b"1")
        versions = version is not None and version != "null"
        conditions = _conditions(bucket, key)
    finally:
        erase(bucket, key)
    if conditions is None and not versions:
        raise LakeError(
            f"{bucket.url}: the store enforces no conditional puts (If-Match, If-None-Match) and the bucket keeps no "
            "versions, so two writers cannot be told apart; enable versioning on the bucket, or use a store with "
            "conditional puts."
        )
    return Capabilities(conditions, versions)


def swap(bucket: Bucket, can: Capabilities, key: str, old: bytes | None, new: bytes) -> bool:
    """Write `new` if the object's bytes are `old` (None: there is none). False: they are not, or not any more."""
    current = bucket.get(key)
    if (current.content if current else None) != old:
        return False
    if can.conditions is None:
        done = _put_in_order(bucket, key, current, new)
    else:
        done = _accepts(bucket, key, new, _condition(can.conditions, current.etag if current else None))
    if done:
        return True
    now = bucket.get(key)  # a request whose answer got lost is repeated, and then meets its own write
    return now is not None and now.content == new


def erase(bucket: Bucket, key: str) -> None:
    """Remove every version of one key."""
    bucket.remove([(item.key, item.version) for item in bucket.versions(key) if item.key == key])


def _conditions(bucket: Bucket, key: str) -> Literal["quoted", "bare"] | None:
    try:
        if _accepts(bucket, key, b"2", {"IfNoneMatch": "*"}):
            return None
        forms: tuple[Literal["quoted", "bare"], ...] = ("quoted", "bare")
        for form in forms:
            known = bucket.get(key)
            if known is None or _accepts(bucket, key, b"3", _condition(form, NO_SUCH_ETAG)):
                return None
            if _accepts(bucket, key, b"4", _condition(form, known.etag)):
                return form
    except LakeError:  # it does not know conditions and says so
        return None
    return None


def _accepts(bucket: Bucket, key: str, content: bytes, condition: dict[str, str]) -> bool:
    try:
        bucket.put(key, content, **condition)
    except ConditionError:
        return False
    return True


def _condition(form: Literal["quoted", "bare"], etag: str | None) -> dict[str, str]:
    if etag is None:
        return {"IfNoneMatch": "*"}
    bare = etag.strip('"')
    return {"IfMatch": bare if form == "bare" else f'"{bare}"'}


def _put_in_order(bucket: Bucket, key: str, known: Content | None, new: bytes) -> bool:
    mine = bucket.put(key, new)
    history = [item for item in bucket.versions(key) if item.key == key]
    written = [item for item in history if not item.marker]
    deleted = max((item.modified for item in history if item.marker), default=0.0)
    order = [item.version for item in written]
    before = written[order.index(mine) + 1 :] if mine in order else written
    if known is None:
        first = mine in order and all(item.modified <= deleted for item in before)
    else:
        first = mine in order and bool(before) and before[0].version == (known.version or "null")
        first = first and (not deleted or deleted <= before[0].modified)
    if not first:
        bucket.remove([(key, mine)])
    return first
