// client/leash.h: one handle over transfers that follow each other: redirects, a second try with a
// token.
//
// A cancel() between two transfers, or before the first, ends the next one as soon as it starts.
#pragma once
#include <functional>
#include <memory>
#include <mutex>

#include "client/http_client.h"

namespace weir::client {

// Any thread.
class Leash : public TransferHandle {
public:
    void resume() override {
        if (const auto transfer = current()) transfer->resume();
    }
    // By the owner of the work.
    void cancel() override { pull(owner_); }
    // By a deadline.
    void expire() { pull(expired_); }
    bool cancelled() const { return read(owner_); }
    bool expired() const { return read(expired_); }

    // What a Call's `started` does: the newest transfer is the one that the leash holds.
    void attach(std::shared_ptr<TransferHandle> transfer) {
        bool end = false;
        {
            std::lock_guard lock(mutex_);
            transfer_ = transfer;
            end = owner_ || expired_;
        }
        if (end) transfer->cancel();
    }

private:
    std::shared_ptr<TransferHandle> current() const {
        std::lock_guard lock(mutex_);
        return transfer_;
    }
    void pull(bool& mark) {
        {
            std::lock_guard lock(mutex_);
            mark = true;
        }
        if (const auto transfer = current()) transfer->cancel();
    }
    bool read(const bool& mark) const {
        std::lock_guard lock(mutex_);
        return mark;
    }

    mutable std::mutex mutex_;
    std::shared_ptr<TransferHandle> transfer_;
    bool owner_ = false, expired_ = false;
};

}  // namespace weir::client
