#include "app/refetch.h"

#include <mutex>

#include "base/failure.h"
#include "base/log.h"
#include "crypto/hasher.h"

namespace weir::app {
namespace {

using namespace std::chrono_literals;
constexpr Duration kHeadTime = 30s;

// Writes what arrives to a staging file, and sums it.
class StagingSink : public upstream::BlobSink {
public:
    StagingSink(const oci::Digest& digest, uint64_t size, std::shared_ptr<File> file)
        : size_(size), file_(std::move(file)), hasher_(digest.algorithm()) {}

    client::BodyAction on_head(const upstream::BlobHead& head) override {
        const bool right = head.first == 0 && head.whole_size.value_or(size_) == size_;
        return right ? client::BodyAction::go_on : client::BodyAction::stop;
    }
    client::BodyAction on_data(std::span<const std::byte> data) override {
        if (offset_ + data.size() > size_) return client::BodyAction::stop;
        try {
            file_->write_at(offset_, data);
        } catch (const Failure&) {
            failure_ = std::current_exception();
            return client::BodyAction::stop;
        }
        hasher_.update(data);
        offset_ += data.size();
        return client::BodyAction::go_on;
    }
    // After the transfer.
    bool is(const oci::Digest& digest) const {
        return offset_ == size_ && hasher_.digest() == digest;
    }
    void rethrow() const {
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    const uint64_t size_;
    const std::shared_ptr<File> file_;
    crypto::Hasher hasher_;
    uint64_t offset_ = 0;
    std::exception_ptr failure_;
};

Task<bool> bring(Rooms& rooms, oci::Digest digest, uint64_t size, std::string upstream,
                 std::shared_ptr<cache::Origin> origin) {
    const uint64_t generation =
        co_await rooms.pool.run([&rooms] { return rooms.engine.next_generation(); });
    auto staging = co_await rooms.store.stage(digest, generation, size);
    auto sink = std::make_shared<StagingSink>(digest, size, staging->file);
    std::exception_ptr failure;
    bool right = false, with_login = false;
    try {
        const auto answer =
            co_await origin->read(digest, {}, sink, [](auto) {}, rooms.clock.now() + kHeadTime);
        sink->rethrow();
        with_login = answer.with_login;
        right = answer.end == upstream::TransferEnd::complete && sink->is(digest);
        if (!right)
            log::debug("scrub", "{} from {}: {}", digest.text(), origin->key(), answer.detail);
        if (answer.end == upstream::TransferEnd::complete && !right) origin->report_bad();
        if (right) co_await rooms.store.commit(staging);
    } catch (const Failure&) {
        failure = std::current_exception();
    }
    if (failure || !right) {
        co_await rooms.store.discard(staging);
        if (failure) std::rethrow_exception(failure);
        co_return false;
    }
    const WallTime now = rooms.clock.wall();
    meta::BlobRow row{.digest = digest,
                      .size = size,
                      .generation = generation,
                      .created = now,
                      .accessed = now,
                      .upstream = std::move(upstream),
                      .private_of = with_login ? origin->upstream_name() : ""};
    const bool ours = co_await rooms.pool.run(
        [&rooms, row, origin] { return rooms.engine.put_blob(row, origin->proves()); });
    // The server was faster.
    if (!ours) co_await rooms.store.erase(digest, generation);
    co_return true;
}

}  // namespace

Task<std::string> refetch(Rooms& rooms, oci::Digest digest, uint64_t size,
                          std::optional<std::string> upstream, cache::Origins origins) {
    for (const auto& origin : origins) {
        const std::string whose = upstream.value_or(origin->upstream_name());
        if (co_await bring(rooms, digest, size, whose, origin)) co_return origin->key();
    }
    co_return "";
}

}  // namespace weir::app
