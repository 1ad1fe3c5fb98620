// config/freshness.h: how long an answer about a tag may be used without asking again.
//
// Order: an immutable pattern; the first rule that matches; the upstream's own ttl (weir.upstreams,
// then manifestCheckInterval); freshness.ttl. An immutable value; any thread.
#pragma once
#include <memory>
#include <string_view>

#include "config/config.h"

namespace weir::config {

struct TagPolicy {
    bool immutable = false;  // once stored never asked again
    Duration ttl{};          // 0: ask each time (behind the answer)
};

class FreshnessPolicy {
public:
    // Failure{config_invalid} on a pattern that can't be compiled (load() has refused it before).
    static FreshnessPolicy build(const Config&);
    ~FreshnessPolicy();
    FreshnessPolicy(FreshnessPolicy&&) noexcept;
    FreshnessPolicy& operator=(FreshnessPolicy&&) noexcept;

    // `registry` may be null.
    TagPolicy tag(std::string_view local_repository, std::string_view tag,
                  const Registry* registry) const;

private:
    struct Impl;
    explicit FreshnessPolicy(std::unique_ptr<const Impl>);
    std::unique_ptr<const Impl> impl_;
};

}  // namespace weir::config
