"""Images made on the spot: OCI indexes and Docker manifest lists of random bytes."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import pathlib
import tarfile

OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
MB = 1_000_000


@dataclasses.dataclass(frozen=True)
class Blob:
    digest: str
    size: int
    media_type: str
    path: pathlib.Path
    diff_id: str = ""

    def data(self):
        return self.path.read_bytes()

    def descriptor(self, **more):
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}


@dataclasses.dataclass(frozen=True)
class Platform:
    name: str
    manifest: Blob
    config: Blob
    layers: tuple

    def blobs(self):
        return (self.config, *self.layers)


@dataclasses.dataclass(frozen=True)
class Image:
    """`top` is the index, or the manifest itself when there is one platform and no index."""
    top: Blob
    platforms: tuple

    def platform(self, name="linux/amd64"):
        return next(p for p in self.platforms if p.name == name)

    def blobs(self):
        return {blob.digest: blob for p in self.platforms for blob in p.blobs()}

    def manifests(self):
        return {blob.digest: blob for blob in (self.top, *(p.manifest for p in self.platforms))}


class Maker:
    """Writes every blob once into a folder; the folder may be as large as the images are."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._serial = 0

    def blob(self, data, media_type, diff_id=""):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        path = self.folder / digest.replace(":", "-")
        if not path.exists():
            path.write_bytes(data)
        return Blob(digest, len(data), media_type, path, diff_id)

    def random_blob(self, size, kinds=OCI):
        """A layer of random bytes: fine for every client that does not unpack."""
        self._serial += 1
        scratch = self.folder / f"scratch-{self._serial}"
        digest = hashlib.sha256()
        with open(scratch, "wb") as out:
            left = size
            while left:
                piece = os.urandom(min(left, 4 << 20))
                digest.update(piece)
                out.write(piece)
                left -= len(piece)
        name = "sha256:" + digest.hexdigest()
        path = scratch.rename(self.folder / name.replace(":", "-"))
        return Blob(name, size, kinds["layer"], path, name)

    def tar_layer(self, size, kinds=OCI):
        """A layer that unpacks: a gzipped tar with one file of random bytes, about `size` in all."""
        self._serial += 1
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            folder = tarfile.TarInfo("srv")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
            entry = tarfile.TarInfo(f"srv/file-{self._serial}")
            entry.size, entry.mode = size, 0o644
            archive.addfile(entry, io.BytesIO(os.urandom(size)))
        raw = tar.getvalue()
        packed = gzip.compress(raw, compresslevel=1, mtime=0)
        return self.blob(packed, kinds["layer"], "sha256:" + hashlib.sha256(raw).hexdigest())

    def json(self, document, media_type):
        return self.blob(json.dumps(document, indent=3).encode(), media_type)

    def platform(self, name, layers, kinds=OCI, **more):
        os_name, arch = name.split("/")[:2]
        config = self.json({
            "architecture": arch, "os": os_name, "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created_by": os.urandom(8).hex()} for _ in layers],
        }, kinds["config"])
        manifest = self.json({
            "schemaVersion": 2, "mediaType": kinds["manifest"], "config": config.descriptor(),
            "layers": [dataclasses.replace(layer, media_type=kinds["layer"]).descriptor() for layer in layers], **more,
        }, kinds["manifest"])
        return Platform(name, manifest, config, tuple(layers))

    def index(self, platforms, kinds=OCI):
        children = []
        for platform in platforms:
            os_name, arch = platform.name.split("/")[:2]
            children.append(platform.manifest.descriptor(platform={"os": os_name, "architecture": arch}))
        top = self.json({"schemaVersion": 2, "mediaType": kinds["index"], "manifests": children}, kinds["index"])
        return Image(top, tuple(platforms))

    def multi_arch(self, sizes=(300_000, 120_000, 40_000), kinds=OCI, unpacks=True, shared=(),
                   platforms=("linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le")):
        """An index whose platforms have layers of these sizes, after the layers in `shared`."""
        make = self.tar_layer if unpacks else self.random_blob
        return self.index([self.platform(name, [*shared, *(make(size, kinds) for size in sizes)], kinds)
                           for name in platforms], kinds)

    def single(self, sizes=(200_000,), kinds=OCI, unpacks=False, layers=(), **more):
        make = self.tar_layer if unpacks else self.random_blob
        platform = self.platform("linux/amd64", [*layers, *(make(size, kinds) for size in sizes)], kinds, **more)
        return Image(platform.manifest, (platform,))
