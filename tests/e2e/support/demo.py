"""./dev demo: a real registry, an image made on the spot, pulled cold and hot through weir with skopeo. No internet."""

import pathlib
import shutil
import tempfile
import time

from . import images
from .certs import Authority
from .clients import Skopeo
from .front import Front
from .registry import Registry
from .weir import Weir, configuration, registry_entry


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-demo-"))
    servers = []
    try:
        print("upstream: Debian's docker-registry behind TLS and a token server, 50 MB/s a connection")
        registry = Registry(folder / "registry")
        servers.append(registry)
        front = Front(folder / "front", registry, Authority(folder / "authority"))
        servers.append(front)
        front.rule({"kind": "blob"}, rate=50 * images.MB)
        print("image:    lab/demo:v1, four platforms, 60 MB each, random bytes made now")
        sizes = (40 * images.MB, 15 * images.MB, 5 * images.MB)
        image = registry.push("lab/demo", "v1", images.Maker(folder / "images").multi_arch(sizes))
        weir = Weir(folder / "weir", configuration(registry_entry(front)))
        servers.append(weir)
        print(f"weir:     {weir.url}, ready after {weir.ready_seconds * 1000:.0f} ms\n")

        skopeo = Skopeo()
        servers.append(skopeo)
        name = f"docker://{weir.address}/docker.io/lab/demo:v1"
        print(f"$ skopeo copy {name} dir:...")
        for label in ("cold", "hot"):
            front.forget()
            to = folder / label
            began = time.monotonic()
            one(skopeo, name, to)
            seconds = time.monotonic() - began
            asked = front.requests()
            print(f"  {label:5} {seconds:6.2f} s   upstream: {front.blob_bytes() / images.MB:6.1f} MB of blobs, "
                  f"{len(asked)} requests")
        got = {path.name for path in (folder / "hot").iterdir()}
        wanted = {blob.digest.split(":")[1] for blob in image.platform().blobs()}
        assert wanted <= got, "the pulled image lacks blobs"
        print("\nonly linux/amd64 was fetched, once, and the hot pull asked the upstream for no blob")
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def one(skopeo, name, to):
    from .proc import run
    (skopeo.folder / "registries.conf").write_text("")
    run(["skopeo", "--registries-conf", skopeo.folder / "registries.conf", "--policy", skopeo.policy, "--override-os",
         "linux", "--override-arch", "amd64", "copy", "--src-tls-verify=false", name, f"dir:{to}"], env=skopeo.env)


if __name__ == "__main__":
    main()
