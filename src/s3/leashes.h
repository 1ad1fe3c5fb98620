// s3/leashes.h: what is under way and may have to end all at once. Any thread.
#pragma once
#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "client/leash.h"

namespace weir::s3 {

class Leashes {
public:
    // Holds one for as long as it lives.
    class Held {
    public:
        Held(Leashes& all, std::shared_ptr<client::Leash> leash)
            : all_(all), leash_(std::move(leash)) {
            bool late = false;
            {
                std::lock_guard lock(all_.mutex_);
                late = all_.ended_;
                all_.held_.push_back(leash_);
            }
            if (late) leash_->cancel();
        }
        ~Held() {
            std::lock_guard lock(all_.mutex_);
            all_.held_.erase(std::ranges::find(all_.held_, leash_));
        }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;

    private:
        Leashes& all_;
        const std::shared_ptr<client::Leash> leash_;
    };

    // Cancels those that are held, and each that comes later.
    void end() {
        std::vector<std::shared_ptr<client::Leash>> now;
        {
            std::lock_guard lock(mutex_);
            ended_ = true;
            now = held_;
        }
        for (const auto& leash : now) leash->cancel();
    }
    bool ended() const {
        std::lock_guard lock(mutex_);
        return ended_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::shared_ptr<client::Leash>> held_;
    bool ended_ = false;
};

}  // namespace weir::s3
