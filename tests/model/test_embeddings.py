from itertools import pairwise

import pytest
import torch

from mmoe.model.embeddings import ALIGNED_ROWS, BLOCK, CLIP, INIT_STD, Embeddings, Lookup
from mmoe.model.inputs import Inputs
from mmoe.model.linear import aligned


def inputs(categorical: list[list[int]], bags: list[list[list[int]]], view_types: list[int]) -> Inputs:
    rows = len(categorical)
    values = tuple(torch.tensor([v for row in bag for v in row], dtype=torch.int64) for bag in bags)
    offsets = tuple(torch.tensor([0, *map(len, bag)][:-1]).cumsum(0) for bag in bags)
    numeric = torch.arange(2.0 * rows).view(rows, 2)
    missing = torch.zeros(rows, 2)
    missing[0, 1] = 1
    return Inputs(torch.tensor(categorical), numeric, missing, values, offsets, torch.tensor(view_types))


def embeddings() -> Embeddings:
    torch.manual_seed(2)
    return Embeddings(
        categorical=[(5, 3), (4, 2), (6, 3)], bags=[(7, 2), (3, 2)], numeric=2, view_types=3, view_width=2
    )


def test_the_feature_vector_equals_a_lookup_feature_by_feature() -> None:
    module = embeddings()
    batch = inputs([[5, 0, 6], [1, 4, 0]], [[[1, 7], [2]], [[3], []]], [2, 0])
    width3, width2 = (table.weight.split(rows) for table, rows in zip(module.tables, [[6, 7], [5, 3]], strict=True))
    bag0, bag1 = module.bags[0].weight.split([8, 4])
    expected = [
        torch.cat([width3[0][5], width3[1][6], width2[0][0], width2[1][2], (bag0[1] + bag0[7]) / 2, bag1[3]]),
        torch.cat([width3[0][1], width3[1][0], width2[0][4], width2[1][0], bag0[2], torch.zeros(2)]),
    ]
    features = module(batch)
    torch.testing.assert_close(features[:, :-4], torch.stack(expected))
    torch.testing.assert_close(features[:, -4:], torch.cat([batch.numeric_BN, batch.missing_BN], dim=1))
    assert features.shape == (2, module.width)


def test_a_large_batch_has_a_one_and_zeros_up_to_the_alignment_and_the_same_features() -> None:
    module, rows = embeddings(), ALIGNED_ROWS
    batch = inputs([[5, 0, 6]] * rows, [[[1, 7]] * rows, [[3]] * rows], [2] * rows)
    few = inputs([[5, 0, 6]] * 2, [[[1, 7]] * 2, [[3]] * 2], [2] * 2)
    features = module(batch)
    beyond = torch.zeros(rows, aligned(module.width) - module.width)
    beyond[:, 0] = 1
    assert features.shape == (rows, aligned(module.width)) and torch.equal(features[:, module.width :], beyond)
    torch.testing.assert_close(features[:1, : module.width - 4], module(few)[:1, :-4])


def test_without_view_type_and_missing_flags_the_rest_is_as_it_was() -> None:
    plain = Embeddings(
        categorical=[(5, 3), (4, 2)], bags=[(7, 2)], numeric=2, view_types=3, view_width=0, missing_flags=False
    )
    batch = inputs([[5, 0], [1, 4]], [[[1, 7], [2]]], [2, 0])
    assert plain.columns == [[0, 1, 2], [3, 4], [], [5, 6], [7], [8]] and plain.width == 9
    features = plain(batch)
    torch.testing.assert_close(features[:, 3:5], plain.tables[1].weight[[0, 4]])
    torch.testing.assert_close(features[:, -2:], batch.numeric_BN)


def test_numeric_values_are_scaled_after_outliers_are_cut_and_missing_flags_are_not() -> None:
    scaled = Embeddings(categorical=[(5, 3)], bags=[], numeric=2, view_types=3, view_width=0, numeric_scale=4.0)
    batch = inputs([[5], [1]], [], [2, 0])._replace(numeric_BN=torch.tensor([[0.5, 100.0], [-1.0, -100.0]]))
    expected = torch.tensor([[2.0, 4 * CLIP], [-4.0, -4 * CLIP]])
    torch.testing.assert_close(scaled(batch)[:, -4:], torch.cat([expected, batch.missing_BN], dim=1))


