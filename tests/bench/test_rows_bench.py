"""The benchmark of the machinery: what it runs is the driver of the jobs, and its arithmetic; no time is tested."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from protray.bench import rows
from protray.bench.rows import Measured


@pytest.mark.ray
def test_a_run_makes_every_row_once(ray_local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows.items, "MOST_ROWS", 20)
    run = rows.Run(tmp_path / "run", 50, 0.0)
    run()
    (file,) = (run.run.out / "maps").files()
    table = pq.read_table(file)
    assert table["id"].to_pylist() == [f"synthetic{n}" for n in range(50)]
    assert table["prob_map"].to_pylist()[0] == pytest.approx([0.05] * 20 * 20)
    assert [stamp.done for stamp in run.stamps][:: len(run.stamps) - 1] == pytest.approx([0, 50])
    assert len(run.stamps) >= 4 and run.reading_s > 0
    assert rows.plain_loop(50, 20, 0.0) > 0


def test_sizes_are_compared_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 ms a row with ten thousand proteins, 2 ms with more, 4 ms while they are read."""

    def fake(function, count: int, item: int = 0, pause_s: float = 0.0):  # noqa: ANN001, ANN202
        if function is rows.plain_loop:
            return 1.9e-3
        slow = 1e-3 if count == 10_000 else 2e-3
        return Measured(reading_s=2 * slow, mapping_s=slow, driver_s=0.5 if item else 9.0, peak_bytes=count)

    monkeypatch.setattr(rows, "in_own_process", fake)
    cases, more = rows.bench(repeats=2)
    assert [case.name for case in cases] == [
        "read, 100,000 rows", "read, 1,000,000 rows", "map, 100,000 rows", "map, 1,000,000 rows", "two minutes of work",
    ]  # fmt: skip
    assert [case.ratio_plain.median for case in cases] == pytest.approx([0.5] * 4 + [0.95])
    assert (cases[2].plain_s.median, cases[2].ours_s.median) == (10, 20)
    assert more["10,000 rows: read per second"] == pytest.approx(500)
    assert more["1,000,000 rows: mapped per second"] == pytest.approx(500)
    assert more["100,000 rows: driver's peak memory above start, MB"] == pytest.approx(0.1)
    assert more["driver's ms per item of 8 rows"] == pytest.approx(500)
    assert more["items of 8 rows per second"] == pytest.approx(125)
