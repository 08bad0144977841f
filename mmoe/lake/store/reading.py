"""Objects of a bucket into local files, through pyarrow's S3 client."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.fs as fs

from mmoe.errors import LakeError
from mmoe.lake.store.bucket import ATTEMPTS, Bucket
from mmoe.lake.store.refusals import back_off

CHUNK = 8 << 20
DOWNLOADS = 3
"""Each of which repeats its requests ATTEMPTS times."""


def download(bucket: Bucket, key: str, size: int, path: Path) -> None:
    """All `size` bytes of an object. What breaks off or falls short is tried again. Raises LakeError."""
    for attempt in range(DOWNLOADS):
        if attempt:
            back_off(attempt)
        with path.open("wb") as target:
            try:
                for chunk in _chunks(bucket, key):
                    target.write(chunk)
            except _BrokenOffError as error:
                reason = str(error)
                continue
            if target.tell() == size:
                return
            reason = f"{target.tell()} of {size} bytes arrived"
    raise LakeError(f"{bucket.url}: cannot read {key}: {reason}; see the store and the network, then run again.")


class _BrokenOffError(Exception):
    """The store's side of a download failed; not the disk's."""


def _chunks(bucket: Bucket, key: str) -> Iterator[bytes]:
    try:
        with _filesystem(bucket).open_input_stream(f"{bucket.name}/{bucket.prefix}{key}", buffer_size=0) as source:
            while chunk := source.read(CHUNK):
                yield chunk
    except OSError as error:
        raise _BrokenOffError(type(error).__name__) from error


def _filesystem(bucket: Bucket) -> fs.S3FileSystem:
    """With boto3's endpoint, region and credentials of this moment, so that both speak to one store as one user."""
    endpoint = urlsplit(bucket.client.meta.endpoint_url)
    options = {"scheme": endpoint.scheme, "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)}
    if not endpoint.netloc.endswith(".amazonaws.com"):
        options["endpoint_override"] = endpoint.netloc
    region = bucket.client.meta.region_name
    if region != "aws-global":
        options["region"] = region
    credentials = bucket.session.get_credentials()
    if credentials is None:
        return fs.S3FileSystem(**options, anonymous=True)
    now = credentials.get_frozen_credentials()
    return fs.S3FileSystem(access_key=now.access_key, secret_key=now.secret_key, session_token=now.token, **options)
