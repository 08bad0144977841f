# ruff: noqa: N803, N806  (shapes in names)
"""What a model said of rows before it learned them: its AUC along the way, without a pass of its own.

Rows are counted by bins of their logit, so that memory does not grow with them and no row can be read back.
Shapes: B rows, T heads, N bins.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

BINS, BINS_A_UNIT = 4096, 128
"""Logits within 16 of 0, 1/128 wide; what lies beyond goes to the outermost bins."""


def no_rows(heads: int) -> Tensor:
    return torch.zeros(heads, 2, BINS, dtype=torch.int64)


def count(rows_T2N: Tensor, logits: Mapping[str, Tensor], labels_BT: Tensor, heads: Sequence[str]) -> None:
    """Add a batch's rows by head, label and bin of the logit; a label that is not final (NaN) is not counted."""
    logits_TB = torch.stack([logits[head].detach().float() for head in heads])
    bin_TB = logits_TB.mul_(BINS_A_UNIT).add_(BINS / 2).clamp_(0, BINS - 1).long()
    labels_TB = labels_BT.T
    head_T1 = torch.arange(len(heads), device=logits_TB.device).unsqueeze(1)
    cell_TB = bin_TB.add_(2 * head_T1 + labels_TB.nan_to_num().long(), alpha=BINS)
    final_TB = ~labels_TB.isnan()
    rows_T2N.view(-1).index_add_(0, cell_TB.flatten().cpu(), final_TB.long().flatten().cpu())


def aucs(rows_T2N: Tensor, heads: Sequence[str]) -> dict[str, float | None]:
    """Per head, rows of one bin counting as ties; None where a class is missing."""
    negatives_TN, positives_TN = rows_T2N.double().unbind(dim=1)
    below_TN = negatives_TN.cumsum(dim=1) - negatives_TN / 2
    pairs_T = negatives_TN.sum(dim=1) * positives_TN.sum(dim=1)
    won_T = (positives_TN * below_TN).sum(dim=1)
    both = zip(heads, won_T.tolist(), pairs_T.tolist(), strict=True)
    return {head: won / pairs if pairs else None for head, won, pairs in both}
