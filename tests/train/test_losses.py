import pytest
import torch
from torch import Tensor

from mmoe.train import losses
from mmoe.train.losses import load_imbalance, masked_bce
from mmoe.train.pairs import Groups

NAN = float("nan")


def of_one_head(name: str):
    """A distillation loss of one head's rows."""

    def loss(student: Tensor, teacher: Tensor, groups: Tensor, temperature: float) -> Tensor:
        temperatures = torch.tensor([temperature], dtype=student.dtype)
        (one,) = losses.distil(name, student.unsqueeze(0), teacher.unsqueeze(0), groups, temperatures)
        return one

    return loss


DISTILLATION = {name: of_one_head(name) for name in losses.DISTILLATION}
pairwise_logistic, pairwise_squared = DISTILLATION["pairwise_logistic"], DISTILLATION["pairwise_squared"]
pairwise_absolute, pairwise_margin = DISTILLATION["pairwise_absolute"], DISTILLATION["pairwise_margin"]
listwise_softmax, pointwise_bce = DISTILLATION["listwise_softmax"], DISTILLATION["pointwise_bce"]
logit_mse = DISTILLATION["logit_mse"]
BY_RANK = ("pairwise_absolute", "pairwise_margin")
"""Piecewise linear: a row in the middle may rightly have a gradient of 0."""


def all_pairs(student: Tensor, teacher: Tensor, groups: Tensor, loss_of_differences) -> Tensor:
    """The slow B×B reference: the mean, over rows with a partner, of the mean over the row's partners."""
    per_row = []
    for i in range(len(student)):
        partners = [j for j in range(len(student)) if j != i and groups[j] == groups[i] and not teacher[j].isnan()]
        if partners and not teacher[i].isnan():
            losses = [loss_of_differences(student[i] - student[j], teacher[i] - teacher[j]) for j in partners]
            per_row.append(torch.stack(losses).mean())
    return torch.stack(per_row).mean()


def near_pairs(student: Tensor, teacher: Tensor, groups: Tensor, distance: int, loss_of_differences) -> Tensor:
    """The slow reference of sampled pairs: the mean over pairs whose rows stand at most `distance` apart in a group."""
    members = [(groups == group).nonzero().flatten().tolist() for group in groups.unique()]
    pairs = [(i, j) for rows in members for place, i in enumerate(rows) for j in rows[place + 1 : place + 1 + distance]]
    return torch.stack([loss_of_differences(student[i] - student[j], teacher[i] - teacher[j]) for i, j in pairs]).mean()


def soft_ranknet(temperature: float):
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        p, q = (student / temperature).sigmoid(), (teacher / temperature).sigmoid()
        return -(temperature**2) * (q * p.log() + (1 - q) * (1 - p).log())

    return loss


