// store/space.h: bytes are promised before they are fetched.
//
// A Reservation is taken for a blob's size before its first byte is asked for and turned into use
// by its commit. What is staged counts. Any thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/file.h"

namespace weir::store {

class Space {
    struct State;

public:
    struct Limits {
        uint64_t max_bytes = UINT64_MAX;         // of blobs and staging together
        uint64_t min_free_bytes = 256ull << 20;  // kept free on the file system
    };

    class Reservation {
    public:
        Reservation() = default;
        Reservation(Reservation&& other) noexcept
            : state_(std::move(other.state_)), bytes_(std::exchange(other.bytes_, 0)) {}
        Reservation& operator=(Reservation&&) noexcept;
        ~Reservation();  // gives back what is left
        uint64_t bytes() const { return bytes_; }
        // The bytes are stored now: they count as used for good.
        void keep();
        // Only so many of them are (at most bytes()); the rest is given back when the reservation
        // dies.
        void keep_part(uint64_t bytes);

    private:
        friend class Space;
        Reservation(std::shared_ptr<State> state, uint64_t bytes)
            : state_(std::move(state)), bytes_(bytes) {}
        std::shared_ptr<State> state_;
        uint64_t bytes_ = 0;
    };

    // `used`: what the metadata counts at the start. `file_system` is asked at most once a second
    // of `clock`, which outlives all reservations.
    Space(Limits, uint64_t used, std::function<DiskSpace()> file_system,
          Clock& clock = system_clock());
    // nullopt: refused, the caller relays.
    std::optional<Reservation> reserve(uint64_t bytes);
    void release(uint64_t bytes);  // something stored was erased
    void add(uint64_t bytes);      // something was stored that was not promised (chunks of ranges)
    void set_limits(Limits);
    uint64_t used() const;
    uint64_t reserved() const;

private:
    std::shared_ptr<State> state_;
};

}  // namespace weir::store
