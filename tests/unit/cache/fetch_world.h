// tests/unit/cache/fetch_world.h: one Fetch and its origins on one loop, a clock that stands still
// until told, a disk in memory. A FakeOrigin says what it was asked.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cache/fetch_table.h"
#include "crypto/hasher.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "store/disk_store.h"
#include "support/fault_files.h"
#include "support/run_task.h"

namespace weir::cache {

// Text that differs everywhere, so that a byte in the wrong place is seen.
inline std::string content_of(size_t size) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 2654435761u) >> 13);
    return text;
}

inline oci::Digest digest_of(const std::string& text) {
    return crypto::digest_of(oci::Digest::Algorithm::sha256, text);
}

// Gives `content` in pieces, one a millisecond, and misbehaves as told.
class FakeOrigin : public Origin {
public:
    explicit FakeOrigin(std::string key, std::string content)
        : content(std::move(content)), key_(std::move(key)) {}

    const std::string& key() const override { return key_; }
    const std::string& proves() const override { return repository_; }
    const FetchPolicy& policy() const override { return policy_value; }
    const std::string& upstream_name() const override { return key_; }
    bool usable() const override { return true; }
    void report_bad() override { ++reported; }

    Task<upstream::BlobAnswer> read(
        oci::Digest, upstream::BlobRange range, std::shared_ptr<upstream::BlobSink> sink,
        std::function<void(std::shared_ptr<client::TransferHandle>)> started, TimePoint) override {
        requests.push_back(range);
        auto handle = std::make_shared<Handle>();
        started(handle);
        upstream::BlobAnswer answer;
        if (outcome != upstream::Outcome::ok) {
            answer.outcome = outcome;
            answer.detail = "as told";
            co_return answer;
        }
        uint64_t at = range.suffix > 0
                          ? content.size() - std::min<uint64_t>(range.suffix, content.size())
                          : std::min<uint64_t>(range.first, content.size());
        uint64_t end = content.size();
        if (range.suffix == 0 && range.last) end = std::min<uint64_t>(end, *range.last + 1);
        if (ignore_ranges) {
            at = 0;
            end = content.size();
        }
        co_await sleep_for(std::chrono::milliseconds(1));
        upstream::BlobHead head;
        head.first = at;
        head.whole_size = content.size();
        answer.end = upstream::TransferEnd::stopped;
        if (sink->on_head(head) != client::BodyAction::go_on) co_return answer;
        uint64_t given = 0;
        while (at < end) {
            co_await sleep_for(std::chrono::milliseconds(1));
            if (handle->cancelled) co_return answer;
            if (given >= stall_after) {
                answer.end = upstream::TransferEnd::stalled;
                co_return answer;
            }
            if (given >= cut_after) {
                if (cut_once) cut_after = UINT64_MAX;
                answer.end = upstream::TransferEnd::cut;
                co_return answer;
            }
            const uint64_t bytes = std::min<uint64_t>(piece, end - at);
            sent += bytes;
            given += bytes;
            const auto data = std::as_bytes(std::span(content.data() + at, bytes));
            if (sink->on_data(data) != client::BodyAction::go_on) co_return answer;
            at += bytes;
        }
        answer.end = upstream::TransferEnd::complete;
        co_return answer;
    }

    std::string content;
    uint64_t piece = 1000;
    upstream::Outcome outcome = upstream::Outcome::ok;
    uint64_t cut_after = UINT64_MAX;  // bytes of an answer
    bool cut_once = false;
    uint64_t stall_after = UINT64_MAX;
    bool ignore_ranges = false;
    FetchPolicy policy_value;

    std::vector<upstream::BlobRange> requests;
    uint64_t sent = 0;
    int reported = 0;

private:
    struct Handle : client::TransferHandle {
        void resume() override {}
        void cancel() override { cancelled = true; }
        bool cancelled = false;
    };
    std::string key_;
    const std::string repository_ = "hub/library/x";
};

struct FetchWorld {
    FetchWorld() {
        options.chunk_bytes = 4096;
        options.space_step_bytes = 4096;
        options.range_ahead_bytes = 16384;
        options.record_bytes = 16384;
    }
    ~FetchWorld() {
        spawn([this]() -> Task<> { co_await table->stop(); });
        run(std::chrono::seconds(1));
        EXPECT_EQ(scope.running(), 0u);
        EXPECT_EQ(space.reserved(), 0u);
    }

    void spawn(std::function<Task<>()> f) { scope.spawn(loop, std::move(f)); }
    // Lets so much time pass, timer by timer.
    void run(Duration time) {
        const TimePoint end = clock.now() + time;
        for (;;) {
            loop.run_ready();
            const TimePoint next = loop.next_timer();
            if (next > end) break;
            clock.set(std::max(next, clock.now()));
        }
        clock.set(end);
        loop.run_ready();
    }

    // Reads [first, first + length) of the fetch to its end, as a client would; the failure's name
    // instead when it fails.
    void read(std::shared_ptr<Fetch> fetch, uint64_t first, uint64_t length, std::string* into) {
        spawn([fetch, first, length, into]() -> Task<> {
            try {
                while (into->size() < length) {
                    const uint64_t count =
                        co_await fetch->readable_from(first + into->size(), 1, kNever, first == 0);
                    std::string piece(std::min<uint64_t>(count, length - into->size()), '\0');
                    fetch->file()->read_at(first + into->size(),
                                           std::as_writable_bytes(std::span(piece)));
                    into->append(piece);
                }
            } catch (const Failure& failure) {
                into->append("<").append(kind_name(failure.kind())).append(">");
            }
        });
    }
    std::shared_ptr<Fetch> fetch(const oci::Digest& digest, const Origins& origins,
                                 const std::vector<WantedRange>& wanted = {}) {
        std::shared_ptr<Fetch> result;
        spawn([&]() -> Task<> {
            result = table->join_or_start(digest, wanted, origins).fetch;
            co_return;
        });
        loop.run_ready();
        return result;
    }
    bool stored(const oci::Digest& digest) { return metadata->find_blob(digest).has_value(); }

    ManualClock clock;
    Loop loop{clock};
    SeededRandom random{1};
    InlinePool pool;
    FaultFiles files;
    Options options;
    std::unique_ptr<meta::Metadata> metadata = meta::open_sqlite({.path = ":memory:"});
    std::unique_ptr<store::Store> store = store::open_disk_store({.root = "/w"}, files, pool);
    store::Space space{{.max_bytes = UINT64_MAX, .min_free_bytes = 0},
                       0,
                       [this] { return files.space("/w"); },
                       clock};
    Scope scope{"fetch world"};
    FairSemaphore permits{8, 8};
    Lru<std::string, TimePoint> bad_origins{64};
    FetchContext context{
        options, *metadata,
        *store,  space,
        pool,    clock,
        random,  scope,
        permits, bad_origins,
        {},      {},
        {},      [this](const oci::Digest& d, uint64_t g) { metadata->remove_blob(d, g); }};
    std::unique_ptr<FetchTable> table = std::make_unique<FetchTable>(context);
};

}  // namespace weir::cache
