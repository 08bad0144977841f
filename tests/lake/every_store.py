"""The stores that every test of a store's promises runs on."""

import pytest

EVERY_STORE = [
    "local",
    "moto",
    "moto versioned",
    pytest.param("ceph", marks=pytest.mark.ceph),
    pytest.param("ceph versioned", marks=pytest.mark.ceph),
]
