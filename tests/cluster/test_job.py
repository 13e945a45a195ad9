import pytest

from protray.cluster.job import run_job


def test_errors_of_users_are_one_line(tmp_path, capsys) -> None:
    def unwritable() -> None:
        (tmp_path / "no" / "such.txt").write_text("")

    def unusable() -> None:
        raise ValueError("eta is -1; it must be 0 or more")

    assert run_job(lambda: None, tmp_path) == 0
    assert run_job(unusable, tmp_path) == run_job(unwritable, tmp_path) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: eta is -1; it must be 0 or more"
    assert second.startswith(f"error: {tmp_path}/no/such.txt: No such file or directory; ")


def test_a_stop_by_hand_says_how_to_go_on(tmp_path, capsys) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    assert run_job(stop, tmp_path) == 130
    assert f"the same command goes on with what is done in {tmp_path}" in capsys.readouterr().err


def test_faults_of_ours_show_where_they_are(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError):
        run_job(lambda: print(1 / 0), tmp_path)
