#include "store/s3_remote.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "base/check.h"
#include "base/text.h"

namespace weir::store {
namespace {

using namespace std::chrono_literals;
// Reads go elsewhere first for so long after S3 gave no answer.
constexpr Duration kQuietTime = 5s;
constexpr int kPatientCuts = 2;
// An upload that moves is never ended by the clock; this bounds the retries around it.
constexpr Duration kUploadTime = 6h;
constexpr Duration kVerbTime = 60s;

std::string object_key(const char* room, const oci::Digest& digest) {
    const std::string hex = digest.hex();
    return fmt::format("{}/{}/{}/{}", room, digest.algorithm_name(), hex.substr(0, 2), hex);
}

std::string tag_key(const std::string& repository, const std::string& tag) {
    return fmt::format("tags/{}/{}", repository, tag);
}

const char* room_of(Remote::Kind kind) {
    switch (kind) {
        case Remote::Kind::blobs:
            return "blobs";
        case Remote::Kind::manifests:
            return "manifests";
        case Remote::Kind::tags:
            return "tags";
    }
    return "blobs";
}

// "blobs/sha256/ab/<hex>" -> the digest; "tags/a/b/v1" -> "a/b\nv1". Foreign keys are nullopt.
std::optional<RemoteObject> parse_key(Remote::Kind kind, const s3::Object& object) {
    const std::string prefix = std::string(room_of(kind)) + "/";
    if (!object.key.starts_with(prefix)) return std::nullopt;
    const std::string_view rest = std::string_view(object.key).substr(prefix.size());
    RemoteObject found;
    found.size = object.size;
    found.modified = object.modified;
    const size_t last = rest.rfind('/');
    if (last == std::string_view::npos) return std::nullopt;
    if (kind == Remote::Kind::tags) {
        found.name = fmt::format("{}\n{}", rest.substr(0, last), rest.substr(last + 1));
        return found;
    }
    const size_t first = rest.find('/');
    const auto digest =
        oci::Digest::parse(fmt::format("{}:{}", rest.substr(0, first), rest.substr(last + 1)));
    if (!digest) return std::nullopt;
    found.digest = *digest;
    return found;
}

class S3Remote : public Remote {
public:
    S3Remote(s3::Bucket& bucket, Clock& clock) : bucket_(bucket), clock_(clock) {}

    const std::string& name() const override { return name_; }
    bool usable() const override { return clock_.now().time_since_epoch().count() >= quiet_until_; }

    Task<RemoteAnswer> get(oci::Digest digest, uint64_t first, std::optional<uint64_t> last,
                           std::shared_ptr<client::Sink> sink,
                           std::function<void(std::shared_ptr<client::TransferHandle>)> started,
                           TimePoint head_deadline) override {
        const auto got = co_await bucket_.get(object_key("blobs", digest), first, last,
                                              std::move(sink), std::move(started), head_deadline);
        RemoteAnswer answer = answer_of(got);
        if (got.outcome == s3::Outcome::ok && got.stopped) answer.end = RemoteEnd::stopped;
        if (got.outcome == s3::Outcome::ok && got.cut) {
            answer.end = RemoteEnd::cut;
            // A few are taken up where they broke. Again and again, or crawling: others first, for
            // a while.
            if (++cuts_ > kPatientCuts)
                quiet_until_ = (clock_.now() + kQuietTime).time_since_epoch().count();
        }
        if (answer.end == RemoteEnd::ok) cuts_ = 0;
        co_return answer;
    }

    Task<RemoteAnswer> put_blob(oci::Digest digest, std::shared_ptr<const File> file, uint64_t size,
                                Started started) override {
        const bool sha256 = digest.algorithm() == oci::Digest::Algorithm::sha256;
        co_return answer_of(co_await bucket_.put(object_key("blobs", digest), std::move(file), size,
                                                 sha256 ? digest.hex() : "", std::move(started),
                                                 clock_.now() + kUploadTime));
    }

    Task<RemoteAnswer> abort_blob(oci::Digest digest, std::string upload_id) override {
        co_return answer_of(co_await bucket_.abort(object_key("blobs", digest),
                                                   std::move(upload_id), clock_.now() + kVerbTime));
    }

    // The media type is part of the document for all but a few; the key keeps bytes only, the type
    // goes before them.
    Task<RemoteAnswer> put_manifest(oci::Digest digest, std::string media_type,
                                    std::string bytes) override {
        co_return answer_of(co_await bucket_.put_text(
            object_key("manifests", digest), media_type + "\n" + bytes, clock_.now() + kVerbTime));
    }

    Task<RemoteAnswer> put_tag(std::string repository, std::string tag, std::string text) override {
        co_return answer_of(co_await bucket_.put_text(tag_key(repository, tag), std::move(text),
                                                      clock_.now() + kVerbTime));
    }

    Task<RemoteAnswer> remove_tag(std::string repository, std::string tag) override {
        co_return answer_of(
            co_await bucket_.remove(tag_key(repository, tag), clock_.now() + kVerbTime));
    }

