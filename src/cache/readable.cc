#include "cache/readable.h"

#include "cache/past_disk.h"

#include <algorithm>

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
// A reader that has caught up is woken for this much, or after kBatchTime for less: a wake-up for
// each piece that a transfer brings (16 to 128 KiB) would cost more than moving it.
constexpr uint64_t kBatchBytes = 512 * 1024;
constexpr Duration kBatchTime = 2ms;
// A fetch hashes piece by piece: between two of them its sum can be had.
constexpr int kLooks = 100;
constexpr Duration kLookTime = 1ms;

class StoredReader : public BlobReader {
public:
    StoredReader(std::shared_ptr<const StoredReadable> from, uint64_t first, uint64_t length)
        : from_(std::move(from)), first_(first), offset_(first), left_(length) {}

    Task<std::optional<Bytes>> next(uint64_t max) override {
        if (relay_) co_return co_await relay_->next(max);
        if (left_ == 0) co_return std::nullopt;
        if (unreadable_ || !from_->file()) {
            relay_ = co_await from_->read_past_disk(first_, offset_, left_);
            if (gone_) relay_->leave();
            co_return co_await relay_->next(max);
        }
        FileBytes bytes;
        bytes.file = from_->file();
        bytes.offset = offset_;
        bytes.length = std::min(left_, max);
        offset_ += bytes.length;
        left_ -= bytes.length;
        co_return Bytes(std::move(bytes));
    }

    bool unreadable(uint64_t left) override {
        offset_ -= left;
        left_ += left;
        return unreadable_ = true;
    }

    void leave() override {
        gone_ = true;
        if (relay_) relay_->leave();
    }

private:
    const std::shared_ptr<const StoredReadable> from_;
    const uint64_t first_;
    uint64_t offset_, left_;
    bool unreadable_ = false, gone_ = false;
    std::unique_ptr<BlobReader> relay_;
};

class FetchReader : public BlobReader {
public:
    FetchReader(std::shared_ptr<Fetch> fetch, Relays& relays, uint64_t first, uint64_t length)
        : fetch_(std::move(fetch)),
          interest_(fetch_),
          relays_(relays),
          first_(first),
          offset_(first),
          left_(length) {}

    Task<std::optional<Bytes>> next(uint64_t max) override {
        if (relay_) co_return co_await relay_->next(max);
        if (left_ == 0) co_return std::nullopt;
        bool unkept = unreadable_;
        if (!unkept) try {
                const uint64_t count = co_await readable();
                FileBytes bytes;
                bytes.file = fetch_->file();
                bytes.offset = offset_;
                bytes.length = std::min({left_, max, count});
                bytes.hot = true;
                offset_ += bytes.length;
                left_ -= bytes.length;
                last_ = Loop::current().now();
                co_return Bytes(std::move(bytes));
            } catch (const Failure& failure) {
                if (!is_disk_fault(failure)) throw;
                unkept = true;
            }
        if (unkept) {
            relay_ = co_await go_on_by_relay();
            if (departure_.gone) relay_->leave();
        }
        co_return co_await relay_->next(max);
    }

    bool unreadable(uint64_t left) override {
        offset_ -= left;
        left_ += left;
        return unreadable_ = true;
    }

    void leave() override {
        departure_.go();
        if (relay_) relay_->leave();
    }

private:
    Task<uint64_t> readable() {
        const uint64_t at_least = std::min(left_, kBatchBytes);
        const TimePoint soft = std::max(last_ + kBatchTime, TimePoint{});
        co_return co_await fetch_->readable_from(offset_, at_least, soft, promises_whole(),
                                                 &departure_);
    }

    // A short range of a blob is given as it comes, like the range of one that is only partly
    // there; everything longer ends with a byte that is withheld until the whole is verified.
    bool promises_whole() const {
        return first_ == 0 || left_ + (offset_ - first_) > kUnverifiedRangeBytes;
    }

    Task<std::unique_ptr<BlobReader>> go_on_by_relay() {
        RelayRequest request;
        request.digest = fetch_->digest();
        request.first = offset_;
        request.length = left_;
        request.size = fetch_->size();
        request.origins = fetch_->origins();
        if (first_ == 0 && offset_ > 0) {
            request.prefix = fetch_->file();
            request.shown = co_await shown();
        }
        co_return relays_.open(std::move(request));
    }

    // What vouches for the bytes that this reader was given, should the file be unreadable.
    Task<std::optional<RelayRequest::Shown>> shown() {
        for (int look = 0; look < kLooks; ++look) {
            if (const auto front = fetch_->front()) {
                if (front->length < offset_) break;
                co_return RelayRequest::Shown{front->length, front->sum};
            }
            co_await sleep_for(kLookTime);
        }
        co_return std::nullopt;
    }

    static constexpr uint64_t kUnverifiedRangeBytes = 4ull << 20;

    std::shared_ptr<Fetch> fetch_;
    Fetch::Interest interest_;
    Relays& relays_;
    uint64_t first_, offset_, left_;
    TimePoint last_{};
    Departure departure_;
    bool unreadable_ = false;
    std::unique_ptr<BlobReader> relay_;
};

}  // namespace

std::unique_ptr<BlobReader> BlobView::reader(uint64_t first, uint64_t length) const {
    return readable->reader(first, length);
}

std::unique_ptr<BlobReader> StoredReadable::reader(uint64_t first, uint64_t length) const {
    return std::make_unique<StoredReader>(shared_from_this(), first, length);
}

Task<std::unique_ptr<BlobReader>> StoredReadable::read_past_disk(uint64_t begun, uint64_t first,
                                                                 uint64_t length) const {
    RelayRequest rest;
    rest.digest = digest_;
    rest.first = first;
    rest.length = length;
    rest.size = size_;
    if (begun == 0 && first > 0) {
        rest.prefix = file_;
        rest.shown = RelayRequest::Shown{};
    }
    return blobs_.read_past_disk(target_, std::move(rest));
}

std::unique_ptr<BlobReader> FetchReadable::reader(uint64_t first, uint64_t length) const {
    return std::make_unique<FetchReader>(fetch_, relays_, first, length);
}

std::unique_ptr<BlobReader> RelayReadable::reader(uint64_t first, uint64_t length) const {
    RelayRequest request;
    request.digest = digest_;
    request.first = first;
    request.length = length;
    request.size = size_;
    request.origins = origins_;
    return relays_.open(std::move(request));
}

}  // namespace weir::cache
