#include "cache/relay.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "cache/past_disk.h"
#include "crypto/hasher.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
using client::BodyAction;
constexpr int kRounds = 3;
constexpr Duration kRoundDelay = 100ms;
constexpr uint64_t kHashStepBytes = 1 << 20;
}  // namespace

// Between a transfer thread (sink), the runner coroutine and the reader. Any thread.
class Pipe : public upstream::BlobSink {
public:
    Pipe(RelayRequest request, uint64_t capacity)
        : request_(std::move(request)),
          capacity_(capacity),
          position_(request_.first),
          end_(request_.first + request_.length),
          hasher_(request_.digest.algorithm()) {
        const bool to_end = request_.size && end_ == *request_.size;
        verify_ = to_end && (request_.first == 0 || request_.prefix);
    }

    const RelayRequest& request() const { return request_; }
    bool verifies() const { return verify_; }
    crypto::Hasher& hasher() { return hasher_; }

    BodyAction on_head(const upstream::BlobHead& head) override {
        std::lock_guard lock(mutex_);
        cursor_ = head.first;
        const bool other_size =
            request_.size && head.whole_size && *head.whole_size != *request_.size;
        contradicted_ = contradicted_ || other_size;
        if (closed_ || head.first > position_ || other_size) return BodyAction::stop;
        return BodyAction::go_on;
    }

    BodyAction on_data(std::span<const std::byte> data) override {
        std::optional<Firing> wake;
        bool stop = false;
        {
            std::lock_guard lock(mutex_);
            if (closed_) return BodyAction::stop;
            if (!buffer_.empty() && buffer_.size() + data.size() > capacity_) {
                paused_ = true;
                return BodyAction::pause;
            }
            const uint64_t skip = std::min<uint64_t>(position_ - cursor_, data.size());
            const auto fresh =
                data.subspan(skip).first(std::min<uint64_t>(data.size() - skip, end_ - position_));
            cursor_ += data.size();
            if (!verify_ || hash_locked(fresh)) {
                const uint64_t given = request_.first - std::min(request_.first, position_);
                buffer_.append(as_text(fresh.subspan(std::min<uint64_t>(given, fresh.size()))));
                position_ += fresh.size();
                stop = position_ == end_ && cursor_ > end_;
                if (position_ == end_) end_locked();
            } else {
                stop = true;
            }
            wake = reader_;
        }
        if (wake) wake->fire();
        return stop ? BodyAction::stop : BodyAction::go_on;
    }

    // What the reader has been given can't be read any more: the blob passes from its start.
    void begin_anew() {
        std::lock_guard lock(mutex_);
        hasher_ = crypto::Hasher(request_.digest.algorithm());
        position_ = 0;
    }

    void started(std::shared_ptr<client::TransferHandle> handle) {
        bool cancel = false;
        {
            std::lock_guard lock(mutex_);
            handle_ = handle;
            paused_ = false;
            cancel = closed_;
        }
        if (cancel) handle->cancel();
    }

    void fail(std::exception_ptr error) {
        std::optional<Firing> wake;
        {
            std::lock_guard lock(mutex_);
            if (!done_ && !error_) error_ = std::move(error);
            wake = reader_;
        }
        if (wake) wake->fire();
    }

    // weir is about to go: what waits in the buffer is not given any more.
    void stop() {
        fail(std::make_exception_ptr(Failure(Kind::draining, "weir is shutting down")));
        {
            std::lock_guard lock(mutex_);
            if (error_) buffer_.clear();
        }
        close();
    }

    // The reader is gone.
    void close() {
        std::shared_ptr<client::TransferHandle> handle;
        {
            std::lock_guard lock(mutex_);
            closed_ = true;
            handle = handle_;
        }
        if (handle) handle->cancel();
    }

