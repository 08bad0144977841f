# ruff: noqa: N815  (shapes in names)
"""What a network reads: one batch of features as tensors."""

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """One batch. B rows, F categorical and N numeric features; the order of features is that of NetworkSpec."""

    categorical_BF: Tensor
    """int64 rows of each feature's table: 0 is a missing value, 1 + hash % buckets any other."""
    numeric_BN: Tensor
    """float32, standardised; 0 where missing."""
    missing_BN: Tensor
    """float32, 1 where the numeric value is missing, else 0."""
    bag_values: tuple[Tensor, ...]
    """Per multivalued feature, int64 (nnz,): the table rows of all its values, batch row after batch row."""
    bag_offsets: tuple[Tensor, ...]
    """Per multivalued feature, int64 (B,): where each batch row's values start. An empty bag pools to zeros."""
    view_type_B: Tensor
    """int64 index of the view type, 0 ≤ index < NetworkSpec.view_types."""