def test_columns_tell_where_each_feature_stands() -> None:
    """Categorical 0 to 2, view type 3, bags 4 and 5, numeric 6 and 7 (value and missing flag)."""
    module = embeddings()
    expected = [[0, 1, 2], [6, 7], [3, 4, 5], [8, 9], [10, 11], [12, 13], [14, 16], [15, 17]]
    assert module.columns == expected
    batch = inputs([[5, 0, 6], [1, 4, 0]], [[[1, 7], [2]], [[3], []]], [2, 0])
    moved = module(batch._replace(categorical_BF=torch.tensor([[5, 1, 6], [1, 3, 0]])))
    assert (moved != module(batch)).any(dim=0).nonzero().flatten().tolist() == expected[1]


def test_gradients_are_sparse_and_reach_the_rows_that_were_read_only() -> None:
    module = embeddings()
    module(inputs([[5, 0, 6]], [[[1, 7]], [[]]], [2])).sum().backward()
    touched = [table.weight.grad.coalesce().indices()[0].tolist() for table in (*module.tables, *module.bags)]
    assert all(table.weight.grad.is_sparse for table in (*module.tables, *module.bags))
    assert touched == [[5, 12], [0, 7], [1, 7]]


def test_neighbouring_rows_beyond_2_to_the_24_stay_apart() -> None:
    """DeepCTR-Torch casts ids to float32, where 16777217 becomes 16777216."""
    module = Embeddings(categorical=[(2**24 + 1, 1)], bags=[], numeric=0, view_types=1, view_width=1)
    ids = torch.tensor([[2**24], [2**24 + 1]])
    features = module(Inputs(ids, torch.zeros(2, 0), torch.zeros(2, 0), (), (), torch.zeros(2, dtype=torch.int64)))
    assert torch.equal(features[:, 0], module.tables[0].weight[2**24 : 2**24 + 2, 0])
    assert features[0, 0] != features[1, 0]


def test_a_numeric_value_far_out_is_cut_at_8_standard_deviations() -> None:
    module = Embeddings(categorical=[], bags=[], numeric=2, view_types=1, view_width=1)
    numeric = torch.tensor([[1e30, -1e30], [8.0, -7.5]])
    zero = torch.zeros(2, dtype=torch.int64)
    features = module(Inputs(torch.zeros(2, 0, dtype=torch.int64), numeric, torch.zeros(2, 2), (), (), zero))
    assert features[:, 1:3].tolist() == [[8.0, -8.0], [8.0, -7.5]]


def test_a_batch_of_empty_bags_pools_to_zeros_and_trains() -> None:
    module = Embeddings(categorical=[], bags=[(7, 2)], numeric=0, view_types=1, view_width=1)
    batch = inputs([[], []], [[[], []]], [0, 0])._replace(
        categorical_BF=torch.zeros(2, 0, dtype=torch.int64), numeric_BN=torch.zeros(2, 0), missing_BN=torch.zeros(2, 0)
    )
    features = module(batch)
    features.sum().backward()
    assert torch.equal(features[:, 1:], torch.zeros(2, 2))


def test_a_table_starts_the_same_whoever_draws_which_part_of_it() -> None:
    rows = 2 * BLOCK + 100
    torch.manual_seed(3)
    whole = Lookup([0, 1], [rows - 7, 7], 3)
    torch.manual_seed(3)
    apart = Lookup([0, 1], [rows - 7, 7], 3, apart_from=rows)
    assert apart.weight.is_meta and apart.weight.shape == whole.weight.shape
    for bounds in ([0, rows], [0, 5, BLOCK, rows], [0, BLOCK + 3, 2 * BLOCK - 1, 2 * BLOCK + 99, rows]):
        parts = [torch.empty(last - first, 3) for first, last in pairwise(bounds)]
        for first, part in zip(bounds, parts, strict=False):
            apart.draw(part, first=first)
        assert torch.equal(torch.cat(parts), whole.weight)
    assert whole.weight.std().item() == pytest.approx(INIT_STD, rel=0.01)
    assert whole.weight.unique(dim=0).shape == whole.weight.shape
