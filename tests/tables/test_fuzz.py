"""Some of the random tables of `make fuzz-tables`, and that a wrong reading of one is seen."""

import pytest

from tests.programs import fuzz_tables, table_files


def test_random_tables_are_read_and_understood_as_they_were_written():
    counts, failures = fuzz_tables.run(0, range(24), fits=0.05)
    assert not failures, "\n".join(failures)
    assert counts["→ fitted, predicted and compared"] >= 2
    assert all(counts[f"kind {kind}"] for kind in ("number", "date", "category", "text", "id", "empty"))


def test_a_wrong_number_a_lost_misfit_and_a_wrong_name_are_seen(monkeypatch):
    drawn = next(
        case
        for case in (table_files.draw(0, index) for index in range(24))
        if any(column.kind == "number" and column.misfits and not column.doubtful for column in case.columns)
    )
    truth = next(column for column in drawn.columns if column.kind == "number" and column.misfits)
    monkeypatch.setattr(table_files, "draw", lambda seed, index: drawn)
    assert not fuzz_tables.run(0, [0], fits=0)[1]
    row = next(row for row, value in enumerate(truth.values) if value is not None)
    kept = truth.values[row]
    truth.values[row] = kept * (1 + 2**-50) + 5e-324
    assert "not" in fuzz_tables.run(0, [0], fits=0)[1][0]
    truth.values[row] = kept
    misfit = truth.misfits.popitem()
    assert "counts" in fuzz_tables.run(0, [0], fits=0)[1][0]
    truth.misfits |= [misfit]
    truth.name += "?"
    assert "names" in fuzz_tables.run(0, [0], fits=0)[1][0]


def test_a_failure_says_how_to_repeat_it():
    assert "--seed 3 --only 5" in fuzz_tables.describe(3, 5)
    assert fuzz_tables.main(["--files", "1", "--from", "1", "--fits", "0"]) == 0
    with pytest.raises(SystemExit):
        fuzz_tables.main(["--files", "many"])
