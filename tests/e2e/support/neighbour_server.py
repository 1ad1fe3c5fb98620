"""The servers of the neighbours' tests, each a process of its own: `python3 -m support.neighbour_server ROLE READY_FILE`.

good: an honest registry some way off (each answer after DELAY, bodies at RATE): `lab/N` holds image N at v1, `big/N` one of BIG
      bytes that comes at once. What is below `odd/` it refuses in every way that a registry may refuse one request.
evil: one whose repositories are named after what it does: `drip/N`, `silent/N`, ...; `claim/N` says it has whatever it is asked for.
still: answers everything at once with a few bytes: what a request costs on this machine at this moment.

One thread, and nothing is computed for an answer, so that an attack costs the machine next to nothing by itself.
"""

import asyncio
import json
import os
import pathlib
import re
import sys

from .neighbour_images import BIG, OCI_MANIFEST, descriptor, digest_of, heavy, image, noise

DELAY, RATE = 0.04, 4_000_000
TAGS = 1_000_000
PIECE = 64 * 1024
PATH = re.compile(r"/v2/([a-z]+)/([^/]+)/(manifests|blobs|tags|referrers)/([^/?]+)(\?.*)?$")
NO = b'{"errors":[{"code":"UNKNOWN","message":"no"}]}'
ENDLESS = 256 << 20          # of what has no end: more than a server may hold, not enough to fill the machine


class Request:
    def __init__(self, line, fields, writer):
        self.method, self.target = line.split(" ")[:2]
        self.fields, self.writer = fields, writer
        found = PATH.match(self.target)
        self.kind = self.number = self.what = self.reference = ""
        if found:
            self.kind, self.number, self.what, self.reference = found.groups()[:4]

    def head(self, status, fields, length=None):
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields.items())]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def answer(self, status, body=b"", rate=0, **fields):
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        self.head(status, fields, len(body))
        if self.method == "HEAD":
            return await self.writer.drain()
        for at in range(0, len(body), PIECE):
            self.writer.write(body[at:at + PIECE])
            await self.writer.drain()
            if rate:
                await asyncio.sleep(PIECE / rate)
        await self.writer.drain()

    async def content(self, data, rate=0, **fields):
        wanted = re.match(r"bytes=(\d+)-(\d*)$", self.fields.get("range", ""))
        if not wanted:
            return await self.answer(200, data, rate, **fields)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        return await self.answer(206, data[first:last + 1], rate,
                                 Content_Range=f"bytes {first}-{last}/{len(data)}", **fields)

    async def no(self, status=404, **fields):
        await self.answer(status, NO, Content_Type="application/json", **fields)

    async def for_ever(self, piece, pause=0.0, most=ENDLESS):
        """Until the other side leaves."""
        sent = 0
        while sent < most:
            self.writer.write(piece)
            await self.writer.drain()
            sent += len(piece)
            await asyncio.sleep(pause)
        await asyncio.sleep(3600)

    async def silence(self):
        await asyncio.sleep(3600)


class Good:
    ODD = {"400": 400, "405": 405, "406": 406, "409": 409, "410": 410, "412": 412, "414": 414, "416": 416, "451": 451}

    async def serve(self, request):
        if request.kind in ("odd", "private"):
            return await self.odd(request)
        if request.kind not in ("lab", "big"):
            return await request.no()
        big = request.kind == "big"
        held = image(int(request.number), BIG) if big else image(int(request.number))
        rate = 0 if big else RATE
        await asyncio.sleep(0 if big else DELAY)
        if request.what == "manifests" and request.reference in ("v1", held.manifest_digest):
            return await request.content(held.manifest, Content_Type=OCI_MANIFEST, Docker_Content_Digest=held.manifest_digest)
        if request.what == "blobs" and request.reference in held.digests:
            return await request.content(held.digests[request.reference], rate, Content_Type="application/octet-stream")
        return await request.no()

    async def odd(self, request):
        if request.kind == "private":
            how = 'Basic realm="registry"' if "basic" in request.number else 'Bearer realm="http://127.0.0.1:9/token",service="s"'
            return await request.no(401, WWW_Authenticate=how)
        how = request.number.split("-")[0]
        if how == "page":
            return await request.answer(200, b"<html>sign in</html>", Content_Type="text/html")
        if how == "away":
            return await request.answer(307, Location="http://127.0.0.1:9/nobody-listens")
        return await request.no(self.ODD[how])


