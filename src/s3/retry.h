// s3/retry.h: what an answer means, and whether to ask again. Pure.
#pragma once
#include <optional>
#include <string>

#include "base/random.h"
#include "client/http_client.h"
#include "s3/answers.h"
#include "s3/bucket.h"

namespace weir::s3 {

enum class Next {
    settled,  // this is the outcome
    again,    // after a pause
    renew,    // with new credentials
    skew,     // with the server's time
    region,   // with the region that the answer names
};
struct Judgement {
    Outcome outcome = Outcome::ok;
    Next next = Next::settled;
};

// `error` is what the body says, if it is an <Error>. Once the head of a whole object was handed
// on, it isn't asked.
Judgement judge(const client::ReplyEnd&, const std::optional<ErrorAnswer>& error);

// The region that an answer hints at; "" for none or one that isn't a plain word.
std::string region_hint(const client::ReplyHead&, const std::optional<ErrorAnswer>&);

// Before try number `attempt` + 1: half of it fixed, half of it chance, at least what Retry-After
// says (bounded).
Duration pause_after(uint32_t attempt, const client::ReplyHead&, Random&);

}  // namespace weir::s3
