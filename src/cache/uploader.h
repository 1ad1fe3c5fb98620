// cache/uploader.h: brings what was stored up to the durable tier, from job rows, off every pull's
// path.
//
// A job row is written in the transaction that stored its object; a restart goes on from the rows
// and lists nothing. At most `slots` uploads at once. While the tier is away the rows wait, tried
// again with growing delays. The id of an upload in parts is in its row before the first part goes,
// and stays there until the upload has ended or S3 has aborted it (twice: a part may land late).
// What was stored before there was a tier gets its rows behind the first start that has one.
#pragma once
#include <atomic>
#include <memory>
#include <optional>

#include "async/pool.h"
#include "async/scope.h"
#include "base/failure.h"
#include "base/random.h"
#include "meta/metadata.h"
#include "meta/upkeep.h"
#include "store/remote.h"
#include "store/store.h"

namespace weir::cache {

class Uploader {
public:
    Uploader(meta::Metadata&, meta::Upkeep&, store::Store&, store::Remote&, Pool&, Clock&, Random&,
             Scope&, size_t slots);
    // Runs on `loop` until stop().
    void start(Loop& loop);
    // Something was stored: look for rows now. Any thread.
    void wake();
    // Takes nothing up any more. What is under way has kStopGrace to end; then the tier is stopped.
    // A row whose upload was cut keeps its id and its attempts: the next start takes it up at once.
    void stop();
    static constexpr Duration kStopGrace = std::chrono::seconds(2);
    // Uploads under way.
    size_t running() const { return running_; }

private:
    Task<> run();
    Task<> leave(Signal& signal);
    Task<> queue_missing();
    Task<> upload(meta::UploadRow row);
    Task<store::RemoteAnswer> send(meta::UploadRow row);
    Task<store::RemoteAnswer> send_blob(meta::UploadRow row);

    meta::Metadata& metadata_;
    meta::Upkeep& upkeep_;
    store::Store& store_;
    store::Remote& remote_;
    Pool& pool_;
    Clock& clock_;
    Random& random_;
    Scope& scope_;
    const size_t slots_;
    Loop* loop_ = nullptr;
    std::atomic<size_t> running_{0};
    std::atomic<bool> stopping_{false};
    std::mutex mutex_;
    std::optional<Firing> runner_;
};

}  // namespace weir::cache
