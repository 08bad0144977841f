from datetime import date

import pytest

from mmoe.errors import CorruptionError
from mmoe.lake.ledger import LEDGER_KEY, Entry, Statement, append, entries, verify


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


def test_an_entrys_hash_keeps_its_definition(store):
    golden = Entry(
        sequence=0,
        previous="0" * 64,
        statement=Statement(kind="hold", day=date(2026, 3, 1)),
        hash="86e9c154c42f39e1c4d9ca45f34fe3236188bd2d7c69b7bdd274f6bf1f6b09df",
    )
    entry = append(store, golden.statement)
    assert entry.hash == golden.hash
