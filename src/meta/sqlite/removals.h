// meta/sqlite/removals.h: a number that every process on a database sees the moment it grows.
//
// It lies in a small file beside the database, which each maps to read it: a request asks for it
// several times. The disk under it may fail at any time, and neither number() nor raise() may end
// the process for that (see shared_page.h). Where the file can't be had, the number is of this
// process alone; Database::seen_others() still tells what others did, only later.
#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "meta/sqlite/shared_page.h"

namespace weir::meta {

// Any thread.
class Removals {
public:
    // "": of this process alone.
    explicit Removals(const std::string& path);
    ~Removals();
    Removals(const Removals&) = delete;
    Removals& operator=(const Removals&) = delete;

    uint64_t number() const noexcept { return own_.load(std::memory_order_acquire) + shared(); }
    void raise() noexcept;

private:
    using Number = std::atomic<uint64_t>;
    // Only then is it one number for several processes.
    static_assert(Number::is_always_lock_free && sizeof(Number) == sizeof(uint64_t));

    uint64_t shared() const noexcept {
        if (!page_ || page_->data() == nullptr) return read();
        const uint64_t now =
            static_cast<const Number*>(page_->data())->load(std::memory_order_acquire);
        return page_->lost() ? read() : now;
    }
    uint64_t read() const noexcept;

    Number own_{0};  // raised by this process
    int file_ = -1;
    std::optional<SharedPage> page_;
    mutable Number read_last_{0};
};

}  // namespace weir::meta