    // Which of the two a digest is of is not known any more: its row is gone. A key that isn't
    // there counts as removed.
    Task<RemoteAnswer> remove(std::vector<oci::Digest> digests,
                              std::vector<oci::Digest>* failed) override {
        check(digests.size() <= kMaxRemoved, "one request deletes so many at most");
        std::vector<std::string> keys;
        for (const auto& digest : digests) {
            keys.push_back(object_key("blobs", digest));
            keys.push_back(object_key("manifests", digest));
        }
        std::vector<std::string> not_removed;
        const auto result =
            co_await bucket_.remove_many(keys, &not_removed, clock_.now() + kVerbTime);
        if (result.outcome != s3::Outcome::ok) {
            *failed = std::move(digests);
            co_return answer_of(result);
        }
        const std::set<std::string> left(not_removed.begin(), not_removed.end());
        for (size_t i = 0; i < digests.size(); ++i)
            if (left.contains(keys[2 * i]) || left.contains(keys[2 * i + 1]))
                failed->push_back(digests[i]);
        co_return answer_of(result);
    }

    Task<std::optional<std::string>> presigned_get(oci::Digest digest,
                                                   std::chrono::seconds valid) override {
        return bucket_.presigned_get(object_key("blobs", digest), valid, clock_.now() + 1s);
    }

    void stop() override { bucket_.stop(); }

    Task<RemoteAnswer> head(oci::Digest digest, uint64_t* size) override {
        const auto result =
            co_await bucket_.head(object_key("blobs", digest), clock_.now() + kVerbTime);
        *size = result.size;
        co_return answer_of(result);
    }

    Task<RemotePage> list(Kind kind, std::string continuation) override {
        const auto result = co_await bucket_.list(
            std::string(room_of(kind)) + "/", std::move(continuation), clock_.now() + kVerbTime);
        RemotePage page;
        static_cast<RemoteAnswer&>(page) = answer_of(result);
        for (const auto& object : result.objects)
            if (auto found = parse_key(kind, object)) page.objects.push_back(std::move(*found));
        page.next = result.next;
        co_return page;
    }

    Task<RemoteUploads> list_uploads(std::string continuation) override {
        s3::UploadsPlace from;
        // A key of a blob has no line end.
        if (const size_t line = continuation.find('\n'); line != std::string::npos)
            from = {continuation.substr(0, line), continuation.substr(line + 1)};
        const auto result =
            co_await bucket_.list_uploads("blobs/", std::move(from), clock_.now() + kVerbTime);
        RemoteUploads page;
        static_cast<RemoteAnswer&>(page) = answer_of(result);
        for (const auto& upload : result.uploads)
            if (const auto found = parse_key(Kind::blobs, {upload.key, 0, upload.started}))
                page.uploads.emplace_back(found->digest, upload.upload_id, upload.started);
        if (!result.next.key.empty()) page.next = result.next.key + "\n" + result.next.upload_id;
        co_return page;
    }

    Task<RemoteText> text(Kind kind, RemoteObject object, std::string* media_type) override {
        std::string key;
        if (kind == Kind::tags) {
            const size_t line = object.name.find('\n');
            key = tag_key(object.name.substr(0, line), object.name.substr(line + 1));
        } else {
            key = object_key(room_of(kind), object.digest);
        }
        auto sink = std::make_shared<client::TextSink>();
        const auto got =
            co_await bucket_.get(key, 0, std::nullopt, sink, [](auto) {}, clock_.now() + kVerbTime);
        RemoteText answer;
        static_cast<RemoteAnswer&>(answer) = answer_of(got);
        if (got.cut) answer.end = RemoteEnd::cut;
        answer.text = std::move(sink->text);
        if (kind == Kind::manifests) {
            const size_t line = answer.text.find('\n');
            if (media_type) *media_type = answer.text.substr(0, line);
            answer.text.erase(0, line == std::string::npos ? line : line + 1);
        }
        co_return answer;
    }

private:
    RemoteAnswer answer_of(const s3::Result& result) {
        RemoteAnswer answer;
        answer.detail = result.detail;
        switch (result.outcome) {
            case s3::Outcome::ok:
                answer.end = RemoteEnd::ok;
                break;
            case s3::Outcome::absent:
                answer.end = RemoteEnd::absent;
                break;
            case s3::Outcome::refused:
                answer.end = RemoteEnd::refused;
                break;
            case s3::Outcome::unavailable:
            case s3::Outcome::bad:
                answer.end = RemoteEnd::unavailable;
                break;
        }
        const bool silent =
            answer.end == RemoteEnd::refused || answer.end == RemoteEnd::unavailable;
        quiet_until_ = silent ? (clock_.now() + kQuietTime).time_since_epoch().count() : 0;
        return answer;
    }

    s3::Bucket& bucket_;
    Clock& clock_;
    const std::string name_ = "s3";
    std::atomic<int64_t> quiet_until_{0};
    std::atomic<int> cuts_{0};  // in a row
};

}  // namespace

std::unique_ptr<Remote> make_s3_remote(s3::Bucket& bucket, Clock& clock) {
    return std::make_unique<S3Remote>(bucket, clock);
}

}  // namespace weir::store