class Evil:
    """One coroutine for each kind of repository."""

    def __init__(self):
        self.tags, self.few = (json.dumps({"name": "x", "tags": [f"{i:07d}" for i in range(count)]}, separators=(",", ":")).encode()
                               for count in (TAGS, TAGS // 5))

    async def serve(self, request):
        await getattr(self, request.kind, self.unknown)(request)

    async def unknown(self, request):
        await request.no()

    # --- blobs ---

    async def silent(self, request):
        await request.silence()

    async def drip(self, request):
        if request.method == "HEAD":
            return request.head(200, {}, 20_000_000)
        request.head(200, {"Content-Type": "application/octet-stream"}, 20_000_000)
        await request.for_ever(b"x" * 3000, 1)

    async def claim(self, request):
        """It has everything, of the right size where it can know that, and sends it by drops."""
        size = len(image(int(request.number)).layer)
        request.head(200, {"Content-Type": "application/octet-stream", "Docker-Content-Digest": request.reference}, size)
        if request.method != "HEAD":
            await request.for_ever(b"x" * 1000, 1)

    async def promise(self, request):
        request.head(200, {"Content-Type": "application/octet-stream"}, 330_000_000)
        if request.method != "HEAD":
            await request.for_ever(b"x", 1)

    async def large(self, request):
        """A blob of 8 MB at once."""
        data = noise("large" + request.number, 8_000_000)
        await request.content(data, Content_Type="application/octet-stream")

    async def trailers(self, request):
        request.head(200, {"Content-Type": OCI_MANIFEST, "Transfer-Encoding": "chunked"})
        request.writer.write(b"2\r\n{}\r\n0\r\n")
        await request.for_ever((b"X-Trailer: " + b"t" * 1000 + b"\r\n") * 60)

    async def fields(self, request):
        """A head without end."""
        request.writer.write(b"HTTP/1.1 200 OK\r\n")
        await request.for_ever((b"X-Field: " + b"f" * 8000 + b"\r\n") * 8)

    # --- manifests and lists ---

    async def weight(self, request):
        """A manifest of 4 MB for each tag."""
        data = heavy(int(request.number))
        await request.content(data, Content_Type=OCI_MANIFEST, Docker_Content_Digest=digest_of(data))

    async def type(self, request):
        """A manifest whose media type is 3 MB."""
        data = json.dumps({"schemaVersion": 2, "mediaType": "application/" + "m" * 3_000_000, "layers": [],
                           "config": descriptor("config.v1+json", b"{}")}).encode()
        await request.content(data, Content_Type="application/json")

    async def list(self, request):
        await request.answer(200, self.tags, Content_Type="application/json")

    async def short(self, request):
        await request.answer(200, self.few, Content_Type="application/json")

    async def endless(self, request):
        request.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
        await request.for_ever(b"10000\r\n" + b'"a",' * 16384 + b"\r\n")

    # --- refusals ---

    async def storm(self, request):
        status = int(request.number.split("-")[0])
        await request.no(status, **({"Retry_After": "60"} if status in (429, 503) else {}))

    async def away(self, request):
        await request.answer(307, Location="http://never.answers.lab/x")

    async def realm(self, request):
        await request.no(401, WWW_Authenticate='Bearer realm="http://realm.answers.lab/t",service="s"')


class Still:
    async def serve(self, request):
        await request.answer(200, b"{}", Content_Type="application/json")


async def talk(role, reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            request = Request(head[0], fields, writer)
            if request.target == "/v2/":
                await request.answer(200, b"{}", Content_Type="application/json")
            else:
                await role.serve(request)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.transport.abort()


async def main(role, ready):
    held = {"good": Good, "evil": Evil, "still": Still}[role]()
    tasks = set()

    def connected(reader, writer):
        # What is silent notices that the other side leaves by its connection's end alone.
        task = asyncio.ensure_future(talk(held, reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=4096)
    new = pathlib.Path(str(ready) + ".new")
    new.write_text(str(server.sockets[0].getsockname()[1]))
    new.rename(ready)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "evil":
        os.nice(5)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
