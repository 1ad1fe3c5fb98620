#include "cache/uploader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
// Rows are looked for at least this often: another process may have left some, a delay may be over.
constexpr Duration kLookInterval = 2s;
// A claim of a process that died is free again after this.
constexpr auto kLease = std::chrono::hours(6);
// Between two pages of what is looked for others go first.
constexpr size_t kMissingPage = 256;
constexpr Duration kMissingPause = 1ms;
// A part whose sender died may still be on its way within S3, and land after the upload was
// aborted; S3's manual says to abort again.
constexpr Duration kLatePart = 2s;
constexpr auto kFirstDelay = std::chrono::milliseconds(500);
constexpr auto kMaxDelay = std::chrono::milliseconds(30'000);

std::string json_text(std::string_view text) {
    std::string out = "\"";
    log::append_json_escaped(out, text);
    return out + "\"";
}

}  // namespace

Uploader::Uploader(meta::Metadata& metadata, meta::Upkeep& upkeep, store::Store& store,
                   store::Remote& remote, Pool& pool, Clock& clock, Random& random, Scope& scope,
                   size_t slots)
    : metadata_(metadata),
      upkeep_(upkeep),
      store_(store),
      remote_(remote),
      pool_(pool),
      clock_(clock),
      random_(random),
      scope_(scope),
      slots_(slots) {}

void Uploader::start(Loop& loop) {
    loop_ = &loop;
    scope_.spawn(loop, [this] { return run(); });
    scope_.spawn(loop, [this] { return queue_missing(); });
}

void Uploader::wake() {
    std::lock_guard lock(mutex_);
    if (runner_) runner_->fire();
}

void Uploader::stop() {
    stopping_ = true;
    wake();
}

Task<> Uploader::run() {
    Signal signal;
    {
        std::lock_guard lock(mutex_);
        runner_.emplace(signal);
    }
    while (!stopping_) {
        const size_t free = slots_ - std::min(slots_, running_.load());
        size_t claimed = 0;
        if (free > 0) {
            try {
                const WallTime now = clock_.wall();
                auto rows = co_await pool_.run(
                    [this, free, now] { return upkeep_.claim_uploads(free, now, now + kLease); });
                claimed = rows.size();
                for (auto& row : rows) {
                    ++running_;
                    scope_.spawn(*loop_, [this, row] { return upload(row); });
                }
            } catch (const Failure& failure) {
                log::warn("cache", "upload jobs could not be read: {}", failure.what());
            }
        }
        // With every slot taken or nothing due: until one ends, something is stored, or it is time
        // to look again.
        if (claimed < free || free == 0) co_await signal.wait(clock_.now() + kLookInterval);
    }
    co_await leave(signal);
    std::lock_guard lock(mutex_);
    runner_.reset();
}

Task<> Uploader::leave(Signal& signal) {
    const TimePoint end = clock_.now() + kStopGrace;
    while (running_ > 0 && clock_.now() < end) co_await signal.wait(end);
    if (running_ > 0)
        log::info("cache", "{} uploads are cut; the next start takes them up", running_.load());
    remote_.stop();
}

Task<> Uploader::upload(meta::UploadRow row) {
    static auto& done = metrics::counter(
        "weir_uploads_total", "Objects uploaded to the durable tier", {{"outcome", "ok"}});
    static auto& failed = metrics::counter(
        "weir_uploads_total", "Objects uploaded to the durable tier", {{"outcome", "failed"}});
    try {
        const auto answer = co_await send(row);
        if (answer.end == store::RemoteEnd::ok) {
            co_await pool_.run([this, row] { upkeep_.upload_done(row); });
            done.Increment();
        } else if (!stopping_) {
            const uint32_t shift = std::min<uint32_t>(row.attempts, 8);
            auto delay = std::min(kFirstDelay * (1 << shift), kMaxDelay);
            delay += std::chrono::milliseconds(random_.below(static_cast<uint64_t>(delay.count())));
            const WallTime again = clock_.wall() + delay;
            co_await pool_.run([this, row, again] { upkeep_.upload_failed(row, again); });
            failed.Increment();
            log::warn("cache", "upload of {} waits: {}",
                      row.name.empty() ? row.digest.text() : row.name, answer.detail);
        }
    } catch (const Failure& failure) {
        // The row keeps its lease and is tried again after it; a restart tries it at once.
        log::error("cache", "upload of {}: {}", row.digest.text(), failure.what());
    }
    --running_;
    wake();
}

Task<store::RemoteAnswer> Uploader::send(meta::UploadRow row) {
    using What = meta::UploadRow::What;
    if (row.what == What::blob) co_return co_await send_blob(row);
    if (row.what == What::manifest) {
        auto manifest =
            co_await pool_.run([this, row] { return metadata_.find_manifest(row.digest); });
        // Removed meanwhile: nothing to bring up.
        if (!manifest) co_return store::RemoteAnswer{};
        co_return co_await remote_.put_manifest(row.digest, manifest->media_type, manifest->bytes);
    }
    const size_t line = row.name.find('\n');
    const std::string repository = row.name.substr(0, line);
    const std::string tag = row.name.substr(line + 1);
    if (row.gone) co_return co_await remote_.remove_tag(repository, tag);
    bool linked = false;
    const auto known = co_await pool_.run([this, repository, tag, &linked] {
        auto row = metadata_.find_tag(repository, tag);
        if (row) linked = metadata_.linked(repository, row->digest);
        return row;
    });
    if (!known) co_return store::RemoteAnswer{};
    const auto checked = known->checked.time_since_epoch().count();
    // Whether the repository may serve it: a rebuild believes nothing else.
    co_return co_await remote_.put_tag(
        repository, tag,
        fmt::format(R"({{"digest":"{}","checked":{},"upstream":{},"linked":{}}})",
                    known->digest.text(), checked, json_text(known->upstream), linked));
}

Task<store::RemoteAnswer> Uploader::send_blob(meta::UploadRow row) {
    if (!row.upload_id.empty()) {
        // Until S3 has let go of it the row keeps the id: nobody else knows it.
        auto aborted = co_await remote_.abort_blob(row.digest, row.upload_id);
        if (aborted.end != store::RemoteEnd::ok) co_return aborted;
        co_await sleep_for(kLatePart);
        aborted = co_await remote_.abort_blob(row.digest, row.upload_id);
        if (aborted.end != store::RemoteEnd::ok) co_return aborted;
    }
    auto file = co_await store_.open(row.digest, row.generation);
    if (!file) {
        // Its file is gone: the metadata learns it, the job ends with the row.
        co_await pool_.run([this, row] { upkeep_.lost_on_disk(row.digest, row.generation); });
        co_return store::RemoteAnswer{store::RemoteEnd::unavailable, "its file is gone"};
    }
    const auto started = [this, row](std::string upload_id) {
        return pool_.run([this, row, upload_id = std::move(upload_id)] {
            upkeep_.note_upload_id(row, upload_id);
        });
    };
    co_return co_await remote_.put_blob(row.digest, file, row.size, started);
}

// What was stored while there was no durable tier.
Task<> Uploader::queue_missing() {
    std::optional<oci::Digest> after;
    try {
        while (!stopping_) {
            after = co_await pool_.run(
                [this, after] { return upkeep_.queue_missing_uploads(after, kMissingPage); });
            if (!after) break;
            wake();
            co_await sleep_for(kMissingPause);
        }
    } catch (const Failure& failure) {
        log::warn("cache", "what is not in the durable tier is looked for at the next start: {}",
                  failure.what());
    }
}

}  // namespace weir::cache
