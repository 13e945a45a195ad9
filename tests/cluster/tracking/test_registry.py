"""The model registry on a SQLite store, and without any store."""

from dataclasses import replace

from protray.cluster.tracking.registry import register_champion
from protray.cluster.tracking.store import compare_page, connect
from protray.cluster.tracking.tracker import Tracker


def registered(tracker: Tracker, key: str) -> str | None:
    run_id = tracker.start_run(key=key, name=key)
    (tracker.out / "model" / "config.json").write_text(key)
    tracker.artifact(run_id, tracker.out / "model", "model")
    return register_champion(tracker, run_id, "model", "some-model", {"score": "0.5"})


def test_the_alias_follows_the_newest_champion(tracker) -> None:
    import mlflow.artifacts

    assert registered(tracker, "first") == "models:/some-model@champion"
    registered(tracker, "first")  # again: no second version
    client = connect(tracker.uri)
    assert [found.version for found in client.search_model_versions("name = 'some-model'")] == [1]
    registered(tracker, "second")
    assert client.get_model_version_by_alias("some-model", "champion").version == 2
    source = client.get_model_version_by_alias("some-model", "champion").source
    assert source is not None
    folder = mlflow.artifacts.download_artifacts(source, tracking_uri=tracker.uri)
    assert open(f"{folder}/config.json").read() == "second"


def test_a_store_that_does_not_answer_costs_a_line(tracker, said) -> None:
    assert register_champion(replace(tracker, uri="http://127.0.0.1:9"), "r", "model", "some-model", {}) is None
    assert any("did not register the model some-model" in line for line in said)


def test_comparison_page() -> None:
    page = compare_page("http://user:secret@mlflow.example:5000/", "7", ["a1", "b2"])
    assert page == (
        "http://***@mlflow.example:5000/#/compare-runs?runs=%5B%22a1%22%2C%22b2%22%5D&experiments=%5B%227%22%5D"
    )
