// meta/sqlite/removals.h: a number that every process on a database sees the moment it grows.
//
// It lies in a small file beside the database, mapped by each. Where that can't be had, the number
// is of this process alone; Database::seen_others() still tells what others did, only later.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>

namespace weir::meta {

// Any thread.
class Removals {
public:
    // "": of this process alone.
    explicit Removals(const std::string& path);
    ~Removals();
    Removals(const Removals&) = delete;
    Removals& operator=(const Removals&) = delete;

    uint64_t number() const noexcept { return number_->load(std::memory_order_acquire); }
    void raise() noexcept { number_->fetch_add(1, std::memory_order_acq_rel); }

private:
    using Number = std::atomic<uint64_t>;
    // Only then is it one number for several processes.
    static_assert(Number::is_always_lock_free && sizeof(Number) == sizeof(uint64_t));

    Number own_{0};
    Number* number_ = &own_;
};

}  // namespace weir::meta
