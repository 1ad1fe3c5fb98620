"""An upstream registry as the tests see it: real images behind TLS and tokens, with faults and a request log as data."""

import dataclasses
import http.client
import json
import pathlib
import sys

from .proc import PATIENCE, Process, eventually

HERE = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request that the upstream got."""
    number: int
    at: float
    listener: str
    method: str
    path: str
    query: dict
    headers: dict
    kind: str
    name: str
    reference: str
    status: int
    sent: int
    done: bool
    rules: list
    token: str
    challenged: bool       # answered only with where to get a token

    @property
    def range(self):
        return self.headers.get("range")


class Front:
    """`files`: blob bytes come from the registry's disk by sendfile (for high rates); `tls` False: plain HTTP."""

    def __init__(self, folder, registry, authority=None, tls=True, auth=True, files=False, address="127.0.0.1",
                 host=None, cdn=False, prefix=(), **settings):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.registry, self.authority, self.tls = registry, authority, tls
        self.host = host or address
        keys = {}
        if tls:
            cert, key = authority.leaf(self.host, "127.0.0.1", "localhost")
            keys = {"cert": str(cert), "key": str(key)}
        listeners = {"main": {"address": address, **keys}}
        if cdn:
            listeners["cdn"] = {"address": address, **keys}
        ready = self.folder / "ready.json"
        everything = {"listeners": listeners, "registry_port": registry.port, "registry_root": str(registry.root),
                      "files": files, "auth": {} if auth is True else auth, "host": self.host,
                      "ready_file": str(ready), **settings}
        if auth is True:
            everything["auth"] = {"users": {}}
        (self.folder / "settings.json").write_text(json.dumps(everything))
        self.process = Process([sys.executable, "-m", "support.front_server", self.folder / "settings.json"],
                               self.folder / "log", cwd=HERE, prefix=prefix)
        self.process.wait_until(ready.exists, say="the front")
        ports = json.loads(ready.read_text())
        self.port, self.cdn_port, self._control_port = ports["main"], ports.get("cdn"), ports["control"]
        self._rules = []
        self._seen = 0

    # --- where it is ---

    @property
    def authority_name(self):
        return f"{self.host}:{self.port}"

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.authority_name}"

    def cdn_url(self, host=None):
        return f"{'https' if self.tls else 'http'}://{host or self.host}:{self.cdn_port}"

    # --- steering ---

    def _say(self, op, **more):
        connection = http.client.HTTPConnection("127.0.0.1", self._control_port, timeout=60)
        try:
            connection.request("POST", "/", json.dumps({"op": op, **more}))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def settings(self, **settings):
        self._say("settings", settings=settings)

    def rule(self, match, label="", times=None, **do):
        """Adds a rule: what to do with requests that match. Rules are listed in front_faults.Plan."""
        self._rules.append({"match": match, "label": label, "times": times, "do": do})
        self._say("rules", rules=self._rules)

    def heal(self):
        """Forgets all rules and opens the port again."""
        self._rules = []
        self._say("rules", rules=[])
        self.mode("accept")

    def mode(self, mode, listener="main"):
        """accept, refuse (nobody listens) or silent (accepts and never answers)."""
        self._say("mode", listener=listener, mode=mode)

    def revoke_tokens(self):
        self._say("revoke")

    def hang_up(self):
        self._say("hang_up")

    def silent_connections(self):
        return self._say("silent_connections")

    # --- what it was asked ---

    def forget(self):
        """requests() tells only what comes from now on."""
        self._seen = len(self._say("log", since=0))

    def requests(self, challenged=False, **wanted):
        """The requests since forget(), all or those whose fields are as wanted; first steps of a token dance left out."""
        found = []
        for line in self._say("log", since=self._seen):
            line = {field.name: line.get(field.name) for field in dataclasses.fields(Asked)}
            asked = Asked(**line)
            if asked.challenged == challenged and all(getattr(asked, key) == value for key, value in wanted.items()):
                found.append(asked)
        return found

    def blob_requests(self, digest=None):
        wanted = {"reference": digest} if digest else {}
        return self.requests(kind="blob", method="GET", **wanted)

    def blob_bytes(self, digest=None):
        """Body bytes given out, of one blob or of all."""
        return sum(asked.sent for asked in self.blob_requests(digest) if asked.status in (200, 206))

    def wait_for(self, what, seconds=PATIENCE, say="the request"):
        """Waits until what(list of requests) is true."""
        return eventually(lambda: what(self.requests()), seconds, say)

    def stop(self):
        self.process.stop()
