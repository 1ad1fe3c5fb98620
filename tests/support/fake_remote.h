// tests/support/fake_remote.h: the durable tier as maps.
#pragma once
#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "base/text.h"
#include "store/remote.h"

namespace weir::test {

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
        if (first > 0 || last) {
            head.status = 206;
            head.fields.list.emplace_back(
                "Content-Range", fmt::format("bytes {}-{}/{}", first, first + body.size() - 1,
                                             found->second.size()));
        }
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
        for (const auto& digest : all) {
            blobs.erase(digest);
            manifests.erase(digest);
        }
        co_return store::RemoteAnswer{};
    }
    void stop() override { silent = true; }
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
            const auto found = tags.find(object.name);
            if (found == tags.end()) out.end = store::RemoteEnd::absent;
            if (found != tags.end()) out.text = found->second;
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

    Task<store::RemoteAnswer> put_manifest(oci::Digest digest, std::string media_type,
                                           std::string bytes) override {
        if (silent) co_return silence();
        manifests[digest] = {std::move(media_type), std::move(bytes)};
        co_return store::RemoteAnswer{};
    }
    Task<store::RemoteAnswer> put_tag(std::string repository, std::string tag,
                                      std::string text) override {
        if (silent) co_return silence();
        tags[repository + "\n" + tag] = std::move(text);
        co_return store::RemoteAnswer{};
    }
    Task<store::RemoteAnswer> remove_tag(std::string repository, std::string tag) override {
        if (silent) co_return silence();
        tags.erase(repository + "\n" + tag);
        co_return store::RemoteAnswer{};
    }
    Task<std::optional<std::string>> presigned_get(oci::Digest, std::chrono::seconds) override {
        co_return std::nullopt;  // it has no address
    }

private:
    static store::RemoteAnswer silence() {
        return {store::RemoteEnd::unavailable, "no connection"};
    }
    const std::string name_ = "s3";
};

}  // namespace weir::test
