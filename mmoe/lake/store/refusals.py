"""What an S3 store's refusals mean to the person who reads them. Only codes are told: messages may hold credentials."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from mmoe.errors import LakeError

ABSENT = {"404", "NoSuchKey", "NoSuchUpload", "NoSuchVersion"}
UNMET = {"412", "PreconditionFailed", "ConditionalRequestConflict"}
PASSING = {"SlowDown", "InternalError", "ServiceUnavailable", "500", "503", "OperationAborted", "RequestTimeout"}
"""Worth another try."""
CREDENTIALS = "see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
FIXES = {
    "403": "see the bucket's policy and the rights of the credentials",
    "AccessDenied": "see the bucket's policy and the rights of the credentials",
    "InvalidAccessKeyId": CREDENTIALS,
    "SignatureDoesNotMatch": CREDENTIALS,
    "NoCredentialsError": CREDENTIALS,
    "NoSuchBucket": "create the bucket or correct MMOE_LAKE",
    "RequestTimeTooSkewed": "this machine's clock is not the store's; synchronise it",
    "EndpointConnectionError": "see AWS_ENDPOINT_URL and the network",
    "QuotaExceeded": "the store is full",
} | dict.fromkeys(PASSING, "the store is overloaded; run the step again later")


class ConditionError(Exception):
    """The condition of a conditional write does not hold."""


@contextmanager
def telling(url: str, what: str) -> Iterator[None]:
    """Turn the client's exceptions into a LakeError that names the store, the request, the code and the fix."""
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        reason = code_of(error)
        fix = FIXES.get(reason, "see the store's own log")
        raise LakeError(f"{url}: cannot {what}: {reason}; {fix}.") from error


def code_of(error: BaseException) -> str:
    """The store's code, or the kind of exception where no answer came. An upload's failure hides it in its cause."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code") or type(error).__name__
    if isinstance(error, Boto3Error) and (cause := error.__cause__ or error.__context__):
        return code_of(cause)
    return type(error).__name__


def back_off(attempt: int) -> None:
    """Wait before the next try: at most 2^attempt / 2 seconds, by chance, so that many clients spread out."""
    time.sleep(random.uniform(0, min(10.0, 0.5 * 2**attempt)))  # noqa: S311  (not a secret)
