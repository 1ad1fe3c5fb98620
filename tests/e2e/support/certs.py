"""A private certificate authority for one test run, made with the openssl command."""

import pathlib
import ssl

from .proc import run


class Authority:
    def __init__(self, folder, name="test root"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key, self.cert = self.folder / "ca.key", self.folder / "ca.crt"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert,
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"])
        self._leaves = {}

    def leaf(self, *names):
        """(certificate chain, key) for these DNS names and addresses."""
        if names not in self._leaves:
            stem = self.folder / f"leaf{len(self._leaves)}"
            alt = ",".join(f"IP:{n}" if n.replace(".", "").isdigit() or ":" in n else f"DNS:{n}" for n in names)
            stem.with_suffix(".ext").write_text(f"subjectAltName={alt}\nextendedKeyUsage=serverAuth,clientAuth\n")
            run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", f"/CN={names[0]}", "-keyout", stem.with_suffix(".key"), "-out", stem.with_suffix(".csr")])
            run(["openssl", "x509", "-req", "-in", stem.with_suffix(".csr"), "-CA", self.cert, "-CAkey", self.key,
                 "-CAcreateserial", "-days", "30", "-extfile", stem.with_suffix(".ext"),
                 "-out", stem.with_suffix(".crt")])
            self._leaves[names] = stem.with_suffix(".crt"), stem.with_suffix(".key")
        return self._leaves[names]

    def cert_dir(self):
        """A folder in the shape of zot's certDir and of certs.d: `*.crt` is a CA."""
        folder = self.folder / "certs.d"
        folder.mkdir(exist_ok=True)
        if not (folder / "ca.crt").exists():
            # Written once: weir watches the folder and would load it again.
            (folder / "ca.crt").write_bytes(self.cert.read_bytes())
        return folder

    def client_context(self):
        return ssl.create_default_context(cafile=str(self.cert))
