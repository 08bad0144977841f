"""mmoe.data.rows: blocks of encoded rows."""

import numpy as np

from mmoe.data.rows import Bags, Layout, Rows


def test_bags_move_with_their_rows() -> None:
    lists = [[1, 2], [3], [4, 5, 6], [7]]
    bags = Bags(values=np.array([n for bag in lists for n in bag]), counts=np.array([len(bag) for bag in lists]))
    taken = bags.take(np.array([2, 0, 2]))
    assert taken.values.tolist() == [4, 5, 6, 1, 2, 4, 5, 6]
    assert taken.counts.tolist() == [3, 2, 3] and taken.offsets.tolist() == [0, 3, 5]


def test_no_rows_have_no_values() -> None:
    bags = Bags(values=np.array([1, 2]), counts=np.array([2])).take(np.array([], dtype=np.int64))
    assert len(bags.values) == 0 and len(bags.offsets) == 0


def rows_with_a_teacher() -> Rows:
    layout = Layout(categorical=1, numeric=0, heads=3, teachers=1)
    rows = Rows(layout=layout, words=layout.empty(5))
    rows.categorical[:, 0] = range(5)
    rows.view_type[:] = [2, 0, 2, 0, 0]
    rows.teacher(0)[:] = np.arange(15).reshape(5, 3)
    return rows


def test_rows_by_view_type_keep_their_order_in_each() -> None:
    rows = rows_with_a_teacher()
    assert rows.view_type_sizes is None
    arranged = rows.by_view_type()
    assert arranged.categorical[:, 0].tolist() == [1, 3, 4, 0, 2]
    assert arranged.view_type_sizes == (3, 0, 2)
    assert arranged.take(np.array([], dtype=np.int64)).view_type_sizes == ()


def test_a_teacher_speaks_of_the_heads_for_which_it_has_every_row() -> None:
    rows = rows_with_a_teacher()
    assert rows.spoken(0) == (0, 1, 2)
    rows.teacher(0)[:, 1] = np.nan
    assert rows.spoken(0) == (0, 2)
    rows.teacher(0)[3, 2] = np.nan
    assert rows.spoken(0) is None
    rows.teacher(0)[:] = np.nan
    assert rows.spoken(0) == ()
