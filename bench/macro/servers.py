"""The servers that are compared, each with one worker and the same bytes."""

import pathlib

from support.proc import Process, free_port, listening
from support.weir import Weir, configuration, registry_entry

REPOSITORY = "docker.io/lab/bench"

NGINX = """\
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    # The line of the operator's nginx (seed.txt), and the time, which weir's line has too.
    log_format mirror '$remote_addr "$time_local" $host "$request" $status $bytes_sent "$http_referer" "$http_user_agent" '
                      'subpath:/docker-images $upstream_cache_status $request_time';
    access_log {folder}/access.log mirror;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    open_file_cache max=1000;
    client_body_temp_path {folder}/tmp1; proxy_temp_path {folder}/tmp2; fastcgi_temp_path {folder}/tmp3;
    uwsgi_temp_path {folder}/tmp4; scgi_temp_path {folder}/tmp5;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl backlog=4096;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        root {folder}/root;
        default_type {media_type};
        add_header Docker-Content-Digest {digest};
        add_header Docker-Distribution-Api-Version registry/2.0;
    }}
}}
"""


class Nginx:
    name = "nginx"

    def __init__(self, folder, image, authority):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        root = self.folder / "root" / "v2" / REPOSITORY
        (root / "manifests").mkdir(parents=True)
        (root / "blobs").mkdir()
        for blob in image.manifests().values():
            (root / "manifests" / blob.digest).write_bytes(blob.data())
        (root / "manifests" / "v1").write_bytes(image.top.data())
        for blob in image.blobs().values():
            (root / "blobs" / blob.digest).hardlink_to(blob.path)
        cert, key = authority.leaf("127.0.0.1", "localhost")
        self.port, self.tls_port = free_port(), free_port()
        conf = self.folder / "nginx.conf"
        conf.write_text(NGINX.format(folder=self.folder, port=self.port, tls_port=self.tls_port, cert=cert, key=key,
                                     media_type=image.top.media_type, digest=image.top.digest))
        self.process = Process(["nginx", "-p", self.folder, "-c", conf], self.folder / "log")
        self.process.wait_until(lambda: listening(self.port), say="nginx")

    def serve(self, digest, path):
        """Serves this very file from now on: the same bytes in the same pages of the page cache."""
        link = self.folder / "root" / "v2" / REPOSITORY / "blobs" / digest
        link.unlink()
        link.hardlink_to(path)

    @property
    def pid(self):
        """The worker's, which does the work."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def url(self, tls=False):
        return f"https://127.0.0.1:{self.tls_port}" if tls else f"http://127.0.0.1:{self.port}"

    def path(self, what):
        return f"/v2/{REPOSITORY}/{what}"

    def stop(self):
        self.process.stop()


class OneLoopWeir:
    """Plain and TLS are two processes, because a weir has one listener."""
    name = "weir"

    def __init__(self, folder, front, authority, tls=False):
        cert, key = authority.leaf("127.0.0.1", "localhost")
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True)
        config = configuration(registry_entry(front), http={"tls": {"cert": str(cert), "key": str(key)}} if tls else {},
                               weir={"threads": {"loops": 1}})
        config["log"]["output"] = str(folder / "weir.log")
        self.weir = Weir(folder, config)
        self.tls = tls

    @property
    def pid(self):
        return self.weir.pid

    def url(self, tls=False):
        assert tls == self.tls
        return self.weir.url

    def path(self, what):
        return f"/v2/{REPOSITORY}/{what}"

    def stored(self, digest):
        """Where a finished blob lies."""
        return next(path for path in self.weir.stored() if "staging" not in path.parts and digest.split(":")[1] in str(path))

    def stop(self):
        self.weir.stop()


class DockerRegistry:
    name = "docker-registry"

    def __init__(self, registry):
        self.registry = registry

    @property
    def pid(self):
        return self.registry.process.pid

    def url(self, tls=False):
        return self.registry.url

    def path(self, what):
        return f"/v2/lab/bench/{what}"

    def stop(self):
        pass
