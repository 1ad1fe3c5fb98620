// cache/segment.h: one range of a blob on its way from an origin into the staging file.
//
// Lives through several attempts: after a break it goes on from `position`, perhaps at another
// origin. As a sink it is called on a transfer thread; `position`, `limit` and the rest are guarded
// by the fetch's mutex.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "async/signal.h"
#include "cache/fetch.h"
#include "upstream/upstream.h"

namespace weir::cache {

class Segment : public upstream::BlobSink, public std::enable_shared_from_this<Segment> {
public:
    Segment(std::shared_ptr<Fetch> fetch, uint64_t first, uint64_t limit, uint64_t suffix,
            bool urgent)
        : position(first), limit(limit), suffix(suffix), urgent(urgent), fetch_(std::move(fetch)) {}

    client::BodyAction on_head(const upstream::BlobHead&) override;
    client::BodyAction on_data(std::span<const std::byte>) override;
    bool gathers() const override { return true; }

    // Before each attempt.
    void begin(std::shared_ptr<Origin> origin);
    // Keeps the handle; cancels at once when the fetch has ended meanwhile.
    void started(std::shared_ptr<client::TransferHandle> handle);
    // The origin says another size than is known.
    void contradicted(uint64_t whole_size);
    // All of it has arrived. The fetch's mutex is held.
    bool done() const { return suffix == 0 && position >= limit; }

    // Guarded by the fetch's mutex.
    uint64_t position;  // the next byte that is missing
    uint64_t limit;     // exclusive; UINT64_MAX: to the end, wherever that is
    uint64_t suffix;    // > 0: position isn't known before the head
    bool urgent;
    std::shared_ptr<client::TransferHandle> handle;
    bool answered = false;       // its head has come, and it is under way
    bool all = false;            // ... and the whole comes, whatever was asked for
    std::optional<Firing> wake;  // of its coroutine, while it waits between rounds
    std::shared_ptr<Origin> origin;
    uint64_t attempt_bytes = 0;  // that arrived in this attempt
    bool contradicts = false;    // ... about the blob's size
    bool bad = false;            // the origin's answer contradicts what is known
    std::string problem;

private:
    // A run of bytes that are there already and longer than this is stepped over with a new
    // request, not swallowed.
    static constexpr uint64_t kSwallowBytes = 1 << 20;

    struct Step {
        enum class What { write, skip, stop, reserve } what;
        uint64_t bytes = 0;
    };
    Step next_step(uint64_t available);
    client::BodyAction under_way();

    std::shared_ptr<Fetch> fetch_;
    uint64_t cursor_ = 0;      // offset of the next byte of the answer; transfer thread only
    bool from_start_ = false;  // the origin ignores ranges: a new request would begin there again
};

}  // namespace weir::cache
