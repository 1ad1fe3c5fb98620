// base/random.h: chance, injected, so that a seed replays a run.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>

namespace weir {

// Any thread.
class Random {
public:
    virtual uint64_t next() = 0;
    virtual ~Random() = default;
    // Uniform in [0, bound); bound > 0. The bias of the modulo does not matter for jitter and
    // schedules.
    uint64_t below(uint64_t bound) { return next() % bound; }
    double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
};

class SeededRandom : public Random {
public:
    explicit SeededRandom(uint64_t seed) : engine_(seed) {}
    uint64_t next() override {
        std::lock_guard lock(mutex_);
        return engine_();
    }

private:
    std::mutex mutex_;
    std::mt19937_64 engine_;
};

// Seeded from the system's entropy; one for the process.
Random& system_random();

}  // namespace weir
