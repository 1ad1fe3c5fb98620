// tests/sim/street.h: one run of the neighbours' script, with or without the neighbour
// (neighbours.h).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "async/scope.h"
#include "sim/evil.h"
#include "sim/machine.h"

namespace weir::sim {

// What an honest client asks for, and when.
struct Errand {
    enum class Kind { manifest, manifest_head, blob, blob_head, range, tags, referrers };
    Kind kind = Kind::manifest;
    Duration at{};
    size_t route = 0;
    std::string reference;  // a tag, or a digest
    uint64_t first = 0, length = 0;
    std::string text() const;
};

// How it went.
struct Told {
    std::string answer;  // status, digest, bytes: whatever a client sees
    Duration took{};
    bool done = false;
};

class Street {
public:
    Street(uint64_t seed, bool with_neighbour, bool verbose);
    ~Street();
    void run();

    const std::vector<Errand>& script() const { return script_; }
    const std::vector<Told>& told() const { return told_; }
    const std::vector<std::string>& broken() const { return broken_; }
    uint64_t trace() const { return trace_; }
    bool hung() const { return hung_; }

private:
    void furnish();
    void write_script();
    MachineOptions options();
    void add_image(size_t registry, const std::string& repository, const std::string& tag);
    Task<> errand(size_t number);
    Task<std::string> ask(const Errand&);
    Task<std::string> read(const cache::BlobView&, uint64_t first, uint64_t length);

    // The neighbour's clients.
    Task<> visitor();
    Task<> trespass(size_t route);
    Task<> loiter(const cache::BlobView&, size_t route, const oci::Digest&);
    Task<> peek(const cache::BlobView&, uint64_t first, uint64_t last);
    void check_given(size_t route, const oci::Digest&);
    bool is_evil(size_t route) const { return route >= honest_routes_; }

    void note(const std::string& what);
    void wrong(const std::string& what);
    TimePoint now() const { return clock_.now(); }
    bool await(const char* what, const std::function<bool()>& done, Duration within);
    Duration between(Random&, Duration low, Duration high);

    const bool with_neighbour_, verbose_;
    ManualClock clock_;
    LoopGroup loops_{1, clock_};
    SeededRandom random_;       // of the street and its script: the same with and without
    SeededRandom evil_random_;  // of the neighbour
    const uint64_t seed_;
    Content content_;
    Internet internet_{loops_[0], content_};
    std::unique_ptr<Evil> evil_;
    std::unique_ptr<Machine> machine_;
    Scope scope_{"street"};
    std::vector<Route> routes_;
    size_t honest_routes_ = 0;
    size_t registries_ = 0;          // honest ones; the evil one is the next
    bool closed_ = false;            // registry 0 wants a login, which weir has
    std::set<oci::Digest> private_;  // what only registry 0 has
    std::vector<Errand> script_;
    std::vector<Told> told_;
    std::vector<std::string> broken_;
    size_t running_ = 0;  // errands
    size_t visitors_ = 0;
    bool over_ = false;
    bool hung_ = false;
    uint64_t trace_ = 0xcbf29ce484222325;
};

}  // namespace weir::sim
