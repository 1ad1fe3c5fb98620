"""Pulls as a registry sees them: blobs of log-normal sizes, asked for by Zipf's law; what policies make of them."""

import bisect
import hashlib
import http.client
import http.server
import random
import threading

BLOCK = 1 << 16


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Whoever has no room for a blob hangs up."""


class Library:
    """An upstream whose blobs are made as they are read: gigabytes of them cost no disk."""
    authority = None

    def __init__(self, count, total, largest, seed=1):
        numbers = random.Random(seed)
        raw = [numbers.lognormvariate(0, 1.4) for _ in range(count)]
        scale = total / sum(raw)
        self.sizes = [max(100, min(largest, int(size * scale))) for size in raw]
        self.blocks = [numbers.randbytes(BLOCK) for _ in range(count)]
        self.digests = [self._digest(number) for number in range(count)]
        self.numbers = {digest: number for number, digest in enumerate(self.digests)}
        self.asked = []
        self.server = Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def pieces(self, number):
        left = self.sizes[number]
        while left > 0:
            yield self.blocks[number][:left]
            left -= BLOCK

    def _digest(self, number):
        digest = hashlib.sha256()
        for piece in self.pieces(number):
            digest.update(piece)
        return "sha256:" + digest.hexdigest()

    def _handler(self):
        library = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):  # noqa: N802, the name that the module wants
                number = library.numbers.get(self.path.rsplit("/", 1)[-1])
                self.send_response(404 if number is None else 200)
                self.send_header("Content-Length", "0" if number is None else str(library.sizes[number]))
                self.end_headers()
                if number is None or self.command == "HEAD":
                    return
                library.asked.append(number)
                for piece in library.pieces(number):
                    self.wfile.write(piece)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        return Handler

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def trace(count, pulls, exponent=0.9, seed=7):
    """Which blob each pull is for; how often one is asked for has nothing to do with its size."""
    weights = [1 / (rank + 1) ** exponent for rank in range(count)]
    return random.Random(seed).choices(range(count), weights, k=pulls)


def pull_all(weir, library, pulls):
    """Pulls them one after the other through weir. Returns which pulls cost upstream nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", weir.port, timeout=60)
    hits = []
    for number in pulls:
        before = len(library.asked)
        connection.request("GET", f"/v2/up/lab/zipf/blobs/{library.digests[number]}")
        answer = connection.getresponse()
        digest, piece = hashlib.sha256(), answer.read(1 << 20)
        while piece:
            digest.update(piece)
            piece = answer.read(1 << 20)
        assert (answer.status, "sha256:" + digest.hexdigest()) == (200, library.digests[number]), answer.status
        hits.append(len(library.asked) == before)
    connection.close()
    return hits


# --- what other policies would have made of it: for each pull, whether it is a hit ---

def by_priority(pulls, sizes, limit, priority):
    """Evicts the lowest priority(last use, uses) first, until the new blob fits."""
    kept, order, used, hits, uses = {}, [], 0, [], {}
    for now, number in enumerate(pulls):
        hits.append(number in kept)
        uses[number] = uses.get(number, 0) + 1
        if number in kept:
            order.pop(bisect.bisect_left(order, (kept[number], number)))
        elif sizes[number] > limit:
            continue
        else:
            used += sizes[number]
            while used > limit:
                _, gone = order.pop(0)
                used -= sizes[gone]
                del kept[gone]
        kept[number] = priority(now, uses[number])
        bisect.insort(order, (kept[number], number))
    return hits


def lru(pulls, sizes, limit):
    return by_priority(pulls, sizes, limit, lambda now, uses: now)


def lfu(pulls, sizes, limit):
    return by_priority(pulls, sizes, limit, lambda now, uses: (uses, now))


def optimum(pulls, sizes, limit, worth):
    """What no policy can exceed, not even one that knows the future: a hit keeps its bytes from one pull to the next,
    and the disk has room for so many bytes times pulls; the dearest worth a footprint first, the last in part."""
    last, hits = {}, []
    for now, number in enumerate(pulls):
        if number in last and sizes[number] <= limit:
            hits.append((sizes[number] * (now - last[number]), worth(number)))
        last[number] = now
    room, sum_ = limit * len(pulls), 0.0
    for footprint, value in sorted(hits, key=lambda hit: hit[0] / hit[1]):
        part = min(1.0, room / footprint)
        sum_ += part * value
        room -= part * footprint
        if room <= 0:
            break
    return sum_


def ratios(pulls, sizes, hits):
    """Of requests and of bytes."""
    all_bytes = sum(sizes[number] for number in pulls)
    return sum(hits) / len(pulls), sum(sizes[n] for n, hit in zip(pulls, hits, strict=True) if hit) / all_bytes


def compare(pulls, sizes, limit):
    """{policy: (hit ratio, byte hit ratio)} of LRU, LFU and the bound."""
    all_bytes = sum(sizes[number] for number in pulls)
    return {"LRU": ratios(pulls, sizes, lru(pulls, sizes, limit)), "LFU": ratios(pulls, sizes, lfu(pulls, sizes, limit)),
            "bound": (optimum(pulls, sizes, limit, lambda number: 1) / len(pulls),
                      optimum(pulls, sizes, limit, lambda number: sizes[number]) / all_bytes)}
