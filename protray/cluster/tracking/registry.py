"""The model registry of MLflow: the best model of a job under a name, with the alias ``champion``."""

import logging

from protray.cluster.storage.secrets import redact
from protray.cluster.tracking.store import connect
from protray.cluster.tracking.tracker import Tracker

log = logging.getLogger(__name__)

CHAMPION = "champion"


def register_champion(tracker: Tracker, run_id: str, folder: str, name: str, tags: dict[str, str]) -> str | None:
    """Register the artifacts in `folder` of a run as the newest version of model `name`, and call it champion.

    Returns ``models:/NAME@champion``, or None if the store did not take it, which stops nothing.  The same run is
    registered once.
    """
    from mlflow.exceptions import MlflowException

    try:
        client = connect(tracker.uri)
        try:
            client.create_registered_model(name, description="Written by protray; a folder for its --model options.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = client.search_model_versions(f"name = '{name}'")
        version = next((found for found in known if found.run_id == run_id), None)
        if version is None:
            source = f"{client.get_run(run_id).info.artifact_uri}/{folder}"
            version = client.create_model_version(name, source, run_id, tags=tags)
        client.set_registered_model_alias(name, CHAMPION, version.version)
        return f"models:/{name}@{CHAMPION}"
    except Exception as error:  # like all tracking: a store that fails costs an entry, not the job
        log.warning("MLflow did not register the model %s: %.300s", name, redact(str(error)))
        return None
