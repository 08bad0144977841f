# ruff: noqa: N803  (shapes in names)
"""The loss curve of a training, and what its next point is made of: sums alone, which a checkpoint can hold.

Shapes: T heads, E experts.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmoe.data.batch import Batch
from mmoe.model.gates import effective_experts, entropy
from mmoe.model.network import Outputs
from mmoe.train.distributed import Processes
from mmoe.train.objective import Losses
from mmoe.train.progressive import aucs, count, no_rows
from mmoe.train.state import CurvePoint, GatePoint


class Running:
    """Mean losses, counts of predictions and the last gates since the last point of the curve."""

    def __init__(self, heads: Sequence[str], *, distilled: bool) -> None:
        self.heads, self.distilled = tuple(heads), distilled
        self.points: list[CurvePoint] = []
        self._clear()

    def _clear(self) -> None:
        self._sums = torch.zeros(len(self.heads) + 3, dtype=torch.float64)
        """Of each head's loss, the distillation loss, the total, and the steps."""
        self._rows = no_rows(len(self.heads))
        self._gates: Tensor | None = None
        """(T, 2) mean entropy and effective experts in the last batch, as a checkpoint had them."""
        self._gates_TBE: Tensor | None = None
        """Of the last batch, where there has been one since."""

    def add(self, losses: Losses) -> None:
        """A step's losses, over all processes."""
        parts = (losses.task, losses.distillation.view(1), losses.total.detach().view(1))
        self._sums += torch.cat([torch.cat(parts).cpu(), torch.ones(1)]).double()

    def see(self, outputs: Outputs, batch: Batch) -> None:
        """What the network said of this process's rows."""
        count(self._rows, outputs.logits, batch.labels_BH, self.heads)
        self._gates_TBE = None if outputs.gates_TBE is None else outputs.gates_TBE.detach()

    @property
    def gates(self) -> Tensor | None:
        """(T, 2) mean entropy and effective experts in the last batch; None without gates."""
        if self._gates_TBE is None:
            return self._gates
        used = entropy(self._gates_TBE).mean(dim=1), effective_experts(self._gates_TBE.mean(dim=1))
        return torch.stack(used, dim=1).cpu()

    @property
    def empty(self) -> bool:
        return not self._sums[-1]

    def means(self) -> tuple[dict[str, float], float, float]:
        """Each head's loss, the distillation loss and the total, over the steps since the last point."""
        *task, distillation, total = (self._sums[:-1] / self._sums[-1]).tolist()
        return dict(zip(self.heads, task, strict=True)), distillation, total

    def close(self, step: int, rows: int, group: Processes) -> None:
        """Make a point of what there is, over all processes, and begin anew. The gates are those of the first one."""
        task, distillation, _ = self.means()
        self.points.append(
            CurvePoint(
                step=step,
                rows=rows,
                task=task,
                distillation=distillation if self.distilled else None,
                gates=None if (gates := self.gates) is None else gate_points(gates, self.heads),
                auc=aucs(group.summed(self._rows), self.heads),
            )
        )
        self._clear()

    def state(self, group: Processes) -> dict[str, Tensor]:
        """What is not in the points yet, by name, over all processes."""
        state = {"sums": self._sums, "rows": group.summed(self._rows)}
        return state if (gates := self.gates) is None else state | {"gates": gates}

    def load_state(self, state: Mapping[str, Tensor], points: Sequence[CurvePoint], group: Processes) -> None:
        """The first process goes on with the rows that all have counted."""
        self.points = list(points)
        self._sums, self._gates = state["sums"], state.get("gates")
        if group.leads:
            self._rows = state["rows"]


def gate_points(gates_T2: Tensor, heads: Sequence[str]) -> dict[str, GatePoint]:
    rows = zip(heads, gates_T2.tolist(), strict=True)
    return {head: GatePoint(entropy=mean, experts=used) for head, (mean, used) in rows}