    // Moves what may be given into `out`. false: nothing yet (and `firing` is registered).
    bool take(std::string& out, uint64_t max, const Firing& firing) {
        std::shared_ptr<client::TransferHandle> resume;
        {
            std::lock_guard lock(mutex_);
            const uint64_t withheld = verify_ && !done_ && position_ == end_ ? 1 : 0;
            const uint64_t ready = buffer_.size() - std::min<uint64_t>(withheld, buffer_.size());
            if (ready == 0) {
                if (error_) std::rethrow_exception(error_);
                reader_.emplace(firing);
                return done_ && buffer_.empty();
            }
            const uint64_t count = std::min(ready, max);
            if (count == buffer_.size()) {
                out.swap(buffer_);
                buffer_.clear();
            } else {
                out.assign(buffer_, 0, count);
                buffer_.erase(0, count);
            }
            if (paused_) {
                paused_ = false;
                resume = handle_;
            }
        }
        if (resume) resume->resume();
        return true;
    }

    uint64_t position() const {
        std::lock_guard lock(mutex_);
        return position_;
    }
    bool over() const {
        std::lock_guard lock(mutex_);
        return closed_ || done_ || error_;
    }
    uint64_t end() const { return end_; }
    // An origin says another size than the request was made with.
    bool contradicted() const {
        std::lock_guard lock(mutex_);
        return contradicted_;
    }

private:
    // false: these bytes are not those that the reader was given.
    bool hash_locked(std::span<const std::byte> fresh) {
        const auto& shown = request_.shown;
        const uint64_t bound = shown && shown->sum ? shown->length : 0;
        if (position_ < bound && bound <= position_ + fresh.size()) {
            const auto front = fresh.first(bound - position_);
            hasher_.update(front);
            fresh = fresh.subspan(front.size());
            if (hasher_.digest() != *shown->sum) {
                error_ = std::make_exception_ptr(Failure(
                    Kind::upstream_bad, fmt::format("what was given of {} is not what comes now",
                                                    request_.digest.text())));
                return false;
            }
        }
        hasher_.update(fresh);
        return true;
    }
    void end_locked() {
        if (!verify_ || hasher_.digest() == request_.digest) {
            done_ = true;
        } else {
            error_ = std::make_exception_ptr(
                Failure(Kind::upstream_bad,
                        fmt::format("what the upstream sent is not {}", request_.digest.text())));
        }
    }

    const RelayRequest request_;
    const uint64_t capacity_;
    mutable std::mutex mutex_;
    std::string buffer_;
    uint64_t position_;
    const uint64_t end_;
    uint64_t cursor_ = 0;
    bool verify_ = false;
    crypto::Hasher hasher_;
    bool paused_ = false, closed_ = false, done_ = false, contradicted_ = false;
    std::exception_ptr error_;
    std::shared_ptr<client::TransferHandle> handle_;
    std::optional<Firing> reader_;
};

namespace {

void hash_prefix(Pipe& pipe) {
    std::vector<std::byte> buffer(kHashStepBytes);
    const RelayRequest& request = pipe.request();
    for (uint64_t at = 0; at < request.first;) {
        const auto piece =
            std::span(buffer).first(std::min<uint64_t>(buffer.size(), request.first - at));
        if (request.prefix->read_at(at, piece) != piece.size())
            throw Failure(Kind::io, "the staging file is shorter than what was read from it");
        pipe.hasher().update(piece);
        at += piece.size();
    }
}

// One pass over the origins from the current position; adds to `verdict` what did not help.
Task<bool> pass(std::shared_ptr<Pipe> pipe, Clock* clock, Duration head_time, bool plain,
                Verdict* verdict) {
    bool progress = false;
    for (const auto& origin : pipe->request().origins) {
        while (!pipe->over()) {
            const uint64_t before = pipe->position();
            upstream::BlobRange range;
            range.first = before;
            range.size = pipe->request().size;
            range.plain = plain;
            if (before > 0 || !range.size || pipe->end() < *range.size)
                range.last = pipe->end() - 1;
            const auto answer = co_await origin->read(
                pipe->request().digest, range, pipe,
                [pipe](auto handle) { pipe->started(std::move(handle)); },
                clock->now() + head_time);
            if (pipe->position() == before) {
                verdict->add(answer);
                break;
            }
            progress = true;
            // One that is too slow is left for the next.
            if (answer.end == upstream::TransferEnd::stalled) break;
        }
    }
    co_return progress;
}

}  // namespace

