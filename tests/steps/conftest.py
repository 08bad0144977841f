import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "lake"))  # for handmade.py
from every_store import ceph, make_bucket, moto, session  # noqa: F401  # fixtures
