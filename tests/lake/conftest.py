import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import gateway
import pytest
from handmade import SCHEMA
from moto.server import ThreadedMotoServer

from mmoe.lake.inventory import Stores
from mmoe.lake.registered import registered_stores
from mmoe.lake.store import Store, open_store
from mmoe.settings import Settings


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "lake"))


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


@pytest.fixture
def lake_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty lake on the store that the test's parameter names."""
    if request.param == "local":
        return str(tmp_path / "lake")
    return f"s3://{request.getfixturevalue('make_bucket')(request.param)}/some/lake"


@pytest.fixture
def any_store(lake_url: str, tmp_path: Path) -> Store:
    return open_store(lake_url, tmp_path / "cache")


@pytest.fixture
def stores(tmp_path: Path, store: Store) -> Stores:
    """The lake and everything else that is registered for a home at tmp_path."""
    return registered_stores(Settings(home=tmp_path, dvc_project=tmp_path / "project"), SCHEMA, store)


@pytest.fixture
def restore(tmp_path: Path) -> Callable[[dict[str, bytes]], None]:
    """restore(state) puts back every file that `lakes.state` saw, and no other."""

    def put_back(files: dict[str, bytes]) -> None:
        shutil.rmtree(tmp_path)
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return put_back
