"""Real servers of S3 and of Google Cloud Storage on this machine, and what is in their buckets."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

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


@contextmanager
def serve_gs(folder: Path) -> Iterator[dict[str, str]]:
    """A server of Google's API with the bucket ``bucket``; gives the environment in which its clients find it.

    It has a process of its own: Arrow holds Python's lock while it reads from gs://, and a server beside it would wait.
    """
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin and server.stdout
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()  # its end
            server.wait(30)


def run_gs(folder: Path) -> None:
    """Serve until the other end of stdin is closed.

    `folder` gets the key of a service account: the client signs its requests, the server asks for nothing.
    """
    from http.server import ThreadingHTTPServer

    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from gcp_storage_emulator import server as emulator

    secret = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "test@localhost", "private_key_id": "1", "private_key": pem}
    (folder / "account.json").write_text(json.dumps(account | {"token_uri": "http://127.0.0.1:1/token"}))
    emulator.server.HTTPServer = ThreadingHTTPServer  # Google's client opens a connection while it reads from another
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    with server:
        environment = {
            "CLOUD_STORAGE_EMULATOR_ENDPOINT": f"http://127.0.0.1:{server._api._httpd.server_port}",
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "account.json"),
        }
        print(json.dumps(environment), flush=True)
        sys.stdin.read()


def keys(out: Path) -> set[str]:
    """Names of all files below an address, seen by another client than ours."""
    if str(out).startswith("gs:"):
        return _keys_gs(str(out).removeprefix("gs:/bucket/") + "/")
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
    prefix = str(out).removeprefix("s3:/bucket/") + "/"
    found = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    names = [entry["Key"].removeprefix(prefix) for page in found for entry in page.get("Contents", ())]
    return {name for name in names if name and not name.endswith("/")}


def _keys_gs(prefix: str) -> set[str]:
    host = os.environ["CLOUD_STORAGE_EMULATOR_ENDPOINT"]
    with urlopen(f"{host}/storage/v1/b/bucket/o?prefix={quote(prefix, safe='')}", timeout=10) as answer:
        names = [entry["name"].removeprefix(prefix) for entry in json.load(answer).get("items", ())]
    return {name for name in names if name and not name.endswith("/")}


if __name__ == "__main__":
    run_gs(Path(sys.argv[1]))
