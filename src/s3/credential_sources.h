// s3/credential_sources.h: each place where AWS credentials may come from, asked once.
//
// None of them throws for what it finds or doesn't find: that is Found. Any loop.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "s3/credentials.h"
#include "s3/leashes.h"

namespace weir::s3 {

struct Found {
    // Neither credentials nor a failure: this source is not set up here, and the next one is asked.
    std::optional<Credentials> credentials;
    std::string failure;
};

class CredentialSource {
public:
    virtual ~CredentialSource() = default;
    virtual const char* name() const = 0;
    virtual Task<Found> ask(TimePoint deadline) = 0;
};

// In the order in which they are asked. What they ask is on one of the leashes.
std::vector<std::unique_ptr<CredentialSource>> credential_sources(CredentialOptions,
                                                                  client::HttpClient&, Pool&,
                                                                  Leashes&);

}  // namespace weir::s3
