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
#include "support/fault_files.h"
#include "support/run_task.h"

namespace weir::app {

using namespace std::chrono_literals;

inline oci::Digest digest_of(std::string_view bytes) {
    return crypto::digest_of(oci::Digest::Algorithm::sha256, bytes);
}

// S3 as maps. Remembers what it was asked for.
class FakeRemote : public store::Remote {
public:
    std::map<oci::Digest, std::string> blobs;
    std::map<oci::Digest, std::pair<std::string, std::string>> manifests;  // media type, bytes
    std::map<std::string, std::string> tags;                               // "repository\ntag"
    std::vector<store::RemoteUpload> uploads;                              // by id
    bool silent = false, keeps_uploads = false;
    size_t page = 1000;
    std::map<std::string, size_t> asked;

    const std::string& name() const override { return name_; }
    bool usable() const override { return !silent; }

    Task<store::RemoteAnswer> get(oci::Digest digest, uint64_t first, std::optional<uint64_t> last,
                                  std::shared_ptr<client::Sink> sink,
                                  std::function<void(std::shared_ptr<client::TransferHandle>)>,
                                  TimePoint) override {
        ++asked["get"];
        const auto found = blobs.find(digest);
        if (silent) co_return silence();
        if (found == blobs.end()) co_return store::RemoteAnswer{store::RemoteEnd::absent, ""};
        const std::string body =
            found->second.substr(first, last ? *last - first + 1 : std::string::npos);
        client::ReplyHead head;
        head.status = 200;
        head.content_length = body.size();
        if (sink->on_head(head) == client::BodyAction::stop)
            co_return store::RemoteAnswer{store::RemoteEnd::stopped, ""};
        if (!body.empty() && sink->on_data(as_bytes(body)) == client::BodyAction::stop)
            co_return store::RemoteAnswer{store::RemoteEnd::stopped, ""};
        co_return store::RemoteAnswer{};
    }
    Task<store::RemoteAnswer> put_blob(oci::Digest digest, std::shared_ptr<const File> file,
                                       uint64_t size, Started) override {
        ++asked["put"];
        if (silent) co_return silence();
        std::string bytes(size, '\0');
        file->read_at(0, std::as_writable_bytes(std::span(bytes)));
        blobs[digest] = bytes;
        co_return store::RemoteAnswer{};
    }
    Task<store::RemoteAnswer> remove(std::vector<oci::Digest> all,
                                     std::vector<oci::Digest>*) override {
        ++asked["remove"];
        for (const auto& digest : all) blobs.erase(digest);
        co_return store::RemoteAnswer{};
    }
    Task<store::RemoteAnswer> head(oci::Digest digest, uint64_t* size) override {
        ++asked["head"];
        if (silent) co_return silence();
        const auto found = blobs.find(digest);
        if (found == blobs.end()) co_return store::RemoteAnswer{store::RemoteEnd::absent, ""};
        *size = found->second.size();
        co_return store::RemoteAnswer{};
    }
    Task<store::RemotePage> list(Kind kind, std::string continuation) override {
        ++asked["list"];
        store::RemotePage out;
        if (silent) {
            static_cast<store::RemoteAnswer&>(out) = silence();
            co_return out;
        }
        std::vector<store::RemoteObject> all;
        if (kind == Kind::blobs)
            for (const auto& [digest, bytes] : blobs) all.push_back({digest, "", bytes.size(), {}});
        if (kind == Kind::manifests)
            for (const auto& [digest, one] : manifests)
                all.push_back({digest, "", one.second.size(), {}});
        if (kind == Kind::tags)
            for (const auto& [name, text] : tags) all.push_back({{}, name, text.size(), {}});
        const size_t from = continuation.empty() ? 0 : std::stoul(continuation);
        for (size_t i = from; i < all.size() && i < from + page; ++i) out.objects.push_back(all[i]);
        if (from + page < all.size()) out.next = std::to_string(from + page);
        co_return out;
    }
    Task<store::RemoteText> text(Kind kind, store::RemoteObject object,
                                 std::string* media_type) override {
        ++asked["text"];
        store::RemoteText out;
        if (kind == Kind::tags) {
            out.text = tags.at(object.name);
        } else if (const auto found = manifests.find(object.digest); found != manifests.end()) {
            *media_type = found->second.first;
            out.text = found->second.second;
        } else {
            out.end = store::RemoteEnd::absent;
        }
        co_return out;
    }

    Task<store::RemoteUploads> list_uploads(std::string continuation) override {
        ++asked["list_uploads"];
        store::RemoteUploads out;
        if (silent) {
            static_cast<store::RemoteAnswer&>(out) = silence();
            co_return out;
        }
        for (const auto& upload : uploads) {
            if (upload.upload_id <= continuation) continue;
            if (out.uploads.size() == page) {
                out.next = out.uploads.back().upload_id;
                break;
            }
            out.uploads.push_back(upload);
        }
        co_return out;
    }
    Task<store::RemoteAnswer> abort_blob(oci::Digest, std::string id) override {
        ++asked["abort"];
        if (keeps_uploads) co_return silence();
        std::erase_if(uploads, [&](const auto& upload) { return upload.upload_id == id; });
        co_return store::RemoteAnswer{};
    }

    // Not asked for by verbs.
    Task<store::RemoteAnswer> put_manifest(oci::Digest, std::string, std::string) override {
        co_return silence();
    }
    Task<store::RemoteAnswer> put_tag(std::string, std::string, std::string) override {
        co_return silence();
    }
    Task<store::RemoteAnswer> remove_tag(std::string, std::string) override { co_return silence(); }
    Task<std::optional<std::string>> presigned_get(oci::Digest, std::chrono::seconds) override {
        co_return std::nullopt;
    }

private:
    static store::RemoteAnswer silence() {
        return {store::RemoteEnd::unavailable, "no connection"};
    }
    const std::string name_ = "s3";
};

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
    std::map<oci::Digest, std::string> upstream_blobs;
    std::shared_ptr<upstream::Upstream> upstream;
    Resolve resolve;
};

}  // namespace weir::app
