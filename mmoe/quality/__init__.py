"""Data quality of what is staged and stored. The only package that imports Great Expectations, while it validates."""

from mmoe.quality.suite import load_suite, write_suites
from mmoe.quality.validation import validate
from mmoe.quality.verification import verify_partition, verify_scores, verify_staged

__all__ = ["load_suite", "validate", "verify_partition", "verify_scores", "verify_staged", "write_suites"]
