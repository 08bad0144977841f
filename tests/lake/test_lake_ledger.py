from datetime import date

import pytest

from mmoe.errors import CorruptionError
from mmoe.lake.ledger import HEAD_KEY, LEDGER_KEY, Statement, append, entries, settle, verify


def statements():
    return [Statement(kind="hold", day=date(2026, 3, number)) for number in (1, 2, 3)]


def test_entries_chain_and_a_repeat_of_the_last_is_not_written_again(store):
    for statement in statements():
        append(store, statement)
        append(store, statement)
    chain = entries(store)
    assert [entry.statement for entry in chain] == statements()
    assert [entry.previous for entry in chain[1:]] == [entry.hash for entry in chain[:-1]]
    assert verify(chain) == []


def drop_second(lines):
    return [lines[0], lines[2]]


def swap(lines):
    return [lines[1], lines[0], lines[2]]


def change(lines):
    return [lines[0], lines[1].replace(b"2026-03-02", b"2026-04-02"), lines[2]]


@pytest.mark.parametrize("tampering", [drop_second, swap, change])
def test_any_change_to_history_breaks_the_chain_and_stops_new_entries(store, tampering):
    for statement in statements():
        append(store, statement)
    lines = tampering(store.read_bytes(LEDGER_KEY).splitlines())
    store.write_bytes(LEDGER_KEY, b"\n".join(lines) + b"\n")
    assert verify(entries(store))
    with pytest.raises(CorruptionError, match="Restore the ledger"):
        append(store, Statement(kind="release", day=date(2026, 3, 1)))


def test_an_entry_keeps_its_hash_when_statements_gain_fields(store):
    """The first line is as the first version wrote it, with every field it knew; the second is as written now."""
    first = (
        b'{"hash": "86e9c154c42f39e1c4d9ca45f34fe3236188bd2d7c69b7bdd274f6bf1f6b09df", "previous": "'
        + b"0" * 64
        + b'", "sequence": 0, "statement": {"as_of": null, "day": "2026-03-01", "horizon": null, "items": [], '
        b'"kind": "hold"}}\n'
    )
    store.write_bytes(LEDGER_KEY, first)
    entry = append(store, Statement(kind="release", day=date(2026, 3, 1)))
    assert store.read_bytes(LEDGER_KEY).startswith(first)
    assert verify(entries(store)) == []
    assert entry.hash == "2b5d82597020dd5f74b679024e174214cdaa08383ef94dbd846a94fe9f254d31"


def test_entries_cut_off_at_the_end_are_missed(store):
    for statement in statements():
        append(store, statement)
    lines = store.read_bytes(LEDGER_KEY).splitlines(keepends=True)
    store.write_bytes(LEDGER_KEY, b"".join(lines[:2]))
    assert verify(entries(store)) == []
    with pytest.raises(CorruptionError, match="ends after 2 entries, but entry 2 had been written"):
        append(store, statements()[0])


def test_a_kill_between_entry_and_head_is_made_good(store):
    append(store, statements()[0])
    head = store.read_bytes(HEAD_KEY)
    append(store, statements()[1])
    store.write_bytes(HEAD_KEY, head)
    assert len(settle(store)) == 2
    assert store.read_bytes(HEAD_KEY) != head
