"""A name server of the test's own on 127.0.0.1:53, and a machine (mount namespace) that asks it.

Only in a network of our own, which conftest.py has entered: there port 53 is free.
"""

import socket
import struct
import threading

A, AAAA = 1, 28


class NameServer:
    """`table`: {name: [addresses]}; names in `silent` get no answer, nor questions of a kind in `silent_kinds`; the
    others do not exist."""

    def __init__(self, table=None, ttl=300):
        self.table, self.ttl = dict(table or {}), ttl
        self.silent, self.silent_kinds = set(), set()
        self.questions = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def asked(self, name, kind=A):
        return self.questions.count((name, kind))

    def stop(self):
        self._socket.sendto(b"", ("127.0.0.1", 53))      # too short for a question: the last
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while True:
            message, peer = self._socket.recvfrom(4096)
            if not message:
                return
            answer = self._answer(message)
            if answer:
                self._socket.sendto(answer, peer)

    def _answer(self, message):
        labels, at = [], 12
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
        name, kind = ".".join(labels).lower(), struct.unpack("!H", message[at + 1:at + 3])[0]
        self.questions.append((name, kind))
        if any(name == one or name.endswith("." + one) for one in self.silent) or kind in self.silent_kinds:
            return None
        family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
        records = [socket.inet_pton(family, address) for address in self.table.get(name, ())
                   if family and (":" in address) == (kind == AAAA)]
        code = 0 if name in self.table else 3
        head = message[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data for data in records)
        return head + message[12:at + 5] + body


class Machine:
    """Files of /etc for one process: its `prefix` puts them in place. They may be changed while it runs."""

    def __init__(self, folder, hosts="", resolv="nameserver 127.0.0.1\n"):
        folder.mkdir(parents=True, exist_ok=True)
        self.hosts, self.resolv, self._nsswitch = folder / "hosts", folder / "resolv.conf", folder / "nsswitch.conf"
        self.hosts.write_text("127.0.0.1 localhost\n" + hosts)
        self.resolv.write_text(resolv)
        self._nsswitch.write_text("hosts: files dns\n")

    @property
    def prefix(self):
        mounts = " && ".join(f"mount --bind {path} /etc/{path.name}" for path in (self.hosts, self.resolv, self._nsswitch))
        return ["unshare", "-m", "sh", "-c", f"mount --make-rprivate / && {mounts} && exec \"$@\"", "sh"]