class RelayReader : public BlobReader {
public:
    RelayReader(Relays& relays, std::shared_ptr<Pipe> pipe)
        : relays_(relays), pipe_(std::move(pipe)) {}
    ~RelayReader() override { pipe_->close(); }

    Task<std::optional<Bytes>> next(uint64_t max) override {
        if (!signal_) {
            signal_.emplace();
            relays_.scope_.spawn(Loop::current(),
                                 [pipe = pipe_, &relays = relays_] { return run(pipe, relays); });
        }
        for (;;) {
            if (gone_) throw Failure(Kind::cancelled, "the reader has left");
            current_.clear();
            if (pipe_->take(current_, max, Firing(*signal_))) {
                if (current_.empty()) co_return std::nullopt;
                co_return Bytes(weir::as_bytes(std::string_view(current_)));
            }
            co_await signal_->wait();
        }
    }

    void leave() override {
        gone_ = true;
        if (signal_) signal_->fire();
    }

private:
    static Task<> take_prefix(std::shared_ptr<Pipe> pipe, Relays& relays) {
        try {
            co_await relays.pool_.run([pipe] { hash_prefix(*pipe); });
        } catch (const Failure& failure) {
            if (!is_disk_fault(failure) || !pipe->request().shown) throw;
            pipe->begin_anew();
        }
    }
    static Task<> run(std::shared_ptr<Pipe> pipe, Relays& relays) {
        static auto& relayed =
            metrics::counter("weir_relays_total", "Requests relayed because the disk had no room");
        relayed.Increment();
        try {
            auto permit = co_await relays.permits_.acquire(relays.clock_.now() +
                                                           relays.options_.miss_timeout);
            if (pipe->request().prefix && pipe->verifies()) co_await take_prefix(pipe, relays);
            Verdict verdict;
            for (int round = 0; round < kRounds && !pipe->over(); ++round) {
                verdict = {};
                const Duration head_time = relays.options_.miss_timeout / 2;
                const bool plain = round + 1 == kRounds;
                if (co_await pass(pipe, &relays.clock_, head_time, plain, &verdict)) round = 0;
                if (pipe->over()) break;
                co_await sleep_for(kRoundDelay * (1 << round));
            }
            if (!pipe->over())
                pipe->fail(std::make_exception_ptr(verdict.failure(
                    Kind::blob_unknown, fmt::format("blob {}", pipe->request().digest.text()))));
            // That size came with the left-over of a fetch: what it is worth nobody knows.
            if (pipe->contradicted()) co_await relays.table_.drop_left_over(pipe->request().digest);
        } catch (...) {
            pipe->fail(std::current_exception());
        }
    }

    Relays& relays_;
    std::shared_ptr<Pipe> pipe_;
    std::optional<Signal> signal_;
    std::string current_;
    bool gone_ = false;
};

Relays::Relays(const Options& options, Scope& scope, Pool& pool, Clock& clock, FetchTable& table)
    : options_(options),
      scope_(scope),
      pool_(pool),
      clock_(clock),
      table_(table),
      permits_(options.max_relays, options.max_relays) {}

std::unique_ptr<BlobReader> Relays::open(RelayRequest request) {
    auto pipe = std::make_shared<Pipe>(std::move(request), options_.relay_buffer_bytes);
    std::lock_guard lock(mutex_);
    if (stopped_) throw Failure(Kind::draining, "weir is shutting down");
    std::erase_if(pipes_, [](const auto& open) { return open.expired(); });
    pipes_.push_back(pipe);
    return std::make_unique<RelayReader>(*this, std::move(pipe));
}

void Relays::stop() {
    std::vector<std::weak_ptr<Pipe>> pipes;
    {
        std::lock_guard lock(mutex_);
        stopped_ = true;
        pipes.swap(pipes_);
    }
    for (const auto& open : pipes) {
        if (const auto pipe = open.lock()) pipe->stop();
    }
}

size_t Relays::running() const {
    return permits_.in_use();
}

}  // namespace weir::cache
