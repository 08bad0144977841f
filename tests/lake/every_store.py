"""The stores that every test of a store's promises runs on, and the servers behind them: moto and Ceph's gateway."""

import logging
import os
from collections.abc import Iterator
from uuid import uuid4

import boto3
import gateway
import pytest
from moto.server import ThreadedMotoServer

EVERY_STORE = [
    "local",
    "moto",
    "moto versioned",
    pytest.param("ceph", marks=pytest.mark.ceph),
    pytest.param("ceph versioned", marks=pytest.mark.ceph),
]


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if missing := gateway.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: ceph-mon ceph-osd radosgw ceph-common)")
    with gateway.running(tmp_path_factory.mktemp("ceph")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def session() -> boto3.session.Session:
    return boto3.session.Session()


@pytest.fixture
def make_bucket(session: boto3.session.Session, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """make_bucket("moto versioned") -> the name of a new bucket there; the environment says how to reach it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)

    def make(kind: str, **options: bool) -> str:
        server, _, versioned = kind.partition(" ")
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue(server))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", gateway.USER)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", gateway.SECRET)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        bucket = f"lake-{uuid4().hex}"
        client = session.client("s3")
        client.create_bucket(Bucket=bucket, **options)
        if versioned:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return bucket

    return make
