#include <fmt/format.h>

#include <algorithm>

#include "app/refetch.h"
#include "app/scrub_parts.h"
#include "async/scope.h"
#include "base/failure.h"
#include "cache/remote_origin.h"
#include "crypto/hasher.h"

namespace weir::app {
namespace {

using namespace std::chrono_literals;
using BlobState = meta::Upkeep::BlobState;

constexpr size_t kPage = 64;
constexpr size_t kS3AtOnce = 8;
constexpr uint64_t kReadBytes = 4 << 20;    // of a file at once
constexpr uint64_t kRangeBytes = 16 << 20;  // of an object at once
constexpr int kRangeTries = 3;
constexpr Duration kHeadTime = 30s;
constexpr uint32_t kMaxSilences = 20;   // then S3 is away, and is asked no more
constexpr size_t kMaxRepositories = 8;  // asked for a blob

// A range of an object, summed. Calls never overlap.
class SumSink : public client::Sink {
public:
    explicit SumSink(crypto::Hasher& hasher) : hasher_(hasher) {}
    client::BodyAction on_head(const client::ReplyHead&) override {
        return client::BodyAction::go_on;
    }
    client::BodyAction on_data(std::span<const std::byte> data) override {
        hasher_.update(data);
        bytes += data.size();
        return client::BodyAction::go_on;
    }
    uint64_t bytes = 0;

private:
    crypto::Hasher& hasher_;
};

std::string wrong_size(uint64_t found, uint64_t wanted) {
    return fmt::format("has {} bytes instead of {}", found, wanted);
}

// ---- the disk

// What is wrong with the file; "" when it is right.
Task<std::string> look_at_file(Scrubbing& run, BlobState state) {
    const auto file = co_await run.rooms.store.open(state.digest, state.generation);
    if (!file) co_return "is gone";
    const uint64_t size = co_await run.rooms.pool.run([&file] { return file->size(); });
    if (size != state.size) co_return wrong_size(size, state.size);
    crypto::Hasher hasher(state.digest.algorithm());
    std::vector<std::byte> buffer(std::min(kReadBytes, std::max<uint64_t>(size, 1)));
    for (uint64_t offset = 0; offset < size;) {
        const size_t wanted = std::min<uint64_t>(buffer.size(), size - offset);
        co_await run.pace.take(wanted);
        const size_t got = co_await run.rooms.pool.run([&] {
            const size_t read = file->read_at(offset, std::span(buffer).first(wanted));
            hasher.update(std::span(buffer).first(read));
            return read;
        });
        if (got == 0) co_return wrong_size(offset, state.size);
        offset += got;
        run.report.disk_bytes += got;
    }
    co_return hasher.digest() == state.digest ? "" : "has another digest";
}

// Every mirror of every upstream whose repositories have the blob, or name it: what these give is
// verified, and theirs then.
Task<cache::Origins> upstream_origins(Scrubbing& run, oci::Digest digest) {
    cache::Origins origins;
    if (!run.hands.resolve) co_return origins;
    const auto repositories = co_await run.rooms.pool.run(
        [&run, digest] { return run.rooms.engine.wanted_by(digest, kMaxRepositories); });
    for (const std::string& repository : repositories)
        if (const auto target = run.hands.resolve(repository))
            for (auto& origin : cache::origins_of(*target)) origins.push_back(std::move(origin));
    co_return origins;
}

std::string comes_again(const BlobState& state, bool from_s3) {
    if (from_s3) return "comes again from S3";
    return state.upstream.empty() ? "is lost" : "comes again from its upstream";
}

Task<std::string> fetch_again(Scrubbing& run, BlobState state, bool from_s3) {
    Rooms& rooms = run.rooms;
    std::string from;
    try {
        if (from_s3 && rooms.remote)
            from = co_await refetch(
                rooms, state.digest, state.size, state.upstream,
                {cache::make_remote_origin(*rooms.remote, rooms.engine, rooms.pool, "")});
        if (from.empty()) {
            std::optional<std::string> upstream;
            if (!state.upstream.empty()) upstream = state.upstream;
            from = co_await refetch(rooms, state.digest, state.size, upstream,
                                    co_await upstream_origins(run, state.digest));
        }
    } catch (const Failure& failure) {
        co_return fmt::format("could not be stored again: {}", failure.what());
    }
    if (from.empty()) co_return comes_again(state, from_s3) + "; nobody gave it now";
    ++run.report.repaired;
    co_return "repaired from " + from;
}

Task<> check_disk(Scrubbing& run, BlobState state) {
    Rooms& rooms = run.rooms;
    if (!state.on_disk) co_return;
    ++run.report.disk_files;
    std::string wrong;
    bool unreadable = false;
    try {
        wrong = co_await look_at_file(run, state);
    } catch (const Failure& failure) {
        unreadable = true;
        wrong = fmt::format("can't be read: {}", failure.what());
    }
    if (wrong.empty()) co_return;
    ScrubProblem problem{state.digest.text(), "disk", wrong, ""};
    // The disk may be better tomorrow, and there is no other copy.
    if (unreadable && !state.in_s3 && state.upstream.empty()) {
        ++run.report.unchecked;
        problem.outcome = "left as it is, the only copy";
        run.problem(std::move(problem));
        co_return;
    }
    const bool lost = co_await rooms.pool.run(
        [&rooms, state] { return rooms.engine.lost_on_disk(state.digest, state.generation); });
    if (!lost) co_return;  // evicted meanwhile: the row goes before the file
    ++run.report.bad_on_disk;
    try {
        co_await rooms.store.erase(state.digest, state.generation);
    } catch (const Failure& failure) {
        problem.what += fmt::format("; it can't be removed: {}", failure.what());
    }
    const bool from_s3 = state.in_s3 && rooms.remote;
    problem.outcome = run.options.repair ? co_await fetch_again(run, state, from_s3)
                                         : comes_again(state, from_s3);
    run.problem(std::move(problem));
}

// ---- S3

struct Look {
    store::RemoteEnd end = store::RemoteEnd::ok;
    std::string wrong;  // "": right, if `end` is ok
    std::string detail;
};

Task<Look> read_object(Scrubbing& run, BlobState state) {
    crypto::Hasher hasher(state.digest.algorithm());
    int tries = 0;
    for (uint64_t offset = 0; offset < state.size;) {
        const uint64_t last = std::min(offset + kRangeBytes, state.size) - 1;
        co_await run.pace.take(last + 1 - offset);
        auto sink = std::make_shared<SumSink>(hasher);
        const auto answer = co_await run.rooms.remote->get(
            state.digest, offset, last, sink, [](auto) {}, run.rooms.clock.now() + kHeadTime);
        offset += sink->bytes;
        run.report.s3_bytes += sink->bytes;
        if (answer.end == store::RemoteEnd::ok && sink->bytes > 0) continue;
        if (answer.end == store::RemoteEnd::absent) co_return Look{answer.end, "is gone", ""};
        if (answer.end != store::RemoteEnd::cut || ++tries == kRangeTries)
            co_return Look{store::RemoteEnd::unavailable, "", answer.detail};
    }
    co_return Look{store::RemoteEnd::ok,
                   hasher.digest() == state.digest ? "" : "has another digest", ""};
}

Task<Look> look_at_object(Scrubbing& run, BlobState state) {
    uint64_t size = 0;
    const auto head = co_await run.rooms.remote->head(state.digest, &size);
    if (head.end == store::RemoteEnd::absent) co_return Look{head.end, "is gone", ""};
    if (head.end != store::RemoteEnd::ok) co_return Look{head.end, "", head.detail};
    if (size != state.size) co_return Look{head.end, wrong_size(size, state.size), ""};
    if (run.options.quick) co_return Look{};
    co_return co_await read_object(run, state);
}

// The disk has it, and it was verified just now or when it was fetched.
Task<std::string> upload_again(Scrubbing& run, BlobState state, uint64_t generation) {
    Rooms& rooms = run.rooms;
    const auto file = co_await rooms.store.open(state.digest, generation);
    // The row has it go up again; the server does that if it can't be done here.
    co_await rooms.pool.run([&rooms, state] { rooms.engine.lost_in_s3(state.digest); });
    if (!file) co_return "waits for its upload";
    const auto answer = co_await rooms.remote->put_blob(state.digest, file, state.size, {});
    if (answer.end != store::RemoteEnd::ok)
        co_return fmt::format("waits for its upload ({})", answer.detail);
    const WallTime now = rooms.clock.wall();
    co_await rooms.pool.run(
        [&rooms, state, now] { rooms.engine.found_in_s3(state.digest, state.size, now); });
    ++run.report.repaired;
    co_return "uploaded again";
}

Task<std::string> drop_object(Scrubbing& run, BlobState state, bool there) {
    Rooms& rooms = run.rooms;
    if (there) {
        std::vector<oci::Digest> failed;
        co_await rooms.remote->remove({state.digest}, &failed);
    }
    co_await rooms.pool.run([&rooms, state] { rooms.engine.lost_in_s3(state.digest); });
    if (run.options.repair) co_return co_await fetch_again(run, state, false);
    co_return comes_again(state, false);
}

Task<> check_s3(Scrubbing& run, BlobState state) {
    Rooms& rooms = run.rooms;
    if (!rooms.remote || !state.in_s3 || run.silences >= kMaxSilences) co_return;
    ++run.report.s3_objects;
    const Look look = co_await look_at_object(run, state);
    const bool answered = look.end == store::RemoteEnd::ok || look.end == store::RemoteEnd::absent;
    run.silences = answered ? 0 : run.silences + 1;
    if (!answered) {
        ++run.report.unchecked;
        run.problem({state.digest.text(), "s3", "could not be checked: " + look.detail,
                     run.silences == kMaxSilences ? "S3 is asked no more" : "left as it is"});
        co_return;
    }
    if (look.wrong.empty()) co_return;
    const auto row =
        co_await rooms.pool.run([&rooms, state] { return rooms.engine.find_blob(state.digest); });
    if (!row || !row->in_s3) co_return;  // collected meanwhile
    ++run.report.bad_in_s3;
    ScrubProblem problem{state.digest.text(), "s3", look.wrong, ""};
    if (row->on_disk)
        problem.outcome = co_await upload_again(run, state, row->generation);
    else
        problem.outcome = co_await drop_object(run, state, look.end == store::RemoteEnd::ok);
    run.problem(std::move(problem));
}

// Several at once: most of the time of a HEAD is its way.
Task<> check_page_in_s3(Scrubbing& run, const std::vector<BlobState>& page) {
    std::exception_ptr failure;
    size_t next = 0;
    Scope scope("scrub");
    for (size_t i = 0; i < std::min(kS3AtOnce, page.size()); ++i)
        scope.spawn(Loop::current(), [&]() -> Task<> {
            try {
                while (next < page.size() && !failure) co_await check_s3(run, page[next++]);
            } catch (const Failure&) {
                failure = std::current_exception();
            }
        });
    co_await scope.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace

Task<> scrub_blobs(Scrubbing& run) {
    Rooms& rooms = run.rooms;
    const auto usage = co_await rooms.pool.run([&rooms] { return rooms.engine.usage(); });
    const auto all = static_cast<double>(std::max<uint64_t>(usage.blobs, 1));
    std::optional<oci::Digest> after;
    for (;;) {
        const auto page = co_await rooms.pool.run(
            [&rooms, after] { return rooms.engine.blob_states(after, kPage); });
        for (const BlobState& state : page) {
            co_await check_disk(run, state);
            ++run.report.blobs;
            run.progress("blobs", static_cast<double>(run.report.blobs) / all);
        }
        if (rooms.remote) co_await check_page_in_s3(run, page);
        if (page.size() < kPage) co_return;
        after = page.back().digest;
    }
}

}  // namespace weir::app
