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

// One pass over the origins from the current position; adds to `verdict` what did not help. true:
// something came, or the relay rests.
Task<bool> pass(std::shared_ptr<Pipe> pipe, Clock* clock, Duration head_time, bool plain,
                Verdict* verdict) {
    bool progress = false;
    for (const auto& origin : pipe->request().origins) {
        while (!pipe->over()) {
            const uint64_t before = pipe->position();
            upstream::BlobRange range = pipe->next_range();
            range.plain = plain;
            const auto answer = co_await origin->read(
                pipe->request().digest, range, pipe,
                [pipe](auto handle) { pipe->started(std::move(handle)); },
                clock->now() + head_time);
            const bool came = pipe->position() != before;
            if (pipe->rests() && (came || answer.end == upstream::TransferEnd::stopped))
                co_return true;
            if (!came) {
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

// Until more is wanted, or all is over.
Task<> wait_for_wish(std::shared_ptr<Pipe> pipe) {
    Signal signal;
    while (!pipe->wanted(Firing(signal))) co_await signal.wait();
}

Task<> take_prefix(std::shared_ptr<Pipe> pipe, Pool* pool) {
    try {
        co_await pool->run([pipe] { hash_prefix(*pipe); });
    } catch (const Failure& failure) {
        if (!is_disk_fault(failure) || !pipe->request().shown) throw;
        pipe->begin_anew();
    }
}

class Counted {
public:
    explicit Counted(std::atomic<size_t>& count) : count_(count) { ++count_; }
    ~Counted() { --count_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

private:
    std::atomic<size_t>& count_;
};

}  // namespace

class RelayReader : public BlobReader {
public:
    RelayReader(Relays& relays, std::shared_ptr<Pipe> pipe, uint64_t number)
        : relays_(relays), pipe_(std::move(pipe)), number_(number) {}
    ~RelayReader() override { pipe_->leave(number_); }

    Task<std::optional<Bytes>> next(uint64_t max) override {
        if (!signal_) signal_.emplace();
        for (;;) {
            if (gone_) throw Failure(Kind::cancelled, "the reader has left");
            if (pipe_->take_start()) start();
            held_.reset();
            if (auto taken = pipe_->take(number_, max, Firing(*signal_))) {
                if (taken->end) co_return std::nullopt;
                held_ = std::move(taken->piece);
                co_return Bytes(taken->bytes);
            }
            if (auto moved = pipe_->moved(number_)) {
                pipe_ = std::move(moved->to);
                number_ = moved->number;
                continue;
            }
            co_await signal_->wait(Loop::current().now() + Pipe::kAskAgain);
        }
    }

    void leave() override {
        gone_ = true;
        if (signal_) signal_->fire();
    }

private:
    void start() {
        if (!relays_.know(pipe_)) pipe_->stop();
        relays_.scope_.spawn(Loop::current(), [pipe = pipe_, &relays = relays_] {
            return Relays::run(pipe, relays);
        });
        relays_.scope_.spawn(Loop::current(), [pipe = pipe_, &relays = relays_] {
            return Relays::mind(pipe, relays);
        });
    }

    Relays& relays_;
    std::shared_ptr<Pipe> pipe_;
    uint64_t number_;
    std::optional<Signal> signal_;
    std::shared_ptr<const std::string> held_;  // what was given last
    bool gone_ = false;
};

Task<> Relays::run(std::shared_ptr<Pipe> pipe, Relays& relays) {
    static auto& relayed =
        metrics::counter("weir_relays_total", "Transfers past the disk because it had no room");
    relayed.Increment();
    try {
        co_await bring(pipe, relays);
        // That size came with the left-over of a fetch: what it is worth nobody knows.
        if (pipe->contradicted()) co_await relays.table_.drop_left_over(pipe->request().digest);
    } catch (...) {
        pipe->fail(std::current_exception());
    }
}

Task<> Relays::bring(std::shared_ptr<Pipe> pipe, Relays& relays) {
    const auto& origins = pipe->request().origins;
    const std::string upstream = origins.empty() ? "" : origins.front()->upstream_name();
    Verdict verdict;
    bool begun = false;
    for (int round = 0; round < kRounds && !pipe->over();) {
        if (begun && pipe->rests()) {
            const Counted counted(relays.resting_);
            if (relays.resting_ > relays.options_.max_relays * kRestingPerPlace)
                throw Failure(Kind::overloaded,
                              "too many readers of blobs that pass the disk sleep");
            co_await wait_for_wish(pipe);
            if (pipe->over()) break;
        }
        const auto place = co_await relays.permits_.acquire(
            upstream, relays.clock_.now() + relays.options_.miss_timeout);
        if (!std::exchange(begun, true) && pipe->wants_prefix())
            co_await take_prefix(pipe, &relays.pool_);
        verdict = {};
        const Duration head_time = relays.options_.miss_timeout / 2;
        const bool plain = round + 1 == kRounds;
        const bool progress = co_await pass(pipe, &relays.clock_, head_time, plain, &verdict);
        if (pipe->over()) break;
        if (progress && pipe->rests()) {
            round = 0;
            continue;
        }
        round = progress ? 1 : round + 1;
        co_await sleep_for(kRoundDelay * (1 << (round - 1)));
    }
    if (!pipe->over())
        pipe->fail(std::make_exception_ptr(verdict.failure(
            Kind::blob_unknown, fmt::format("blob {}", pipe->request().digest.text()))));
}

Task<> Relays::mind(std::shared_ptr<Pipe> pipe, Relays& relays) {
    Signal signal;
    while (!pipe->over()) {
        const TimePoint due = pipe->rest_due(Firing(signal));
        if (due <= relays.clock_.now()) {
            pipe->rest(relays.clock_.now());
            continue;
        }
        // What ends it may have come before it was told whom to wake.
        if (pipe->over()) break;
        co_await signal.wait(due);
    }
}

Relays::Relays(const Options& options, Scope& scope, Pool& pool, Clock& clock, FetchTable& table)
    : options_(options),
      scope_(scope),
      pool_(pool),
      clock_(clock),
      table_(table),
      permits_(options.max_relays, options.max_relays) {}

std::unique_ptr<BlobReader> Relays::open(RelayRequest request) {
    std::lock_guard lock(mutex_);
    if (stopped_) throw Failure(Kind::draining, "weir is shutting down");
    std::erase_if(pipes_, [](const auto& open) { return open.expired(); });
    for (const auto& open : pipes_) {
        auto pipe = open.lock();
        if (!pipe) continue;
        if (const auto number = pipe->join(request))
            return std::make_unique<RelayReader>(*this, std::move(pipe), *number);
    }
    auto pipe = std::make_shared<Pipe>(std::move(request), options_.relay_buffer_bytes, clock_);
    const auto number = pipe->join(pipe->request());
    pipes_.push_back(pipe);
    return std::make_unique<RelayReader>(*this, std::move(pipe), *number);
}

bool Relays::know(const std::shared_ptr<Pipe>& pipe) {
    std::lock_guard lock(mutex_);
    const auto is = [&](const auto& open) { return open.lock() == pipe; };
    if (!stopped_ && std::ranges::none_of(pipes_, is)) pipes_.push_back(pipe);
    return !stopped_;
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
