#include "base/random.h"

namespace weir {
Random& system_random() {
    static SeededRandom random((static_cast<uint64_t>(std::random_device{}()) << 32) |
                               std::random_device{}());
    return random;
}
}  // namespace weir
