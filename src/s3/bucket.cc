#include "s3/bucket.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/failure.h"
#include "base/text.h"
#include "crypto/hasher.h"
#include "s3/impl.h"
#include "s3/sums.h"

namespace weir::s3 {
namespace {

constexpr size_t kHashBytes = 256 * 1024;
constexpr uint64_t kMaxSinglePutBytes = 5ull << 30;  // S3's own limit
constexpr uint64_t kMinPartBytes = 5ull << 20;       // too

BucketOptions within_limits(BucketOptions options) {
    options.single_put_bytes = std::min(options.single_put_bytes, kMaxSinglePutBytes);
    options.part_bytes = std::clamp(options.part_bytes, kMinPartBytes, kMaxSinglePutBytes);
    options.parallel_parts = std::max<size_t>(options.parallel_parts, 1);
    options.max_attempts = std::max<uint32_t>(options.max_attempts, 1);
    return options;
}

Result result_of(const Answer& answer) {
    return answer;
}

Result bad(std::string why) {
    return {Outcome::bad, std::move(why)};
}

}  // namespace

const char* outcome_name(Outcome outcome) {
    switch (outcome) {
        case Outcome::ok:
            return "ok";
        case Outcome::absent:
            return "absent";
        case Outcome::refused:
            return "refused";
        case Outcome::unavailable:
            return "unavailable";
        case Outcome::bad:
            return "bad";
    }
    return "bad";
}

Pairs object_fields(const BucketOptions& options) {
    Pairs fields;
    if (!options.storage_class.empty() && options.storage_class != "NONE")
        fields.emplace_back("x-amz-storage-class", options.storage_class);
    if (!options.encrypt) return fields;
    const bool kms = !options.kms_key_id.empty();
    fields.emplace_back("x-amz-server-side-encryption", kms ? "aws:kms" : "AES256");
    if (kms) fields.emplace_back("x-amz-server-side-encryption-aws-kms-key-id", options.kms_key_id);
    return fields;
}

std::string file_sha256(const File& file, uint64_t from, uint64_t bytes) {
    crypto::Hasher hasher(oci::Digest::Algorithm::sha256);
    std::vector<std::byte> buffer(static_cast<size_t>(std::min<uint64_t>(bytes, kHashBytes)));
    while (bytes > 0) {
        const auto wanted =
            std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(bytes, buffer.size())));
        const size_t got = file.read_at(from, wanted);
        if (got == 0) throw Failure(Kind::io, "the file is shorter than it was said to be");
        hasher.update(wanted.first(got));
        from += got;
        bytes -= got;
    }
    return hasher.digest().hex();
}

Bucket::Bucket(BucketOptions options, client::HttpClient& http, CredentialChain& chain, Pool& pool,
               Clock& clock, Random& random)
    : impl_(new Impl{{within_limits(std::move(options)), http, chain, clock, random}, pool}) {}
Bucket::~Bucket() = default;

void Bucket::stop() {
    impl_->service.stop();
}

const BucketOptions& Bucket::options() const {
    return impl_->service.options;
}

Task<HeadResult> Bucket::head(std::string key, TimePoint deadline) {
    Ask ask;
    ask.verb = Verb::head;
    ask.method = "HEAD";
    ask.key = impl_->service.key(key);
    const Answer answer = co_await impl_->service.ask(ask, deadline);
    HeadResult out{result_of(answer), 0};
    if (out.outcome == Outcome::absent) {
        // A 404 without words may be of the bucket or the user. A GET's has words.
        ask.method = "GET";
        ask.fields = {{"Range", "bytes=0-0"}};
        const Answer words = co_await impl_->service.ask(std::move(ask), deadline);
        out = {result_of(words), 0};
        if (out.outcome == Outcome::ok) out = {bad("head: absent and there"), 0};
    }
    if (out.outcome != Outcome::ok) co_return out;
    if (!answer.head.content_length) co_return HeadResult{bad("HEAD without a Content-Length"), 0};
    out.size = *answer.head.content_length;
    co_return out;
}

Task<Result> Bucket::put(std::string key, std::shared_ptr<const File> file, uint64_t size,
                         std::string sha256_hex, Started started, TimePoint deadline) {
    Impl& impl = *impl_;
    if (size > impl.service.options.single_put_bytes)
        co_return co_await put_parts(impl.service, impl.pool, impl.service.key(key), file, size,
                                     started, deadline);
    Ask ask;
    ask.verb = Verb::put;
    ask.method = "PUT";
    ask.key = impl.service.key(key);
    ask.fields = object_fields(impl.service.options);
    ask.content_type = "application/octet-stream";
    ask.payload_hash = std::move(sha256_hex);
    ask.upload = std::make_shared<FileUpload>(file, 0);
    ask.upload_bytes = size;
    if (ask.payload_hash.empty()) {
        try {
            ask.payload_hash =
                co_await impl.pool.run([file, size] { return file_sha256(*file, 0, size); });
        } catch (const Failure& failure) {
            co_return bad(failure.what());
        }
    }
    co_return result_of(co_await impl.service.ask(std::move(ask), deadline));
}

