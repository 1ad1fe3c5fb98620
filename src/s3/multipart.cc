#include <fmt/format.h>

#include <algorithm>

#include "async/scope.h"
#include "base/failure.h"
#include "base/log.h"
#include "s3/impl.h"

namespace weir::s3 {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kMaxParts = 10'000;  // S3's own limit
constexpr uint64_t kPartStep = 1 << 20;
constexpr std::chrono::milliseconds kCompleteTime =
    120s;  // S3 puts a large object together meanwhile

uint64_t part_size(uint64_t size, uint64_t wished) {
    const uint64_t least = (size + kMaxParts - 1) / kMaxParts;
    return std::max(wished, (least + kPartStep - 1) / kPartStep * kPartStep);
}

// One upload, on one loop. Outlived by put_parts(), which awaits all of it.
class Multipart {
public:
    Multipart(Service& service, Pool& pool, std::string key, std::shared_ptr<const File> file,
              uint64_t size, TimePoint deadline)
        : service_(service),
          pool_(pool),
          key_(std::move(key)),
          file_(std::move(file)),
          size_(size),
          part_bytes_(part_size(size, service.options.part_bytes)),
          deadline_(deadline),
          parts_(static_cast<size_t>((size + part_bytes_ - 1) / part_bytes_)) {}

    Task<Result> run(Started started) {
        if (Result made = co_await create(); made.outcome != Outcome::ok) co_return made;
        if (started) co_await tell(started);
        Scope scope("s3 parts");
        for (size_t i = 0; i < std::min(service_.options.parallel_parts, parts_.size()); ++i)
            scope.spawn(Loop::current(), [this] { return send_parts(); });
        co_await scope.join();
        Result result = failed_ ? *failed_ : co_await complete();
        if (result.outcome != Outcome::ok && !service_.stopped()) co_await abort();
        co_return result;
    }

private:
    Task<Result> create();
    Task<> tell(const Started& started);
    Task<> send_parts();
    Task<Result> send_part(size_t index, std::shared_ptr<client::Leash> leash);
    Task<Result> complete();
    Task<bool> is_there();
    Task<> abort();
    void fail(Result);

    Service& service_;
    Pool& pool_;
    const std::string key_;
    const std::shared_ptr<const File> file_;
    const uint64_t size_, part_bytes_;
    const TimePoint deadline_;

    std::string id_;
    std::vector<Part> parts_;
    size_t next_ = 0;
    std::vector<std::shared_ptr<client::Leash>> running_;
    std::optional<Result> failed_;
};

Task<Result> Multipart::create() {
    Ask ask;
    ask.verb = Verb::create;
    ask.method = "POST";
    ask.key = key_;
    ask.query = {{"uploads", ""}};
    ask.fields = object_fields(service_.options);
    ask.content_type = "application/octet-stream";
    const Answer answer = co_await service_.ask(std::move(ask), deadline_);
    if (answer.outcome == Outcome::absent)
        co_return Result{Outcome::bad, answer.detail};  // nothing was asked for that could be
    if (answer.outcome != Outcome::ok) co_return answer;
    auto id = read_upload_id(answer.body);
    if (!id) co_return Result{Outcome::bad, fmt::format("create {}: no UploadId", key_)};
    id_ = *std::move(id);
    co_return Result{};
}

// An id that nobody could write down is not worth a part.
Task<> Multipart::tell(const Started& started) {
    try {
        co_await started(id_);
    } catch (const Failure& failure) {
        fail({Outcome::bad, failure.what()});
    }
}

// One of several that run at the same time: takes the next part until there is none.
Task<> Multipart::send_parts() {
    const auto leash = std::make_shared<client::Leash>();
    running_.push_back(leash);
    while (!failed_ && next_ < parts_.size()) {
        Result sent = co_await send_part(next_++, leash);
        if (sent.outcome != Outcome::ok) fail(std::move(sent));
    }
    std::erase(running_, leash);
}

// The first failure ends the other parts too.
void Multipart::fail(Result result) {
    if (failed_) return;
    failed_ = std::move(result);
    for (const auto& leash : running_) leash->cancel();
}

Task<Result> Multipart::send_part(size_t index, std::shared_ptr<client::Leash> leash) {
    const uint64_t from = index * part_bytes_;
    const uint64_t bytes = std::min(part_bytes_, size_ - from);
    Ask ask;
    try {
        ask.payload_hash = co_await pool_.run(
            [file = file_, from, bytes] { return file_sha256(*file, from, bytes); });
    } catch (const Failure& failure) {
        co_return Result{Outcome::bad, failure.what()};
    }
    ask.verb = Verb::part;
    ask.method = "PUT";
    ask.key = key_;
    ask.query = {{"partNumber", std::to_string(index + 1)}, {"uploadId", id_}};
    ask.upload = std::make_shared<FileUpload>(file_, from);
    ask.upload_bytes = bytes;
    ask.leash = std::move(leash);
    const Answer answer = co_await service_.ask(std::move(ask), deadline_);
    if (answer.outcome == Outcome::absent) co_return Result{Outcome::bad, answer.detail};
    if (answer.outcome != Outcome::ok) co_return answer;
    const std::string etag(answer.head.fields.get("ETag"));
    if (etag.empty()) co_return Result{Outcome::bad, fmt::format("part {}: no ETag", key_)};
    parts_[index] = {static_cast<uint32_t>(index + 1), etag};
    co_return Result{};
}

Task<Result> Multipart::complete() {
    Ask ask;
    ask.verb = Verb::complete;
    ask.method = "POST";
    ask.key = key_;
    ask.query = {{"uploadId", id_}};
    ask.body = write_complete(parts_);
    ask.content_type = "application/xml";
    ask.least_response = kCompleteTime;
    const Answer answer = co_await service_.ask(std::move(ask), deadline_);
    Result out = answer;
    if (out.outcome == Outcome::absent) out.outcome = Outcome::bad;
    if (out.outcome == Outcome::ok && !is_completed(answer.body))
        out = {Outcome::bad, fmt::format("complete {}: an answer that says nothing", key_)};
    if (out.outcome == Outcome::ok) co_return out;
    // The answer may have been lost after the work was done; a second try then finds no upload.
    const bool unclear = out.outcome == Outcome::unavailable || answer.code == "NoSuchUpload";
    if (unclear && co_await is_there()) co_return Result{};
    co_return out;
}

Task<bool> Multipart::is_there() {
    Ask ask;
    ask.verb = Verb::head;
    ask.method = "HEAD";
    ask.key = key_;
    const TimePoint until = std::max(deadline_, service_.clock.now() + kCleanUpTime);
    const Answer answer = co_await service_.ask(std::move(ask), until);
    co_return answer.outcome == Outcome::ok&& answer.head.content_length == size_;
}

Task<> Multipart::abort() {
    Ask ask;
    ask.verb = Verb::abort;
    ask.method = "DELETE";
    ask.key = key_;
    ask.query = {{"uploadId", id_}};
    const Answer answer =
        co_await service_.ask(std::move(ask), service_.clock.now() + kCleanUpTime);
    if (answer.outcome != Outcome::ok && answer.code != "NoSuchUpload")
        log::warn("s3", "an upload of {} is left behind: {}", key_, answer.detail);
}

}  // namespace

Task<Result> put_parts(Service& service, Pool& pool, std::string key,
                       std::shared_ptr<const File> file, uint64_t size, Started started,
                       TimePoint deadline) {
    Multipart upload(service, pool, std::move(key), std::move(file), size, deadline);
    co_return co_await upload.run(std::move(started));
}

}  // namespace weir::s3
