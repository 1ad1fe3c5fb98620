"""The disk tier under pulls by Zipf's law: a real weir at a hundredth of the size, beside what others would have made of it."""

from support import zipf
from support.images import MB
from support.weir import Weir, configuration, registry_entry

# A hundredth of 1 GB before 10 GB.
LIMIT, TOTAL, COUNT, PULLS = 10 * MB, 100 * MB, 1000, 20_000


def run(folder):
    """{policy: (hit ratio, byte hit ratio)}"""
    library = zipf.Library(COUNT, TOTAL, largest=LIMIT // 5)
    try:
        config = configuration(registry_entry(library), weir={"cache": {"maxBytes": LIMIT, "minFree": "1MB"}})
        folder.mkdir(parents=True)
        config["log"]["output"] = str(folder / "weir.log")
        weir = Weir(folder, config)
        try:
            pulls = zipf.trace(COUNT, PULLS)
            hits = zipf.pull_all(weir, library, pulls)
        finally:
            weir.stop()
    finally:
        library.stop()
    return {**zipf.compare(pulls, library.sizes, LIMIT), "weir": zipf.ratios(pulls, library.sizes, hits)}
