"""A disk that is full, read-only or broken: clients are served past it or told so, and its end needs no restart."""

import errno
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import tiers, wire
from support.disk import BadDisk, SmallDisk
from support.images import MB
from support.proc import eventually
from support.s3 import driver

DISK = 48 * MB
# What a fault is: of which calls, with which answer.
FAULTS = {"eio": {"reads": errno.EIO, "writes": errno.EIO}, "read-only": {"writes": errno.EROFS},
          "no-space": {"writes": errno.ENOSPC}}
# Where it is: beginnings of paths below the state directory.
PLACES = {"blobs": ("blobs/", "staging/"), "metadata": ("weir.db",), "everything": ("",)}


def path_of(repository, blob):
    return f"/v2/docker.io/{repository}/blobs/{blob.digest}"


@pytest.fixture
def small_disk(tmp_path):
    """Under the state directory of the first weir."""
    disk = SmallDisk(tmp_path / "weir0/state", DISK)
    yield disk
    disk.stop()


@pytest.fixture
def bad_disk(tmp_path):
    return BadDisk(tmp_path / "bad-disk")


@pytest.fixture
def image(registry, maker):
    def make(repository, *sizes):
        return registry.push(repository, "v1", maker.single(sizes or (6 * MB, MB)))
    return make


def served(weir, path, digest):
    """True: the right bytes. False: an OCI error. Anything else, a cut too, is a failure."""
    answer = wire.ask(weir, path, headers={"Accept": wire.ACCEPT}, timeout=20)
    if answer.status == 200:
        assert answer.digest == digest, f"{path}: {len(answer.body)} bytes that are not it"
        return True
    assert answer.status in (404, 500, 502, 503, 504) and answer.error_codes(), (path, answer)
    return False


def parts_of(repository, image):
    """All that a client asks for, with the digest of the answer."""
    yield f"/v2/docker.io/{repository}/manifests/v1", image.top.digest
    for blob in image.platforms[0].blobs():
        yield path_of(repository, blob), blob.digest


