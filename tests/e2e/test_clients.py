"""Real clients pull real images through weir from a real registry behind TLS and a token server."""

import pytest
from support import clients

KINDS = {"skopeo": clients.Skopeo, "crane": clients.Crane, "podman": clients.Podman, "containerd": clients.Containerd}
# docker is a daemon that not every machine can run; where it starts, it is held to the same.
NAMES = [*KINDS, *(["docker"] if clients.dockerd_can_run() else [])]


@pytest.fixture(params=NAMES)
def client(request, weir):
    client = clients.Docker(weir) if request.param == "docker" else KINDS[request.param]()
    yield client
    client.stop()


@pytest.mark.deadline(240)
def test_every_client_pulls_an_oci_index_to_the_bit_cold_and_hot(client, weir, front, multi):
    client.pull(weir, "lab/multi", "v1", multi)
    assert front.requests(kind="manifest"), "nothing went through weir to the upstream"
    held = front.blob_bytes()
    again = type(client)(weir) if isinstance(client, clients.Docker) else type(client)()
    try:
        again.pull(weir, "lab/multi", "v1", multi)
    finally:
        again.stop()
    assert front.blob_bytes() == held, "a hot pull fetched blobs again"


@pytest.mark.deadline(240)
def test_every_client_pulls_a_docker_schema_2_list_to_the_bit(client, weir, front, docker_multi):
    client.pull(weir, "lab/docker", "v1", docker_multi)
    assert front.requests(kind="manifest"), "nothing went through weir to the upstream"


@pytest.mark.deadline(240)
def test_a_client_that_wants_one_platform_costs_only_that_platform(client, weir, front, multi):
    client.pull(weir, "lab/multi", "v1", multi)
    fetched = {asked.reference for asked in front.blob_requests()}
    wanted = set(multi.blobs()) if client.all_platforms else {blob.digest for blob in multi.platform().blobs()}
    assert fetched == wanted
