#include "sim/neighbours.h"

#include <fmt/format.h>

#include "sim/street.h"

namespace weir::sim {

using namespace std::chrono_literals;

// So much later may an answer come: what it costs to ask another origin beside one that is slow.
constexpr Duration kLater = 500ms;
constexpr int64_t kShare = 5;  // and a fifth of its time

std::vector<std::string> Neighbours::run() {
    auto alone = std::make_unique<Street>(seed_, false, false);
    auto beside = std::make_unique<Street>(seed_, true, verbose_);
    alone->run();
    beside->run();
    trace_ = alone->trace() ^ (beside->trace() << 1);
    std::vector<std::string> broken;
    for (const auto& what : alone->broken()) broken.push_back("alone, " + what);
    for (const auto& what : beside->broken()) broken.push_back(what);
    for (size_t i = 0; i < alone->script().size(); ++i) {
        const std::string what = alone->script()[i].text();
        const Told &without = alone->told()[i], &with = beside->told()[i];
        if (!without.done || !with.done) continue;
        if (without.answer != with.answer)
            broken.push_back(fmt::format("{}: \"{}\" beside the neighbour, \"{}\" alone", what,
                                         with.answer, without.answer));
        if (with.took > without.took + without.took / kShare + kLater)
            broken.push_back(fmt::format("{}: {} ms beside the neighbour, {} ms alone", what,
                                         with.took / 1ms, without.took / 1ms));
    }
    // What hangs can't be taken apart.
    for (auto* street : {&alone, &beside})
        if ((*street)->hung()) [[maybe_unused]]
            auto* left = street->release();
    return broken;
}

}  // namespace weir::sim
