// tests/unit/cache/lab.h: the real cache over the simulator's network, pool and disk, without
// chance: one registry with as many mirrors as a test wants, one local repository, virtual time.
#pragma once
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/scope.h"
#include "sim/content.h"
#include "sim/internet.h"
#include "sim/machine.h"
#include "support/jumping_clock.h"

namespace weir::cache {

using namespace std::chrono_literals;
using sim::Fault;
using sim::Mood;
using sim::What;

constexpr uint64_t kKib = 1024;

// One client's read of a blob, while it runs and after.
struct Reading {
    std::string bytes;
    std::optional<uint64_t> size;  // of the whole, once the head is there
    From from = From::miss;
    std::optional<Kind> failed;
    std::string why;
    bool done = false;      // ended, one way or the other
    bool complete = false;  // as a client sees it: all bytes came
    bool leave = false;     // set by the test: before the next piece
    TimePoint began{}, head_at{}, ended{};
};

struct Pace {
    uint64_t bytes = 64 * kKib;  // at once
    Duration pause{};
};

class Lab : public testing::Test {
protected:
    static constexpr const char* kRepo = "team/app";
    static constexpr const char* kLocal = "local/app";

    Lab();
    ~Lab() override;

    // Changes before it go into `options`.
    void boot();
    void restart();
    void crash(FaultFiles::Loss = FaultFiles::Loss::everything);
    void stop();
    // Reads the blob and dies between its commit and its row.
    std::shared_ptr<Reading> read_and_die(const oci::Digest&);

    // A blob of the registry, in kRepo unless `repo` says otherwise ("" : in none).
    oci::Digest blob(uint64_t bytes, const std::string& repo = kRepo,
                     oci::Digest::Algorithm = oci::Digest::Algorithm::sha256);
    oci::Digest image(const std::string& tag, const std::vector<oci::Digest>& layers);
    // A manifest of the repository names what is read there, as in a pull; false: nothing does.
    bool name_what_is_read = true;
    void name(const oci::Digest&, const std::string& local);

    std::shared_ptr<Reading> start(const oci::Digest&, std::vector<WantedRange> = {}, Pace = {},
                                   const std::string& local = kLocal);
    // The same, to its end.
    std::shared_ptr<Reading> read(const oci::Digest&, std::vector<WantedRange> = {}, Pace = {},
                                  const std::string& local = kLocal);
    // All of the blob came, and it is the blob.
    testing::AssertionResult whole(const oci::Digest&, const Reading&) const;
    testing::AssertionResult part(const oci::Digest&, const Reading&, uint64_t first,
                                  uint64_t length) const;

    template <class F>
    auto run(F make);
    std::optional<Kind> head_fails(const oci::Digest&, const std::string& local = kLocal);
    // By tag or digest; nullopt and `failed` when there is a Failure.
    std::optional<ManifestView> manifest(const std::string& reference, bool head = false,
                                         const std::string& local = kLocal);
    std::optional<Kind> failed;
    Duration took{};

    void wait(Duration);
    void until(const std::function<bool()>&);
    void finish(const Reading& reading) {
        until([&] { return reading.done; });
    }

    std::vector<sim::Ask> asks(What, const std::string& method = "GET") const;
    sim::Mirror& mirror(size_t number = 0) { return internet.mirror(0, number); }
    sim::Given& given(const oci::Digest& digest) { return internet.given(digest); }
    // What was kept of the digest.
    bool stored(const oci::Digest& digest) {
        return machine->metadata().find_blob(digest).has_value();
    }
    uint64_t staged(const oci::Digest& digest) {
        const auto row = machine->metadata().find_staging(digest);
        return row ? row->extents.total() : 0;
    }

    JumpingClock clock;
    LoopGroup loops{1, clock};
    SeededRandom random{1};
    sim::Content content;
    sim::Internet internet{loops[0], content};
    sim::MachineOptions options;
    std::unique_ptr<sim::Machine> machine;
    // Faults of the next blob GETs, by mirror; of the next manifest requests.
    std::map<size_t, std::deque<Fault>> faults;
    std::deque<Fault> manifest_faults;

private:
    Task<> follow(std::shared_ptr<Reading>, oci::Digest, std::vector<WantedRange>, Pace,
                  std::string local);
    Task<> take(std::shared_ptr<Reading>, BlobView, std::vector<WantedRange>, Pace);
    Scope scope_{"lab"};
    size_t reading_ = 0;
};

template <class F>
auto Lab::run(F make) {
    using Result = typename std::invoke_result_t<F&>::value_type;
    using Value = std::conditional_t<std::is_void_v<Result>, bool, Result>;
    std::optional<Value> value;
    std::exception_ptr error;
    const TimePoint began = clock.now();
    scope_.spawn(loops[0], [&]() -> Task<> {
        try {
            if constexpr (std::is_void_v<Result>) {
                co_await make();
                value.emplace(true);
            } else {
                value.emplace(co_await make());
            }
        } catch (...) {
            error = std::current_exception();
        }
    });
    until([&] { return value || error; });
    took = clock.now() - began;
    if (error) std::rethrow_exception(error);
    if constexpr (!std::is_void_v<Result>) return std::move(*value);
}

}  // namespace weir::cache
