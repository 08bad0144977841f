"""An S3 bucket as the store uses it: single requests, with their retries. Keys lie below a prefix."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from mmoe.lake.manifest import file_digest
from mmoe.lake.store.refusals import ABSENT, PASSING, UNMET, ConditionError, back_off, code_of, telling

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

ATTEMPTS = 8
"""Per request, with exponential backoff and jitter: what a store that throttles asks for."""
BATCH = 1000
"""Keys that one delete request may name."""
CLIENT = Config(
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    connect_timeout=5,
    read_timeout=30,
    # Stores older than these checksums refuse them; every file is checked against its sha256 when it is read.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
TRANSFER = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=64 << 20, max_concurrency=4)


class Content(NamedTuple):
    content: bytes
    etag: str
    version: str | None
    """None where the bucket keeps no versions."""


class Head(NamedTuple):
    size: int
    etag: str
    sha256: str | None
    """What `upload` stated; None for an object that came another way."""


class Item(NamedTuple):
    """A line of a listing, newest first among those of a key."""

    key: str
    version: str
    size: int
    current: bool
    marker: bool
    modified: float
    """By the store's clock."""


class Bucket:
    """Endpoint and credentials are boto3's usual ones: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, profiles, roles."""

    def __init__(self, name: str, prefix: str) -> None:
        self.name = name
        self.prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{name}/{prefix}".rstrip("/")
        self.session = boto3.session.Session()
        with telling(self.url, "open it"):
            self.client: S3Client = self.session.client("s3", config=CLIENT)

    def put(self, key: str, content: bytes, **condition: str) -> str | None:
        """Write, under IfMatch or IfNoneMatch if one is given; the new version, None without versions.

        Raises ConditionError when the condition does not hold.
        """
        with telling(self.url, f"write {key}"):
            try:
                answer = self.client.put_object(Bucket=self.name, Key=self.prefix + key, Body=content, **condition)  # type: ignore[arg-type]
            except ClientError as error:
                if condition and code_of(error) in UNMET | ABSENT:
                    raise ConditionError from None
                raise
        return answer.get("VersionId")

    def upload(self, source: Path, key: str) -> None:
        """A file of any size, in parts where it is large; absent until it is whole."""
        extra = {"Metadata": {"sha256": file_digest(source)}}
        with telling(self.url, f"write {key}"):
            self.client.upload_file(str(source), self.name, self.prefix + key, ExtraArgs=extra, Config=TRANSFER)

    def get(self, key: str) -> Content | None:
        with telling(self.url, f"read {key}"):
            for attempt in range(ATTEMPTS):
                try:
                    answer = self.client.get_object(Bucket=self.name, Key=self.prefix + key)
                    return Content(answer["Body"].read(), answer["ETag"], answer.get("VersionId"))
                except ClientError as error:
                    if code_of(error) in ABSENT:
                        return None
                    raise
                except (HTTPClientError, IncompleteReadError):  # the body broke off, which boto3 does not retry
                    if attempt + 1 == ATTEMPTS:
                        raise
                    back_off(attempt)
        return None

    def head(self, key: str) -> Head | None:
        with telling(self.url, f"read {key}"):
            try:
                answer = self.client.head_object(Bucket=self.name, Key=self.prefix + key)
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return None
                raise
        return Head(answer["ContentLength"], answer["ETag"], answer["Metadata"].get("sha256"))

    def current(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Key, size and ETag of what readers see."""
        with telling(self.url, f"list {prefix}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix + prefix)
            for item in (item for page in pages for item in page.get("Contents", [])):
                yield self._below(item["Key"]), item["Size"], item["ETag"]

    def versions(self, prefix: str) -> Iterator[Item]:
        """Every version and delete marker; without versions, what is current."""
        with telling(self.url, f"list the versions of {prefix}"):
            paginator = self.client.get_paginator("list_object_versions")
            for page in paginator.paginate(Bucket=self.name, Prefix=self.prefix + prefix):
                for each in page.get("Versions", []):
                    key, modified = self._below(each["Key"]), each["LastModified"].timestamp()
                    yield Item(key, each["VersionId"], each["Size"], each["IsLatest"], False, modified)
                for marker in page.get("DeleteMarkers", []):
                    key, modified = self._below(marker["Key"]), marker["LastModified"].timestamp()
                    yield Item(key, marker["VersionId"], 0, marker["IsLatest"], True, modified)

    def uploads(self, prefix: str) -> Iterator[tuple[str, str, int]]:
        """Key, upload id and size so far of every unfinished upload."""
        with telling(self.url, f"list the uploads of {prefix}"):
            paginator = self.client.get_paginator("list_multipart_uploads")
            for page in paginator.paginate(Bucket=self.name, Prefix=self.prefix + prefix):
                for upload in page.get("Uploads", []):
                    yield (
                        self._below(upload["Key"]),
                        upload["UploadId"],
                        self._uploaded(upload["Key"], upload["UploadId"]),
                    )

    def remove(self, items: Iterable[tuple[str, str | None]]) -> dict[str, str]:
        """Delete versions of keys, or put a marker where the version is None. Returns why each refused key remained.

        The answer to a batch tells of each key by itself; what is refused only for now is tried again.
        """
        refused: dict[str, str] = {}
        waiting = iter(items)
        while batch := list(islice(waiting, BATCH)):
            again = self._remove(batch)
            for attempt in range(ATTEMPTS - 1):
                if PASSING.isdisjoint(again.values()):
                    break
                back_off(attempt)
                again = self._remove([item for item in batch if item[0] in again])
            refused |= again
        return refused

    def abort(self, key: str, upload: str) -> None:
        with telling(self.url, f"end an upload of {key}"):
            try:
                self.client.abort_multipart_upload(Bucket=self.name, Key=self.prefix + key, UploadId=upload)
            except ClientError as error:
                if code_of(error) not in ABSENT:
                    raise

    def _remove(self, batch: list[tuple[str, str | None]]) -> dict[str, str]:
        named: list[ObjectIdentifierTypeDef] = [
            {"Key": self.prefix + key, "VersionId": version} if version else {"Key": self.prefix + key}
            for key, version in batch
        ]
        with telling(self.url, f"delete {batch[0][0]}"):
            answer = self.client.delete_objects(Bucket=self.name, Delete={"Objects": named, "Quiet": True})
        errors = [(error.get("Key", ""), error.get("Code", "unknown")) for error in answer.get("Errors", [])]
        return {self._below(key): code for key, code in errors if code not in ABSENT}

    def _uploaded(self, full_key: str, upload: str) -> int:
        try:
            pages = self.client.get_paginator("list_parts").paginate(Bucket=self.name, Key=full_key, UploadId=upload)
            return sum(part["Size"] for page in pages for part in page.get("Parts", []))
        except ClientError as error:
            if code_of(error) in ABSENT:
                return 0
            raise

    def _below(self, full_key: str) -> str:
        return full_key.removeprefix(self.prefix)
