"""mmoe.data.rows: blocks of encoded rows."""

import numpy as np

from mmoe.data.rows import Bags


def test_bags_move_with_their_rows() -> None:
    lists = [[1, 2], [3], [4, 5, 6], [7]]
    bags = Bags(values=np.array([n for bag in lists for n in bag]), counts=np.array([len(bag) for bag in lists]))
    taken = bags.take(np.array([2, 0, 2]))
    assert taken.values.tolist() == [4, 5, 6, 1, 2, 4, 5, 6]
    assert taken.counts.tolist() == [3, 2, 3] and taken.offsets.tolist() == [0, 3, 5]


def test_no_rows_have_no_values() -> None:
    bags = Bags(values=np.array([1, 2]), counts=np.array([2])).take(np.array([], dtype=np.int64))
    assert len(bags.values) == 0 and len(bags.offsets) == 0
