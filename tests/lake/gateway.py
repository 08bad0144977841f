"""A one-node Ceph object gateway, in memory, on free loopback ports: a real S3 that is not moto.

    with running(folder) as endpoint: ...

Needs Debian's ceph-mon, ceph-osd, radosgw and ceph-common. Every daemon is a child that dies with this process.
"""

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx

NEEDED = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "ceph-authtool", "setpriv")
USER, SECRET = "mmoe", "mmoe-secret"
PATIENCE = 60.0

CONFIG = """
[global]
fsid = {fsid}
mon initial members = a
mon host = v2:127.0.0.1:{mon}
public addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
osd memory target = 939524096
mon allow pool size one = true
run dir = {folder}/run
admin socket = {folder}/run/$name.$pid.asok
pid file = {folder}/run/$name.pid
log file = {folder}/log/$name.log
mon data = {folder}/mon
osd data = {folder}/osd
keyring = {folder}/keyring
rgw data = {folder}/rgw
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


def missing() -> list[str]:
    return [name for name in NEEDED if not shutil.which(name)]


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Yields the endpoint's URL. USER and SECRET are its only credentials."""
    for name in ("mon", "osd", "run", "log", "rgw"):
        (folder / name).mkdir(parents=True)
    fsid, mon, port = str(uuid4()), free_port(), free_port()
    config = folder / "ceph.conf"
    config.write_text(CONFIG.format(fsid=fsid, mon=mon, port=port, folder=folder))
    own = ("-c", str(config))

    def call(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)

    with ExitStack() as daemons:

        def start(*command: str) -> None:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command, *own, "-f"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            daemons.callback(process.wait)
            daemons.callback(process.kill)

        for name, *more in (("mon.", "--create-keyring"), ("client.admin",), ("client.rgw",), ("osd.0",)):
            everything = [word for part in ("mon", "osd", "mgr") for word in ("--cap", part, "allow *")]
            call("ceph-authtool", f"{folder}/keyring", *more, "--gen-key", "-n", name, *everything)
        call("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{mon}]", "--fsid", fsid, f"{folder}/monmap")
        call("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{folder}/monmap", "--keyring", f"{folder}/keyring", *own)
        start("ceph-mon", "-i", "a")
        osd = str(uuid4())
        call("ceph", *own, "osd", "new", osd)
        call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, *own)
        start("ceph-osd", "-i", "0")
        start("radosgw", "-n", "client.rgw")
        endpoint = f"http://127.0.0.1:{port}"
        wait_for(endpoint)
        keys = ("--access-key", USER, "--secret-key", SECRET)
        call("radosgw-admin", *own, "user", "create", "--uid", USER, "--display-name", USER, *keys)
        yield endpoint


def wait_for(endpoint: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.get(endpoint, timeout=5)
            return
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def free_port() -> int:
    """Below those that outgoing connections take, which might take it in the seconds until a daemon listens there."""
    for port in random.sample(range(20_000, 32_000), k=100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("none of a hundred ports of 127.0.0.1 is free")
