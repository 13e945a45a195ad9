"""A real S3 server on this machine, and what is in its bucket."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def serve() -> Iterator[str]:
    """An S3 server with the bucket ``bucket``; gives its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    secrets = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **secrets).create_bucket(Bucket="bucket")
    try:
        yield address
    finally:
        server.stop()


def keys(out: Path) -> set[str]:
    """Names of all files below an address, seen by another client than ours."""
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
    prefix = str(out).removeprefix("s3:/bucket/") + "/"
    found = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    names = [entry["Key"].removeprefix(prefix) for page in found for entry in page.get("Contents", ())]
    return {name for name in names if name and not name.endswith("/")}