Task<Result> Bucket::put_text(std::string key, std::string text, TimePoint deadline) {
    Ask ask;
    ask.verb = Verb::put;
    ask.method = "PUT";
    ask.key = impl_->service.key(key);
    ask.fields = object_fields(impl_->service.options);
    ask.fields.emplace_back("Content-MD5", md5_base64(text));
    ask.content_type = "application/octet-stream";
    ask.body = std::move(text);
    co_return result_of(co_await impl_->service.ask(std::move(ask), deadline));
}

Task<Result> Bucket::abort(std::string key, std::string upload_id, TimePoint deadline) {
    Ask ask;
    ask.verb = Verb::abort;
    ask.method = "DELETE";
    ask.key = impl_->service.key(key);
    ask.query = {{"uploadId", std::move(upload_id)}};
    const Answer answer = co_await impl_->service.ask(std::move(ask), deadline);
    if (answer.code == "NoSuchUpload" || answer.outcome == Outcome::absent) co_return Result{};
    co_return result_of(answer);
}

Task<Result> Bucket::remove(std::string key, TimePoint deadline) {
    Ask ask;
    ask.verb = Verb::remove;
    ask.method = "DELETE";
    ask.key = impl_->service.key(key);
    const Answer answer = co_await impl_->service.ask(std::move(ask), deadline);
    if (answer.outcome == Outcome::absent) co_return Result{};
    co_return result_of(answer);
}

Task<Result> Bucket::remove_many(std::vector<std::string> keys, std::vector<std::string>* failed,
                                 TimePoint deadline) {
    if (failed) failed->clear();
    if (keys.empty()) co_return Result{};
    if (keys.size() > kMaxRemoved) co_return bad("too many keys for one request");
    std::vector<std::string> whole;
    for (const auto& key : keys) whole.push_back(impl_->service.key(key));
    Ask ask;
    ask.verb = Verb::remove_many;
    ask.method = "POST";
    ask.query = {{"delete", ""}};
    ask.body = write_delete(whole);
    ask.content_type = "application/xml";
    ask.fields = {{"Content-MD5", md5_base64(ask.body)}};
    const Answer answer = co_await impl_->service.ask(std::move(ask), deadline);
    Result out = result_of(answer);
    if (out.outcome == Outcome::absent) out.outcome = Outcome::bad;
    const auto errors = out.outcome == Outcome::ok ? read_deleted(answer.body) : std::nullopt;
    if (out.outcome == Outcome::ok && !errors) out = bad("remove_many: an answer without a list");
    if (!errors) {
        if (failed) *failed = std::move(keys);
        co_return out;
    }
    for (const auto& error : *errors) {
        if (error.code == "NoSuchKey") continue;
        const auto at = std::ranges::find(whole, error.key);
        if (at != whole.end() && failed)
            failed->push_back(keys[static_cast<size_t>(at - whole.begin())]);
        if (out.detail.empty())
            out.detail = fmt::format("remove_many {}: {} {}", error.key, error.code, error.message);
    }
    co_return out;
}

Task<ListResult> Bucket::list(std::string key_prefix, std::string continuation,
                              TimePoint deadline) {
    Ask ask;
    ask.verb = Verb::list;
    const std::string before = impl_->service.key("");
    ask.query = {{"list-type", "2"}, {"prefix", before + key_prefix}};
    if (!continuation.empty()) ask.query.emplace_back("continuation-token", continuation);
    const Answer answer = co_await impl_->service.ask(std::move(ask), deadline);
    ListResult out{result_of(answer), {}, {}};
    if (out.outcome == Outcome::absent) out.outcome = Outcome::bad;
    if (out.outcome != Outcome::ok) co_return out;
    auto listed = read_list(answer.body);
    if (!listed) co_return ListResult{bad("list: an answer without a list"), {}, {}};
    for (auto& object : listed->objects)
        if (object.key.starts_with(before))
            out.objects.emplace_back(object.key.substr(before.size()), object.size,
                                     object.modified);
    out.next = std::move(listed->next);
    co_return out;
}

Task<UploadsResult> Bucket::list_uploads(std::string key_prefix, UploadsPlace from,
                                         TimePoint deadline) {
    Ask ask;
    ask.verb = Verb::list;
    const std::string before = impl_->service.key("");
    ask.query = {{"uploads", ""}, {"prefix", before + key_prefix}};
    if (!from.key.empty()) ask.query.emplace_back("key-marker", from.key);
    if (!from.upload_id.empty()) ask.query.emplace_back("upload-id-marker", from.upload_id);
    const Answer answer = co_await impl_->service.ask(std::move(ask), deadline);
    UploadsResult out{result_of(answer), {}, {}};
    if (out.outcome == Outcome::absent) out.outcome = Outcome::bad;
    if (out.outcome != Outcome::ok) co_return out;
    auto listed = read_uploads(answer.body);
    if (!listed) co_return UploadsResult{bad("list_uploads: an answer without a list"), {}, {}};
    for (auto& upload : listed->uploads)
        if (upload.key.starts_with(before + key_prefix))
            out.uploads.emplace_back(upload.key.substr(before.size()), upload.upload_id,
                                     upload.started);
    out.next = {std::move(listed->next_key), std::move(listed->next_upload_id)};
    co_return out;
}

Task<std::optional<std::string>> Bucket::presigned_get(std::string key, std::chrono::seconds valid,
                                                       TimePoint deadline) {
    co_return co_await impl_->service.presigned(impl_->service.key(key), valid, deadline);
}

}  // namespace weir::s3
