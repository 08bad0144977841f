"""Row-wise Adagrad for the embedding tables, AdamW for all else, and the learning-rate schedule."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.adamw import adamw

from mmoe.errors import ConfigError
from mmoe.model.table_rows import put, taken

EPSILON = 1e-10
BETAS, ADAM_EPSILON = (0.9, 0.999), 1e-8


class RowwiseAdagrad:
    """g_r += l2 · w_r, s_r += mean(g_r²), w_r −= lr · g_r / (√s_r + ε) for the rows r that a batch touched.

    One float of state per row (Duchi et al. 2011; the row-wise form, and the penalty on touched rows alone, are those
    of FBGEMM's exact_row_wise_adagrad). Parameters are (rows, width) and carry sparse gradients.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], *, lr: float, l2: float = 0.0) -> None:
        self.parameters = dict(parameters)
        self.lr, self.l2 = lr, l2
        self.sums = {name: p.detach().new_zeros(len(p)) for name, p in self.parameters.items()}

    @torch.no_grad()
    def step(self, scale: float = 1.0) -> None:
        """With the learning rate times `scale`."""
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                continue
            rows, gradient = sum_by_row(parameter.grad)
            weights = taken(parameter.detach(), rows)
            if self.l2:
                gradient = gradient.add(weights, alpha=self.l2)
            sums = self.sums[name].index_select(0, rows) + gradient.square().mean(dim=1)
            self.sums[name].index_copy_(0, rows, sums)
            update = gradient * (-self.lr * scale / (sums.sqrt() + EPSILON)).unsqueeze(1)
            put(parameter, rows, weights.add_(update))


def sum_by_row(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows (U,) of an uncoalesced sparse gradient, ascending, and their summed values (U, width).

    Sorting and summing as an embedding bag is many times faster on a CPU than Tensor.coalesce(), and sorting 32 bits
    faster than 64.
    """
    indices = gradient._indices()[0]
    keys = indices.int() if len(gradient) <= torch.iinfo(torch.int32).max else indices
    ascending, order = torch.sort(keys, stable=True)
    rows, counts = torch.unique_consecutive(ascending, return_counts=True)
    return rows.long(), F.embedding_bag(order, gradient._values(), counts.cumsum(0) - counts, mode="sum")


class AdamW:
    """The fused update of torch.optim.AdamW (Loshchilov and Hutter 2019), of decayed and other parameters apart.

    Through torch's functional form: its class imports torch._dynamo, which takes 73 MB and two seconds of any training.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], *, lr: float, weight_decay: float) -> None:
        self.parameters, self.lr, self.weight_decay = dict(parameters), lr, weight_decay
        self.state = {name: self._unmoved(parameter) for name, parameter in parameters.items()}

    @staticmethod
    def _unmoved(parameter: nn.Parameter) -> dict[str, Tensor]:
        weight = parameter.detach()
        step = torch.zeros((), device=weight.device)
        return {"step": step, "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """With the learning rate times `scale`. A parameter without a gradient stays as it is."""
        moved = [name for name, parameter in self.parameters.items() if parameter.grad is not None]
        for decay, names in (
            (self.weight_decay, [name for name in moved if name.endswith(".weight")]),
            (0.0, [name for name in moved if not name.endswith(".weight")]),
        ):
            states = [self.state[name] for name in names]
            adamw(
                [self.parameters[name] for name in names],
                [gradient for name in names if (gradient := self.parameters[name].grad) is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=self.lr * scale,
                weight_decay=decay,
                eps=ADAM_EPSILON,
                maximize=False,
            )


class Optimizer:
    """Both optimizers behind one step. Embedding tables are the parameters of networks named `embeddings.*`."""

    def __init__(
        self,
        network: nn.Module,
        *,
        dense_lr: float,
        embedding_lr: float,
        weight_decay: float,
        clip_norm: float,
        embedding_l2: float = 0.0,
    ) -> None:
        named = dict(network.named_parameters())
        tables = {name: parameter for name, parameter in named.items() if name.startswith("embeddings.")}
        self.dense = {name: parameter for name, parameter in named.items() if name not in tables}
        self.dense_lr, self.clip_norm = dense_lr, clip_norm
        self.adagrad = RowwiseAdagrad(tables, lr=embedding_lr, l2=embedding_l2)
        self.adamw = AdamW(self.dense, lr=dense_lr, weight_decay=weight_decay)

    def zero_grad(self) -> None:
        for parameter in (*self.dense.values(), *self.adagrad.parameters.values()):
            parameter.grad = None

    def idle(self) -> None:
        """What a process does in a step without rows of its own: nothing, as all tables are its own."""

    def step(self, dense_scale: float = 1.0, embedding_scale: float = 1.0) -> float:
        """Update from the gradients at hand, with the learning rates times these.

        Returns the norm of the dense gradients before clipping; not finite when training has blown up, and then
        nothing is updated.
        """
        gradients = [parameter.grad for parameter in self.dense.values() if parameter.grad is not None]
        total_norm = nn.utils.get_total_norm(gradients)
        norm = float(total_norm)  # the one wait for a GPU
        if not math.isfinite(norm):
            return norm
        if norm > self.clip_norm:  # else nothing is to be scaled
            nn.utils.clip_grads_with_norm_(self.dense.values(), self.clip_norm, total_norm)
        self.adamw.step(dense_scale)
        self.adagrad.step(embedding_scale)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Flat tensors to save: adagrad.{parameter}, adamw.{parameter}.{exp_avg, exp_avg_sq, step}."""
        state = {f"adagrad.{name}": sums for name, sums in self.adagrad.sums.items()}
        return state | {
            f"adamw.{name}.{key}": value for name, moments in self.adamw.state.items() for key, value in moments.items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned; the next steps are then bit-equal to those of an unbroken run."""
        for name in self.adagrad.sums:
            self.adagrad.sums[name].copy_(state[f"adagrad.{name}"])
        for name, moments in self.adamw.state.items():
            for key, value in moments.items():
                saved = state.get(f"adamw.{name}.{key}")
                value.copy_(torch.zeros_like(value) if saved is None else saved)


def refuse_apart(network: nn.Module, **options: float) -> None:
    """Raises ConfigError where one is not 0 and tables are to be shared out, whose own optimizer does not know it."""
    apart = to_share_out(network)
    for name, value in options.items():
        if value and apart:
            raise ConfigError(
                f"train.optimizer.{name}={value:g}: {apart[0]} is shared out over the processes, and such tables "
                "do not know it; set it to 0, or unset MMOE_SHARD_ROWS."
            )


def to_share_out(network: nn.Module) -> list[str]:
    """The tables that no process is to hold whole: they have no values yet."""
    return [name for name, parameter in network.named_parameters() if parameter.is_meta]


def warmup(step: int, steps: int, share: float) -> float:
    """Factor on the dense learning rate at `step` (from 0) of `steps`: linear up to 1 over the first `share`."""
    rising = share * steps
    return 1.0 if step + 1 >= rising else (step + 1) / rising


def decay(rows: int, planned: int, share: float) -> float:
    """Factor on the learning rates after so many of the planned rows: linear to 0 over the last `share` of them."""
    falling, left = share * planned, max(0, planned - rows)
    return 1.0 if left >= falling else left / falling