def batch(sizes: list[int], seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    groups = groups[torch.randperm(len(groups), generator=generator)]
    student, teacher = torch.randn(2, len(groups), generator=generator, dtype=torch.float64)
    return student.requires_grad_(), teacher, groups


def assert_equal_with_gradients(fast: Tensor, slow: Tensor, student: Tensor) -> None:
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(*(torch.autograd.grad(loss, student)[0] for loss in (fast, slow)))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("sizes", [[9, 3, 1, 8], [60, 1, 41], [1, 2]])
def test_pairwise_logistic_is_of_each_row_with_the_eight_that_follow_in_its_group(sizes, temperature: float) -> None:
    student, teacher, groups = batch(sizes)
    fast = pairwise_logistic(student, teacher, groups, temperature)
    slow = near_pairs(student, teacher, groups, 8, soft_ranknet(temperature))
    assert_equal_with_gradients(fast, slow, student)


def test_pairwise_logistic_in_groups_up_to_nine_is_exactly_all_pairs() -> None:
    student, teacher, groups = batch([9, 9, 9])
    fast = pairwise_logistic(student, teacher, groups, 2.5)
    assert_equal_with_gradients(fast, all_pairs(student, teacher, groups, soft_ranknet(2.5)), student)


def test_pairwise_logistic_in_large_groups_is_close_to_all_pairs() -> None:
    student, teacher, groups = batch([300, 200])
    fast = pairwise_logistic(student, teacher, groups, 1.0)
    slow = all_pairs(student, teacher, groups, soft_ranknet(1.0))
    torch.testing.assert_close(fast, slow, rtol=0.05, atol=0)


@pytest.mark.parametrize("sizes", [[17, 3, 1, 17], [40, 2, 7], [1, 1, 5]])
def test_pairwise_squared_is_exactly_all_pairs_in_groups_of_any_size(sizes: list[int]) -> None:
    student, teacher, groups = batch(sizes)
    fast = pairwise_squared(student, teacher, groups, 1.0)
    assert_equal_with_gradients(fast, all_pairs(student, teacher, groups, lambda s, t: (s - t) ** 2), student)


def absolute(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher).abs()


def margin(student: Tensor, teacher: Tensor) -> Tensor:
    """max(0, Δt − Δs) for the row that the teacher prefers; half of each order for a tie."""
    return ((teacher - student) * teacher.sign()).relu() if teacher else student.abs() / 2


@pytest.mark.parametrize("sizes", [[17, 3, 1, 17], [40, 2, 7], [1, 1, 5]])
@pytest.mark.parametrize(("loss", "of_pair"), [(pairwise_absolute, absolute), (pairwise_margin, margin)])
@pytest.mark.parametrize("step", [None, 0.5], ids=["no ties", "ties"])
def test_losses_by_rank_are_exactly_all_pairs_in_groups_of_any_size(sizes, loss, of_pair, step) -> None:
    student, teacher, groups = batch(sizes)
    if step is not None:
        teacher = (teacher / step).round() * step
        assert len(teacher.unique()) < len(teacher)
    fast = loss(student, teacher, groups, 1.0)
    assert_equal_with_gradients(fast, all_pairs(student, teacher, groups, of_pair), student)


def test_the_margin_leaves_a_student_alone_that_orders_as_firmly_and_pulls_one_that_does_not() -> None:
    """EasyRec's pairwise hinge option leaves the student without any gradient."""
    _, teacher, groups = batch([30, 31])
    for factor, expected in ((2.0, 0.0), (0.5, 1.0)):
        student = (factor * teacher).requires_grad_()
        loss = pairwise_margin(student, teacher, groups, 1.0)
        gradient = torch.autograd.grad(loss, student)[0]
        assert (loss > 1e-9).item() == (gradient.abs().max() > 1e-9).item() == bool(expected)
    middle = torch.stack([teacher[groups == group].quantile(0.5) for group in (0, 1)])[groups]
    assert torch.equal(gradient.sign(), -(teacher - middle).sign()), "those above the middle are to rise"


def test_listwise_softmax_is_the_cross_entropy_of_each_list() -> None:
    student, teacher, groups = batch([5, 1, 3, 1, 8])
    slow = [
        -4 * ((teacher[groups == g] / 2).softmax(0) * (student[groups == g] / 2).log_softmax(0)).sum()
        for g in (0, 2, 4)
    ]
    fast = listwise_softmax(student, teacher, 1000 * groups - 7, 2.0)
    assert_equal_with_gradients(fast, torch.stack(slow).mean(), student)


def test_load_imbalance_is_the_squared_coefficient_of_variation_of_the_experts_load() -> None:
    assert load_imbalance(torch.full((2, 5, 4), 0.25)).item() == 0
    assert load_imbalance(torch.eye(4)[:1].expand(2, 5, 4)).item() == pytest.approx(3)
    opposite = torch.eye(2).unsqueeze(0)
    assert load_imbalance(opposite).item() == 0, "rows that choose apart are no collapse"
    gates = torch.tensor([[[0.7, 0.3], [0.9, 0.1]], [[0.5, 0.5], [0.5, 0.5]]])
    assert load_imbalance(gates).item() == pytest.approx((0.3 / 0.5) ** 2 / 2)


@pytest.mark.parametrize("name", DISTILLATION)
def test_rows_on_which_the_teacher_is_silent_do_not_count(name: str) -> None:
    student, teacher, groups = batch([17, 20])
    silenced = teacher.clone()
    silenced[::3] = NAN
    known = ~silenced.isnan()
    loss = DISTILLATION[name](student, silenced, groups, 1.5)
    torch.testing.assert_close(loss, DISTILLATION[name](student[known], teacher[known], groups[known], 1.5))
    gradient = torch.autograd.grad(loss, student)[0]
    assert (gradient[::3] == 0).all()
    assert (gradient[known] != 0).float().mean() > (0.5 if name in BY_RANK else 0.999)


@pytest.mark.parametrize("name", DISTILLATION)
def test_the_student_gets_a_gradient_towards_the_teacher(name: str) -> None:
    """EasyRec's pairwise hinge option leaves the student without one."""
    student, teacher, groups = batch([30, 31])
    loss = DISTILLATION[name](student, teacher, groups, 1.0)
    gradient = torch.autograd.grad(loss, student)[0]
    assert (gradient != 0).float().mean() > (0.5 if name in BY_RANK else 0.999)
    with torch.no_grad():
        closer = DISTILLATION[name](student - 0.5 * gradient / gradient.norm(), teacher, groups, 1.0)
    assert closer < loss


@pytest.mark.parametrize("name", sorted(set(DISTILLATION) - {"pairwise_margin"}))
def test_a_student_that_equals_its_teacher_gets_no_gradient(name: str) -> None:
    _, teacher, groups = batch([30, 31])
    student = teacher.clone().requires_grad_()
    gradient = torch.autograd.grad(DISTILLATION[name](student, teacher, groups, 2.0), student)[0]
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("name", [name for name in DISTILLATION if not name.startswith(("pointwise", "logit"))])
def test_pairwise_and_listwise_losses_ignore_a_shift_of_the_teacher_in_a_view_type(name: str) -> None:
    student, teacher, groups = batch([30, 31])
    shifted = teacher + torch.tensor([5.0, -2.0])[groups]
    torch.testing.assert_close(
        DISTILLATION[name](student, shifted, groups, 1.0), DISTILLATION[name](student, teacher, groups, 1.0)
    )


@pytest.mark.parametrize("name", DISTILLATION)
@pytest.mark.parametrize("teacher", [[], [0.3], [NAN], [NAN, NAN, NAN]])
def test_a_batch_without_pairs_or_teacher_gives_a_finite_loss_and_gradient(name: str, teacher: list[float]) -> None:
    student = torch.zeros(len(teacher), requires_grad=True)
    groups = torch.zeros(len(teacher), dtype=torch.int64)
    loss = DISTILLATION[name](student, torch.tensor(teacher), groups, 1.0)
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("name", DISTILLATION)
def test_all_heads_at_once_are_each_head_by_itself_whatever_its_silences_and_temperature(name: str) -> None:
    student, teacher, groups = batch([17, 3, 1, 20] * 3)
    students = torch.stack([student, student.cos(), student.sin()]).detach().requires_grad_()
    teachers = torch.stack([teacher, teacher.exp(), teacher.square()])
    teachers[0, ::3], teachers[2] = NAN, NAN
    temperatures = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    together = losses.distil(name, students, teachers, groups, temperatures)
    apart = [DISTILLATION[name](*each) for each in zip(students, teachers, [groups] * 3, [1.0, 2.0, 3.0], strict=True)]
    torch.testing.assert_close(together, torch.stack(apart))
    weights = torch.tensor([1.0, 5.0, 7.0], dtype=torch.float64)
    gradients = [torch.autograd.grad((each * weights).sum(), students)[0] for each in (together, torch.stack(apart))]
    torch.testing.assert_close(*gradients)
    assert together[2] == 0 and (gradients[0][2] == 0).all()


def test_pointwise_losses_follow_their_formulas() -> None:
    student, teacher, groups = batch([20])
    p, q = (student / 2).sigmoid(), (teacher / 2).sigmoid()
    expected = -4 * (q * p.log() + (1 - q) * (1 - p).log()).mean()
    torch.testing.assert_close(pointwise_bce(student, teacher, groups, 2.0), expected)
    torch.testing.assert_close(logit_mse(student, teacher, groups, 2.0), ((student - teacher) ** 2).mean())


def test_a_null_label_is_masked_and_not_taken_for_0() -> None:
    logits = torch.tensor([0.5, -1.0, 2.0, 0.1], dtype=torch.float64, requires_grad=True)
    loss = masked_bce(logits.unsqueeze(0), torch.tensor([[1.0, NAN, 0.0, NAN]], dtype=torch.float64)).squeeze()
    p = logits.sigmoid()
    torch.testing.assert_close(loss, -(p[0].log() + (1 - p[2]).log()) / 2)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [True, False, True, False]


def test_a_batch_of_null_labels_gives_no_loss_and_no_gradient() -> None:
    logits = torch.randn(4, requires_grad=True)
    loss = masked_bce(logits.unsqueeze(0), torch.full((1, 4), NAN)).squeeze()
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(4))


