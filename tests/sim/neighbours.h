// tests/sim/neighbours.h: a registry and clients that misbehave in every way they know, beside
// others that do not notice.
//
// A seed makes honest registries, a script of what honest clients ask for and when, and the
// neighbour: an Evil registry, and clients that ask it for whatever there is, who leave, read
// slowly or not at all, and also ask the honest registries for what those refuse. The same script
// runs twice, without the neighbour and with it. What is checked:
//   - each answer of the script is the same, bytes and all, and comes no later than kLater and a
//   share of its time;
//   - the evil repositories give no bytes that their upstream did not give or, for what is public,
//   say it has;
//     and bytes that are given whole are right;
//   - when all have left nothing is being fetched and nothing is held.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace weir::sim {

class Neighbours {
public:
    Neighbours(uint64_t seed, bool verbose) : seed_(seed), verbose_(verbose) {}
    // The promises that were broken, in words.
    std::vector<std::string> run();
    uint64_t trace() const { return trace_; }

private:
    const uint64_t seed_;
    const bool verbose_;
    uint64_t trace_ = 0;
};

}  // namespace weir::sim
