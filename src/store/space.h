// store/space.h: bytes are promised before they are fetched.
//
// A Reservation is taken before the bytes are written, as far as they can be foreseen before they
// are asked for, and turned into use when they stay. What is staged counts. Counted are the bytes
// themselves, not the blocks of the file system that they begin and end in. Any thread.
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
        // Takes over what the other, of the same Space, was promised.
        void add(Reservation other) noexcept;
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
    // of `clock`, which outlives all reservations, and after each release: what is released is free
    // at once, as far as it is off the disk.
    Space(Limits, uint64_t used, std::function<DiskSpace()> file_system,
          Clock& clock = system_clock());
    // nullopt: refused, the caller relays.
    std::optional<Reservation> reserve(uint64_t bytes);
    // How many bytes have to be released before so many can be promised; 0: they can be now.
    uint64_t lacks(uint64_t bytes) const;
    // They could be if nothing else were here.
    bool could_hold(uint64_t bytes) const;
    void release(uint64_t bytes);  // something stored was erased
    void add(uint64_t bytes);      // something was stored that was not promised (by a verb)
    // What the metadata takes of the same disk, as it is now: it counts as used. It has a bound of
    // its own below max_bytes, so only min_free_bytes can refuse it: may it grow by `bytes` now?
    void set_metadata(uint64_t bytes);
    bool grow_metadata(uint64_t bytes);
    void set_limits(Limits);
    uint64_t used() const;
    uint64_t reserved() const;

private:
    std::shared_ptr<State> state_;
};

}  // namespace weir::store