def test_extreme_logits_give_finite_losses() -> None:
    student = torch.tensor([1e4, -1e4, 50.0], requires_grad=True)
    teacher, groups = torch.tensor([-1e4, 1e4, 0.0]), torch.zeros(3, dtype=torch.int64)
    for name, loss in DISTILLATION.items():
        value = loss(student, teacher, groups, 1.0)
        assert value.isfinite(), name
        assert torch.autograd.grad(value, student)[0].isfinite().all(), name


@pytest.mark.parametrize("name", DISTILLATION)
def test_rows_that_stand_group_by_group_give_what_they_give_in_any_order(name: str) -> None:
    student, teacher, groups = batch([17, 3, 1, 20])
    order = groups.argsort(stable=True)
    standing = Groups(index_B=groups[order], sizes=(17, 3, 1, 20))
    temperature = torch.full((1,), 1.5, dtype=torch.float64)
    for spoken in (None, [0]):
        students, teachers = student[order].unsqueeze(0), teacher[order].unsqueeze(0)
        (loss,) = losses.distil(name, students, teachers, standing, temperature, spoken=spoken)
        assert_equal_with_gradients(loss, DISTILLATION[name](student, teacher, groups, 1.5), student)


@pytest.mark.parametrize("name", DISTILLATION)
def test_a_view_type_of_which_a_batch_has_no_row_changes_nothing(name: str) -> None:
    student, teacher = torch.randn(2, 2, 5)
    here, with_gaps = (
        Groups(index_B=torch.tensor(index), sizes=sizes)
        for index, sizes in (([0, 0, 1, 1, 1], (2, 3)), ([1, 1, 3, 3, 3], (0, 2, 0, 3, 0)))
    )
    of_heads = [losses.distil(name, student, teacher, groups, torch.ones(2)) for groups in (here, with_gaps)]
    torch.testing.assert_close(*of_heads)