def ask_for(weir, repository, image):
    """What was served of the image, part by part."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda part: served(weir, *part), parts_of(repository, image)))


def goes_on(weir, front, images):
    """After the fault: everything can be pulled, is kept, and is there for a new process too."""
    def whole(repository):
        if not all(ask_for(weir, repository, images[repository])):
            return False
        # What was served may have been passed on, by what was known of the disk a moment ago.
        tiers.settled(weir)
        return all(tiers.file_of(weir, blob) for blob in images[repository].platforms[0].blobs())
    for repository in images:
        eventually(lambda name=repository: whole(name), say=f"the whole of {repository}")
    assert weir.process.alive() and weir.starts == 1
    front.mode("refuse")
    for start in range(2):
        for repository, image in images.items():
            assert all(tiers.file_of(weir, blob) for blob in image.platforms[0].blobs())
            wire.pull(weir, f"docker.io/{repository}", "v1")
        if start == 0:
            weir.restart()
    assert not tiers.stray_files(weir)


def hot_and_cold(weir, image):
    """One that is stored, and one that weir has not heard of."""
    images = {"lab/disk-hot": image("lab/disk-hot"), "lab/disk-cold": image("lab/disk-cold")}
    wire.pull(weir, "docker.io/lab/disk-hot", "v1")
    tiers.settled(weir)
    return images


# --- full ---

def test_a_full_disk_passes_on_what_it_cannot_keep(small_disk, new_weir, front, image):
    weir = new_weir(front, weir={"cache": {"minFree": "1MB"}})
    images = hot_and_cold(weir, image)
    small_disk.fill()
    for repository, image_ in images.items():
        assert all(ask_for(weir, repository, image_)), repository
    cold = images["lab/disk-cold"].platforms[0].blobs()
    assert not any(tiers.file_of(weir, blob) for blob in cold)
    small_disk.free()
    goes_on(weir, front, images)


def test_a_disk_that_fills_up_in_the_middle_of_a_fetch_fails_no_client(small_disk, new_weir, front, image):
    weir = new_weir(front, weir={"cache": {"minFree": "1MB"}})
    images = {"lab/disk-filling": image("lab/disk-filling", 12 * MB)}
    layer = images["lab/disk-filling"].platforms[0].layers[0]
    front.rule({"kind": "blob", "method": "GET", "reference": layer.digest}, stall_after=4 * MB, times=1)
    reading = wire.Reading(weir, path_of("lab/disk-filling", layer))
    reading.read(2 * MB)
    small_disk.fill()
    front.hang_up()     # the rest comes as a range
    assert reading.rest().digest == layer.digest
    assert len(front.blob_requests(layer.digest)) >= 2
    reading.close()
    front.heal()
    small_disk.free()
    goes_on(weir, front, images)


def test_more_blobs_at_once_than_the_disk_can_hold_are_all_served(small_disk, new_weir, front, image):
    weir = new_weir(front, weir={"cache": {"minFree": "1MB"}})
    images = {f"lab/disk-burst{n}": image(f"lab/disk-burst{n}", 9 * MB, 4 * MB) for n in range(5)}
    with ThreadPoolExecutor(5) as pool:
        assert all(all(told) for told in pool.map(lambda item: ask_for(weir, *item), images.items()))


# --- broken ---

@pytest.fixture(params=[(fault, place) for fault in FAULTS for place in PLACES], ids="-".join)
def break_disk(request, bad_disk):
    """Breaks the disk of a weir in one way and at one place."""
    fault, place = request.param

    def start(weir):
        bad_disk.fail(*(f"{weir.state}/{beginning}" for beginning in PLACES[place]), **FAULTS[fault])
    return start


def test_a_broken_disk_is_served_past_and_used_again_when_it_is_sound(new_weir, bad_disk, break_disk, front, image):
    weir = new_weir(front, env=bad_disk.env)
    images = hot_and_cold(weir, image)
    break_disk(weir)
    for _ in range(2):
        hot, cold = (ask_for(weir, repository, image_) for repository, image_ in images.items())
        assert all(hot) and all(cold), (hot, cold)
    bad_disk.heal()
    goes_on(weir, front, images)


def test_a_disk_that_breaks_in_the_middle_of_a_fetch(new_weir, bad_disk, break_disk, front, image):
    weir = new_weir(front, env=bad_disk.env)
    images = {"lab/disk-breaking": image("lab/disk-breaking", 12 * MB)}
    layer = images["lab/disk-breaking"].platforms[0].layers[0]
    front.rule({"kind": "blob", "method": "GET", "reference": layer.digest}, stall_after=4 * MB, times=1)
    reading = wire.Reading(weir, path_of("lab/disk-breaking", layer))
    reading.read(2 * MB)
    break_disk(weir)
    front.hang_up()     # the rest comes as a range
    reading.rest()
    assert reading.digest == layer.digest
    assert len(front.blob_requests(layer.digest)) >= 2
    reading.close()
    front.heal()
    bad_disk.heal()
    goes_on(weir, front, images)


def test_what_cannot_be_read_is_not_said_to_be_unknown(new_weir, bad_disk, front, image):
    """Its upstream has it no more: only the disk knows."""
    weir = new_weir(front, env=bad_disk.env)
    images = hot_and_cold(weir, image)
    weir.restart()
    front.rule({}, status=404)
    bad_disk.fail(weir.state / "weir.db", reads=errno.EIO)
    for path, _ in parts_of("lab/disk-hot", images["lab/disk-hot"]):
        answer = wire.ask(weir, path, headers={"Accept": wire.ACCEPT})
        assert (answer.status, answer.error_codes()) == (500, ["UNKNOWN"]), path
    bad_disk.heal()
    assert all(ask_for(weir, "lab/disk-hot", images["lab/disk-hot"])), "and no error is remembered"


def test_what_a_broken_disk_holds_comes_from_s3_meanwhile(new_weir, bad_disk, front, faults, image):
    weir = new_weir(front, storage=driver(faults), env=bad_disk.env)
    images = {"lab/disk-s3": image("lab/disk-s3")}
    wire.pull(weir, "docker.io/lab/disk-s3", "v1")
    tiers.drained(weir)
    front.forget()
    bad_disk.fail(weir.state / "blobs", weir.state / "staging", reads=errno.EIO)
    assert all(ask_for(weir, "lab/disk-s3", images["lab/disk-s3"]))
    assert front.blob_bytes() == 0 and faults.blob_gets()
    bad_disk.heal()
    goes_on(weir, front, images)
