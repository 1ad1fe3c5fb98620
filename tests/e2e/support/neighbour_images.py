"""Images of the neighbours' tests: known by their number alone, so that servers, clients and attackers need not tell each other."""

import functools
import hashlib
import json
import random

LAYER, BIG = 400_000, 30_000_000
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@functools.lru_cache(64)
def noise(seed, size):
    return random.Random(seed).randbytes(size)


def descriptor(media_type, data):
    return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": digest_of(data), "size": len(data)}


def manifest(config, *layers, **more):
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor("config.v1+json", config),
                       "layers": [descriptor("layer.v1.tar+gzip", layer) for layer in layers], **more}).encode()


def heavy(number):
    """A manifest of nearly 4 MiB, which is as much as one may have."""
    return manifest(b"{}", annotations={"number": str(number), "weight": "w" * 4_193_500})


class Image:
    def __init__(self, number, size=LAYER):
        self.config = json.dumps({"architecture": "amd64", "os": "linux", "number": number}).encode()
        self.layer = noise(number, size)
        self.manifest = manifest(self.config, self.layer)
        self.digests = {digest_of(data): data for data in (self.manifest, self.config, self.layer)}
        self.manifest_digest, self.config_digest, self.layer_digest = self.digests


@functools.lru_cache(512)
def image(number, size=LAYER):
    return Image(number, size)
