// cache/answers.h: the bytes of answers that are alive: manifests and lists that the memory keeps,
// or that only somebody who is reading them still holds. Each is there once, whoever reads it and
// however slowly, and all of them together have a bound.
//
// A charge is taken when the bytes have become an answer and lives with them. Past the bound a new
// large answer is Failure{overloaded}; small ones have a reserve of their own. Any thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "cache/cache.h"

namespace weir::cache {

class Answers {
    struct State;

public:
    // Up to this size an answer is small.
    static constexpr uint64_t kSmallBytes = 64 * 1024;
    // The part of the bound that large answers leave to small ones.
    static constexpr uint64_t kReservePart = 8;

    // Gives its bytes back when it dies.
    class Charge {
    public:
        Charge() = default;
        Charge(Charge&& other) noexcept;
        Charge& operator=(Charge&& other) noexcept;
        ~Charge();

    private:
        friend class Answers;
        Charge(std::shared_ptr<State> state, uint64_t bytes);
        std::shared_ptr<State> state_;
        uint64_t bytes_ = 0;
    };

    explicit Answers(uint64_t limit);

    Charge charge(uint64_t bytes);
    // Charged as long as anybody holds it.
    std::shared_ptr<const Manifest> hold(Manifest manifest);
    uint64_t bytes() const;

private:
    std::shared_ptr<State> state_;
};

}  // namespace weir::cache
