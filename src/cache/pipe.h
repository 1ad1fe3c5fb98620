// cache/pipe.h: the bounded window through which a relayed blob passes to its readers.
//
// One transfer fills it, any number of readers follow, each at its own offset; what all of them
// have read makes room. Memory: the window, at most `capacity` and one piece of a transfer, however
// many read.
//
// Who may join: a reader of the same bytes, with the same end and the same origins, whose first
// byte is still in the window or is the next one to come; for kGatherTime the window stays where it
// begins, so that those who come at the same time find each other. Who comes later gets a pipe of
// its own.
//
// Who may stay: readers that keep up. Where one has waited for kLagTime in all, and for half of its
// life, and the window has no room, those that have not caught up for so long go on by another
// pipe, which begins with what the window holds for them; the slow ones go on together.
//
// A sleeping reader holds no place: a transfer that has been paused for kPauseTime in all is ended
// (rests), the window is cut to kRestBytes beyond the reader that is furthest, and from then on the
// rest is asked for in closed ranges of that size, each when the window is nearly empty. A reader
// that empties them at once gets larger ones, and in the end a transfer without end again. The
// transfer of an origin that ignores ranges is not ended: it would begin at 0 again.
//
// A pipe of the whole blob, up to its last byte, verifies: that byte is withheld until the digest
// is right.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "async/signal.h"
#include "base/clock.h"
#include "base/file.h"
#include "cache/origin.h"
#include "crypto/hasher.h"

namespace weir::cache {

struct RelayRequest {
    oci::Digest digest;
    uint64_t first = 0;
    uint64_t length = 0;
    std::optional<uint64_t> size;  // of the whole
    Origins origins;
    // The bytes [0, first) of the blob, when the reader was given them from this file: they are
    // hashed first, so that the whole is verified all the same.
    std::shared_ptr<const File> prefix;
    // When that file can't be read: all of the blob is asked for anew, and only given from `first`
    // on. What the reader was given is part of the first `length` bytes, which had this sum, and
    // have to have it again; no sum: they were verified when they were stored.
    struct Shown {
        uint64_t length = 0;
        std::optional<oci::Digest> sum;
    };
    std::optional<Shown> shown;
};

// Between a transfer thread (sink), the runner coroutine and the readers. Any thread.
class Pipe : public upstream::BlobSink {
public:
    static constexpr Duration kLagTime = std::chrono::seconds(2);
    static constexpr Duration kPauseTime = std::chrono::seconds(1);
    static constexpr Duration kAtOnce = std::chrono::milliseconds(250);
    // A reader that waits asks again after this, so that its waiting is seen.
    static constexpr Duration kAskAgain = std::chrono::milliseconds(500);
    static constexpr Duration kGatherTime = std::chrono::milliseconds(100);
    static constexpr uint64_t kRestBytes = 128 * 1024;

    Pipe(RelayRequest request, uint64_t capacity, Clock& clock);

    client::BodyAction on_head(const upstream::BlobHead&) override;
    client::BodyAction on_data(std::span<const std::byte>) override;

    // --- readers
    // A number for the reader; nullopt: not with this pipe.
    std::optional<uint64_t> join(const RelayRequest&);
    struct Taken {
        std::shared_ptr<const std::string> piece;  // keeps `bytes`
        std::span<const std::byte> bytes;
        bool end = false;
    };
    // What may be given now; nullopt: nothing yet, and `firing` is fired when that changes. Throws
    // what ended the pipe.
    std::optional<Taken> take(uint64_t number, uint64_t max, const Firing& firing);
    // Where the reader goes on, and under which number, after it was parted from the others.
    struct Moved {
        std::shared_ptr<Pipe> to;
        uint64_t number = 0;
    };
    std::optional<Moved> moved(uint64_t number);
    // The last one ends the pipe.
    void leave(uint64_t number);

