"""Data quality of a staged day. The only package that imports Great Expectations, and only while it validates."""

from mmoe.quality.rules import derive_suite
from mmoe.quality.suite import load_suite, write_suite
from mmoe.quality.validation import validate

__all__ = ["derive_suite", "load_suite", "validate", "write_suite"]
