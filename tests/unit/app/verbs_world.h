// tests/unit/app/verbs_world.h: a store that a verb can work on: a database and a disk in memory,
// S3 and an upstream as maps.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "app/verb.h"
#include "base/random.h"
#include "base/text.h"
#include "crypto/hasher.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "store/disk_store.h"
#include "support/fake_http.h"
#include "support/fake_remote.h"
#include "support/fault_files.h"
#include "support/run_task.h"

namespace weir::app {

using namespace std::chrono_literals;

inline oci::Digest digest_of(std::string_view bytes) {
    return crypto::digest_of(oci::Digest::Algorithm::sha256, bytes);
}

using test::FakeRemote;

class VerbWorld : public ::testing::Test {
protected:
    static constexpr const char* kRoot = "/w";

    VerbWorld() {
        engine->enable_uploads(true);
        http.handle([this](const client::Call& call) {
            test::FakeAnswer answer;
            answer.status = 404;
            for (const auto& [digest, bytes] : upstream_blobs) {
                if (!call.url.ends_with("/blobs/" + digest.text())) continue;
                answer.status = 200;
                answer.body = bytes;
            }
            for (const auto& [digest, bytes] : upstream_manifests) {
                if (!call.url.ends_with("/manifests/" + digest.text())) continue;
                answer.status = 200;
                answer.fields = {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}};
                answer.body = bytes;
            }
            return answer;
        });
        upstream::Options options;
        options.name = "docker.io";
        options.mirrors = {{.url = "https://hub.lab", .tls = {}}};
        upstream = std::make_shared<upstream::Upstream>(
            options, http, clock, system_random(),
            [](std::string_view, std::string_view) { return std::nullopt; });
        resolve = [this](const std::string& repository) -> cache::TargetPtr {
            auto target = std::make_shared<cache::Target>();
            target->repository = repository;
            target->candidates = {{.upstream = upstream, .repository = "library/x", .fetch = {}}};
            target->upstream_name = std::make_shared<const std::string>("docker.io");
            return target;
        };
    }

    // A blob on the disk and in the database, linked to a repository of docker.io.
    oci::Digest on_disk(const std::string& bytes, const std::string& whose = "docker.io") {
        const oci::Digest digest = digest_of(bytes);
        const uint64_t generation = engine->next_generation();
        run_task([&]() -> Task<> {
            auto staging = co_await store->stage(digest, generation, bytes.size());
            staging->file->write_at(0, as_bytes(bytes));
            co_await store->commit(staging);
        });
        meta::BlobRow row;
        row.digest = digest;
        row.size = bytes.size();
        row.generation = generation;
        row.created = row.accessed = clock.wall();
        row.upstream = whose;
        engine->put_blob(row, "docker.io/library/x");
        return digest;
    }
    void in_s3(const std::string& bytes) {
        remote.blobs[digest_of(bytes)] = bytes;
        engine->found_in_s3(digest_of(bytes), bytes.size(), clock.wall());
    }
    std::string path_of(const oci::Digest& digest) {
        const auto row = engine->find_blob(digest);
        return fmt::format("{}/blobs/sha256/{}/{}.{}", kRoot, digest.hex().substr(0, 2),
                           digest.hex(), row->generation);
    }
    void write(const std::string& path, const std::string& bytes) {
        files.make_directories(parent_path(path));
        files.create(path)->write_at(0, as_bytes(bytes));
    }
    void spoil(const oci::Digest& digest) {
        files.open(path_of(digest), true)->write_at(0, as_bytes("!"));
    }
    bool there(const std::string& path) { return files.open(path, false) != nullptr; }
    // What the disk has of the blob, by its row.
    std::string read(const oci::Digest& digest) {
        const auto row = engine->find_blob(digest);
        if (!row || !row->on_disk) return "(not on the disk)";
        const auto file = files.open(path_of(digest), false);
        if (!file) return "(no file)";
        std::string bytes(file->size(), '\0');
        file->read_at(0, std::as_writable_bytes(std::span(bytes)));
        return bytes;
    }

    ManualClock clock;
    FaultFiles files;
    InlinePool pool;
    std::unique_ptr<meta::Engine> engine =
        meta::open_sqlite({.path = ":memory:", .readers = 1, .clock = &clock});
    std::unique_ptr<store::Store> store = store::open_disk_store({.root = kRoot}, files, pool);
    FakeRemote remote;
    Rooms rooms{*engine, *store, &remote, files, kRoot, pool, clock};
    Rooms disk_only{*engine, *store, nullptr, files, kRoot, pool, clock};  // without S3
    test::FakeHttp http;
    std::map<oci::Digest, std::string> upstream_blobs, upstream_manifests;
    std::shared_ptr<upstream::Upstream> upstream;
    Resolve resolve;
};

}  // namespace weir::app
