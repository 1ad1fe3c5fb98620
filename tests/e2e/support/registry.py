"""Debian's docker-registry as the real upstream."""

import hashlib
import http.client
import pathlib
import re

from .proc import Process

CONFIG = """\
version: 0.1
log:
  level: info
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {root}
    maxthreads: 100
  delete:
    enabled: true
  cache:
    blobdescriptor: inmemory
http:
  addr: 127.0.0.1:0
  secret: only-this-run
"""


class Registry:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.root = folder / "data"
        config = folder / "config.yml"
        config.write_text(CONFIG.format(root=self.root))
        self.process = Process(["docker-registry", "serve", config], folder / "log")
        found = self.process.wait_until(
            lambda: re.search(r"listening on 127\.0\.0\.1:(\d+)", self.process.log()), say="the registry's port")
        self.port = int(found.group(1))
        self.url = f"http://127.0.0.1:{self.port}"
        self._pushed = set()

    def blob_path(self, digest):
        """Where the registry keeps the blob, for fronts that serve it with sendfile."""
        algorithm, value = digest.split(":")
        return self.root / "docker/registry/v2/blobs" / algorithm / value[:2] / value / "data"

    def _ask(self, method, path, body=None, headers=None, want=(200, 201, 202)):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status in want, f"{method} {path}: {answer.status} {text[:500]!r}"
            return answer
        finally:
            connection.close()

    def push_blob(self, repository, blob):
        if (repository, blob.digest) in self._pushed:
            return
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
        place = place[place.index("/v2/"):]
        with open(blob.path, "rb") as body:
            self._ask("PUT", f"{place}&digest={blob.digest}", body=body,
                      headers={"Content-Length": str(blob.size), "Content-Type": "application/octet-stream"})
        self._pushed.add((repository, blob.digest))

    def push_manifest(self, repository, reference, blob):
        self._ask("PUT", f"/v2/{repository}/manifests/{reference}", body=blob.data(),
                  headers={"Content-Type": blob.media_type})

    def push(self, repository, tag, image):
        for blob in image.blobs().values():
            self.push_blob(repository, blob)
        for platform in image.platforms:
            self.push_manifest(repository, platform.manifest.digest, platform.manifest)
        self.push_manifest(repository, tag, image.top)
        return image

    def delete_manifest(self, repository, digest):
        self._ask("DELETE", f"/v2/{repository}/manifests/{digest}")

    def holds(self, blob):
        return hashlib.sha256(self.blob_path(blob.digest).read_bytes()).hexdigest() == blob.digest.split(":")[1]

    def stop(self):
        self.process.stop()
