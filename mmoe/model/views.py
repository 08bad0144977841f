# ruff: noqa: N803, N806  (shapes in names)
"""Blocks that exist once per head and view type. T heads, V view types, B rows, N outputs."""

from torch import Tensor


def of_view_type(outputs: Tensor, view_type_B: Tensor, heads: int) -> Tensor:
    """Each row's output for its own view type. (T·V, B, N), view types fastest, → (T, B, N).

    All view types are computed for all rows: no branch, no sort, the same kernels at every batch size.
    """
    _, rows, width = outputs.shape
    outputs_TVBN = outputs.reshape(heads, -1, rows, width)
    index = view_type_B.view(1, 1, rows, 1).expand(heads, 1, rows, width)
    return outputs_TVBN.gather(1, index).squeeze(1)
