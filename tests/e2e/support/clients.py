"""Real clients with a life of their own: nothing of the machine's configuration is read or touched.

Each has pull(weir, repository, tag, image): it pulls docker.io/REPOSITORY:TAG through weir in the way that this client
is usually pointed at a cache, and asserts that what arrived is the image to the bit.
"""

import hashlib
import json
import os
import pathlib
import shutil
import tempfile

from .proc import Process, run

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return "sha256:" + digest.hexdigest()


ROOTED = """\
mount --rbind / {root} ||
    {{ echo "/ is no mount point (a chroot) and cannot be made one: clients that unpack layers cannot run here" >&2; exit 1; }}
exec chroot {root} sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"
"""


def rooted(folder):
    """What comes before a client that remounts / when it unpacks: nothing, where / is a mount point. In a chroot it is not."""
    with open("/proc/self/mountinfo") as mounts:
        if any(line.split()[4] == "/" for line in mounts):
            return ()
    root = folder / "rooted"
    root.mkdir(exist_ok=True)
    return ("unshare", "--mount", "--propagation", "unchanged", "sh", "-c", ROOTED.format(root=root), "sh")


class Client:
    def __init__(self):
        # Short, because a unix socket's path may have 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wc-", dir="/tmp"))
        self.policy = self.folder / "policy.json"
        self.policy.write_text(POLICY)
        self.env = {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder), "NO_PROXY": "127.0.0.0/8"}

    def stop(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Skopeo(Client):
    """By path prefix: 127.0.0.1:PORT/docker.io/REPOSITORY."""
    all_platforms = True

    def copy(self, source, to, *more, env=None, seconds=60):
        (self.folder / "registries.conf").write_text("")
        return run(["skopeo", "--registries-conf", self.folder / "registries.conf", "--policy", self.policy, "copy",
                    "--all", *more, source, f"dir:{to}"], env={**self.env, **(env or {})}, seconds=seconds)

    def pull(self, weir, repository, tag, image):
        to = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        self.copy(f"docker://{weir.address}/docker.io/{repository}:{tag}", to, "--src-tls-verify=false")
        assert sha256_file(to / "manifest.json") == image.top.digest
        for digest in image.blobs():
            assert sha256_file(to / digest.split(":")[1]) == digest


class Crane(Client):
    """By path prefix, and the only one here that checks every blob of every platform by itself."""
    all_platforms = True

    def pull(self, weir, repository, tag, image):
        name = f"{weir.address}/docker.io/{repository}:{tag}"
        # It tries TLS first and says so on the error output; the digest is the last word.
        assert run(["crane", "digest", "--insecure", name], env=self.env).stdout.split()[-1] == image.top.digest
        to = self.folder / "layout"
        shutil.rmtree(to, ignore_errors=True)
        run(["crane", "pull", "--insecure", "--format=oci", name, to], env=self.env)
        for digest in image.blobs():
            assert sha256_file(to / "blobs" / digest.replace(":", "/")) == digest


class Podman(Client):
    """By a mirror in registries.conf."""
    all_platforms = False

    def podman(self, *args, env=None):
        return run([*rooted(self.folder), "podman", "--root", self.folder / "root", "--runroot", self.folder / "run",
                    "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", *args],
                   env={**self.env, **(env or {})}, seconds=90)

    def pull(self, weir, repository, tag, image):
        conf = self.folder / "registries.conf"
        conf.write_text(f'[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n[[registry.mirror]]\n'
                        f'location = "{weir.address}/docker.io"\ninsecure = true\n')
        env = {"CONTAINERS_REGISTRIES_CONF": str(conf)}
        name = f"docker.io/{repository}:{tag}"
        self.podman("pull", "--signature-policy", self.policy, name, env=env)
        told = json.loads(self.podman("image", "inspect", name, env=env).stdout)[0]
        platform = image.platform()
        assert "sha256:" + told["Id"] == platform.config.digest
        assert any(digest.endswith(image.top.digest) for digest in told["RepoDigests"]), told["RepoDigests"]
        assert told["RootFS"]["Layers"] == [layer.diff_id for layer in platform.layers]


CONTAINERD = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/s"
[ttrpc]
  address = "{folder}/t"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"""


class Containerd(Client):
    """ctr with hosts.toml: it sends ?ns=docker.io. mirror_path: of the mirror's address; with override in the place of /v2, else before it."""
    all_platforms = False

    def __init__(self, mirror_path="", override=False):
        super().__init__()
        self.mirror_path, self.override = mirror_path, override
        config = self.folder / "config.toml"
        config.write_text(CONTAINERD.format(folder=self.folder))
        self.socket = self.folder / "s"
        self.process = Process(["containerd", "--config", config], self.folder / "log", env=self.env)
        self.process.wait_until(lambda: self.socket.exists() and "containerd successfully booted" in self.process.log(),
                                30, "containerd")

    def ctr(self, *args, seconds=60):
        return run(["ctr", "-a", self.socket, "--namespace", "weir", *args], env=self.env, seconds=seconds)

    def pull(self, weir, repository, tag, image, server="http://127.0.0.1:1"):
        hosts = self.folder / "hosts" / "docker.io"
        hosts.mkdir(parents=True, exist_ok=True)
        (hosts / "hosts.toml").write_text(f'server = "{server}"\n[host."http://{weir.address}{self.mirror_path}"]\n'
                                          f'  capabilities = ["pull", "resolve"]\n'
                                          f'  override_path = {"true" if self.override else "false"}\n')
        name = f"docker.io/{repository}:{tag}"
        self.ctr("images", "pull", "--hosts-dir", hosts.parent, "--snapshotter", "native", name)
        listed = self.ctr("images", "ls", f"name=={name}").stdout
        assert image.top.digest in listed, listed
        held = self.ctr("content", "ls", "-q").stdout.split()
        platform = image.platform()
        assert {platform.manifest.digest, *(blob.digest for blob in platform.blobs())} <= set(held)

    def stop(self):
        self.process.stop()
        super().stop()


class Docker(Client):
    """dockerd with registry-mirrors: neither a prefix nor ns, the bare name means docker.io."""
    all_platforms = False

    def __init__(self, weir):
        super().__init__()
        self.containerd = Containerd()
        (self.folder / "daemon.json").write_text(json.dumps({
            "bridge": "none", "iptables": False, "ip6tables": False, "storage-driver": "vfs",
            "registry-mirrors": [f"http://{weir.address}"]}))
        self.socket = self.folder / "d"
        self.process = Process(
            ["dockerd", "--config-file", self.folder / "daemon.json", "--data-root", self.folder / "data", "--exec-root",
             self.folder / "exec", "-p", self.folder / "pid", "-H", f"unix://{self.socket}", "--containerd",
             self.containerd.socket], self.folder / "log", env=self.env, prefix=rooted(self.folder))
        try:
            self.process.wait_until(lambda: "API listen on" in self.process.log(), 60, "dockerd")
        except AssertionError:
            self.stop()
            raise

    def docker(self, *args, seconds=90):
        return run(["docker", "-H", f"unix://{self.socket}", *args], env=self.env, seconds=seconds)

    def pull(self, weir, repository, tag, image):
        self.docker("pull", f"{repository}:{tag}")
        told = json.loads(self.docker("image", "inspect", f"{repository}:{tag}").stdout)[0]
        platform = image.platform()
        assert told["Id"] == platform.config.digest
        assert any(digest.endswith(image.top.digest) for digest in told["RepoDigests"]), told["RepoDigests"]
        assert told["RootFS"]["Layers"] == [layer.diff_id for layer in platform.layers]

    def stop(self):
        self.process.stop()
        self.containerd.stop()
        super().stop()


def dockerd_can_run():
    """dockerd wants root and control groups; a plain chroot has none."""
    return os.geteuid() == 0 and os.path.isdir("/sys/fs/cgroup/") and bool(os.listdir("/sys/fs/cgroup"))