@pytest.mark.parametrize("name", [name for name in DISTILLATION if not name.startswith(("pointwise", "logit"))])
def test_the_gradient_is_right_whatever_a_head_weighs(name: str) -> None:
    student, teacher, groups = batch([19, 4, 1, 6])
    students = torch.stack([student, student.cos()]).detach().requires_grad_()
    teachers, temperatures = torch.stack([teacher, teacher.exp()]), torch.tensor([1.0, 2.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: losses.distil(name, s, teachers, groups, temperatures), students)


@pytest.mark.parametrize("name", DISTILLATION)
def test_heads_of_which_the_teacher_is_known_to_say_nothing_are_left_out(name: str) -> None:
    student, teacher, groups = batch([17, 3, 20])
    students = torch.stack([student, student.cos(), student.sin()]).detach().requires_grad_()
    teachers = torch.stack([teacher, torch.full_like(teacher, NAN), teacher.square()])
    temperatures = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    known, found = (losses.distil(name, students, teachers, groups, temperatures, spoken=s) for s in ([0, 2], None))
    torch.testing.assert_close(known, found)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), students)[0] for loss in (known, found)))
    nothing = losses.distil(name, students, teachers, groups, temperatures, spoken=[])
    assert nothing.tolist() == [0, 0, 0]
    nothing.sum().backward()
    assert (students.grad == 0).all()