    // --- the runner
    const RelayRequest& request() const { return request_; }
    // true once: the caller starts the runner.
    bool take_start();
    // The prefix is to be hashed before anything is asked for.
    bool wants_prefix() const { return request_.prefix && verify_ && !cloned_; }
    crypto::Hasher& hasher() { return hasher_; }
    // What the reader has been given can't be read any more: the blob passes from its start.
    void begin_anew();
    // Whether more bytes are wanted now; else `firing` is fired when they are, or all is over.
    bool wanted(const Firing& firing);
    upstream::BlobRange next_range() const;
    // A transfer has ended: it was to rest, or what it was asked for is enough for now.
    bool rests();
    void started(std::shared_ptr<client::TransferHandle>);
    // When a pause is to be looked at, unless it ends before; `firing` is fired when that changes.
    TimePoint rest_due(const Firing& firing);
    // Goes on when it only waited for company, else ends the transfer.
    void rest(TimePoint now);

    uint64_t position() const;
    bool over() const;
    // An origin says another size than the request was made with.
    bool contradicted() const;
    uint64_t window_bytes() const;
    void fail(std::exception_ptr);
    // weir is about to go: what waits in the window is not given any more.
    void stop();

private:
    struct Piece {
        uint64_t first = 0;
        std::shared_ptr<const std::string> bytes;
        std::optional<crypto::Hasher> before;  // the sum of all that precedes it
        uint64_t end() const { return first + bytes->size(); }
    };
    struct Reader {
        uint64_t offset = 0;
        std::optional<TimePoint> behind_since;  // none: it has all that came
        TimePoint joined{};
        std::optional<TimePoint> hungry_since;  // it waits
        Duration hungry_for{};
        std::optional<Firing> waiting;
    };
    using Wakes = std::vector<Firing>;

    bool starves_locked(Reader&, TimePoint now) const;
    void part_from_laggards_locked(TimePoint now, Wakes& wakes);
    bool lacks_room_locked() const;

    // What lies in the window from `offset` on.
    Pipe(const Pipe& from, uint64_t offset);

    bool has_room_locked(uint64_t bytes);
    void drop_read_locked();
    bool wanted_locked() const;
    uint64_t least_offset_locked() const;
    uint64_t most_offset_locked() const;
    uint64_t capacity_locked() const { return resting_bytes_ ? *resting_bytes_ : capacity_; }
    void append_locked(std::span<const std::byte> fresh, std::optional<crypto::Hasher> before);
    void cut_window_locked(uint64_t end);
    void unpause_locked(TimePoint now);
    std::shared_ptr<client::TransferHandle> make_progress_locked(Wakes& wakes);
    void wake_readers_locked(Wakes& wakes);
    bool hash_locked(std::span<const std::byte> fresh);
    void end_locked();

    const RelayRequest request_;
    const uint64_t capacity_;
    const uint64_t end_;
    Clock& clock_;
    const bool cloned_ = false;
    const TimePoint gathers_until_{};

    mutable std::mutex mutex_;
    std::deque<Piece> pieces_;
    uint64_t position_;    // the next byte that is missing
    uint64_t cursor_ = 0;  // offset of the next byte of the answer
    bool verify_ = false;
    crypto::Hasher hasher_;  // of all before position_

    std::map<uint64_t, Reader> readers_;
    std::map<uint64_t, Moved> moved_;
    uint64_t numbers_ = 0;
    bool begun_ = false;

    bool paused_ = false, resting_ = false, ignores_ranges_ = false;
    TimePoint paused_since_{};
    Duration paused_for_{};                  // in this transfer, before the pause that is now
    std::optional<uint64_t> resting_bytes_;  // the size of closed ranges, once it rested
    TimePoint asked_enough_{};               // when the last closed range had come
    bool closed_ = false, done_ = false, contradicted_ = false;
    std::exception_ptr error_;
    std::shared_ptr<client::TransferHandle> handle_;
    std::optional<Firing> runner_, minder_;
};

}  // namespace weir::cache
