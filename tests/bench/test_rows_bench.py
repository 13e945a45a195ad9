"""The benchmark of the machinery: what it runs is the maps' own machinery, and its arithmetic; no time is tested."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from protray.bench import rows
from protray.bench.rows import Measured
from protray.cluster.runtime.resources import Stage


@pytest.mark.ray
def test_a_run_makes_every_row_once(ray_local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SHARD", 20)
    run = rows.Run(tmp_path / "run", 50, Stage(name="maps", kind="map", workers=1, data_cpus=1.0))
    run()
    tables = [pq.read_table(path) for path in sorted((tmp_path / "run/out/maps").iterdir())]
    assert [table.num_rows for table in tables] == [20, 20, 10]
    assert [name for table in tables for name in table["id"].to_pylist()] == [f"synthetic{n}" for n in range(50)]
    assert tables[0]["prob_map"].to_pylist()[0] == pytest.approx([0.05] * 20 * 20)
    assert [unit.done for unit in run.units][:: len(run.units) - 1] == [0, 50]
    assert run.started < run.staged < run.units[1].at < run.finished


def test_sizes_are_compared_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 ms a row with ten thousand proteins, 2 ms with more, 4 ms while they are read."""

    def fake(function, count: int, unit: int = 0) -> Measured:  # noqa: ANN001
        assert function is rows.measure
        slow = 1e-3 if count == 10_000 else 2e-3
        return Measured(staging_s=2 * slow, mapping_s=slow, driver_s=0.5 if unit else 9.0, peak_bytes=count)

    monkeypatch.setattr(rows, "in_own_process", fake)
    cases, more = rows.bench(repeats=2)
    assert [case.name for case in cases] == [
        "read, 100,000 rows", "read, 1,000,000 rows", "map, 100,000 rows", "map, 1,000,000 rows",
    ]  # fmt: skip
    assert [case.ratio_plain.median for case in cases] == [0.5] * 4
    assert (cases[2].plain_s.median, cases[2].ours_s.median) == (10, 20)
    assert more["10,000 rows: read per second"] == pytest.approx(500)
    assert more["1,000,000 rows: mapped per second"] == pytest.approx(500)
    assert more["100,000 rows: driver's peak memory above start, MB"] == pytest.approx(0.1)
    assert more["driver's ms per unit of 8 rows"] == pytest.approx(500)
