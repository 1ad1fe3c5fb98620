#include "cache/answers.h"

#include <fmt/format.h>

#include <utility>

#include "base/failure.h"

namespace weir::cache {

struct Answers::State {
    explicit State(uint64_t bound) : limit(bound) {}
    const uint64_t limit;
    std::atomic<uint64_t> bytes{0};
};

Answers::Charge::Charge(std::shared_ptr<State> state, uint64_t bytes)
    : state_(std::move(state)), bytes_(bytes) {}

Answers::Charge::Charge(Charge&& other) noexcept
    : state_(std::move(other.state_)), bytes_(std::exchange(other.bytes_, 0)) {}

Answers::Charge& Answers::Charge::operator=(Charge&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

Answers::Charge::~Charge() {
    if (state_) state_->bytes.fetch_sub(bytes_, std::memory_order_relaxed);
}

Answers::Answers(uint64_t limit) : state_(std::make_shared<State>(limit)) {}

Answers::Charge Answers::charge(uint64_t bytes) {
    State& s = *state_;
    const uint64_t most = bytes <= kSmallBytes ? s.limit : s.limit - s.limit / kReservePart;
    uint64_t now = s.bytes.load(std::memory_order_relaxed);
    do {
        if (bytes > most || now > most - bytes)
            throw Failure(Kind::overloaded,
                          fmt::format("too much is being read just now for an answer of {} bytes "
                                      "more (weir.memory.bytes)",
                                      bytes));
    } while (!s.bytes.compare_exchange_weak(now, now + bytes, std::memory_order_relaxed));
    return Charge(state_, bytes);
}

std::shared_ptr<const Manifest> Answers::hold(Manifest manifest) {
    struct Held {
        Manifest manifest;
        Charge charge;
    };
    Charge taken = charge(manifest.size);
    const auto held = std::make_shared<const Held>(std::move(manifest), std::move(taken));
    return {held, &held->manifest};
}

uint64_t Answers::bytes() const {
    return state_->bytes.load(std::memory_order_relaxed);
}

}  // namespace weir::cache
