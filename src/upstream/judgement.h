// upstream/judgement.h: what an answer means, and of whom it speaks. The one table.
//
// | answer                                   | outcome     | asked again | sign of its host |
// | 200, 206                                 | ok          | no          | good             |
// | 404                                      | not_found   | no          | good             |
// | 401, 403                                 | refused     | no          | good             |
// | 429; 503 with Retry-After                | throttled   | yes, later  | none (hold-off)  |
// | 408, 421, 425, 5xx; 1xx, 2xx, 3xx that   | failed      | yes         | bad              |
// |   can't be an answer                     |             |             |                  |
// | 407 (our proxy's)                        | unreachable | yes         | none             |
// | any other 4xx                            | rejected    | no          | good             |
// | no connection                            | unreachable | yes         | dead             |
// | no head within the time                  | timeout     | yes         | silent           |
// | cut, broken, stalled; closed without one | failed,     | yes         | bad              |
// |                                          | timeout     |             |                  |
// | led to where weir must not go            | forbidden   | no          | none             |
//
// A 4xx about one request is final: asked once, passed on as a 4xx, and good for the host. At a
// host that a redirect led to, 400, 401 and 403 without a challenge mean that the signed address is
// not good any more: "failed", because another attempt gets a fresh one; good for that host too.
// What a host did is put down to that host alone: a registry that redirects to a dead one is well.
#pragma once
#include "client/http_client.h"
#include "upstream/health.h"
#include "upstream/upstream.h"

namespace weir::upstream {

struct Setting {
    bool at_mirror = true;  // the answer came from the origin that was asked first
    bool has_retry_after = false;
    bool challenges = false;  // WWW-Authenticate
};

Outcome outcome_of(const client::ReplyEnd&, const Setting&);
// Of the host that gave this answer; `status` is 0 when no head came.
Sign sign_of(Outcome, int status);
Sign sign_of(const client::ReplyEnd&, Outcome);
// Worth another try at the same mirror.
bool is_transient(Outcome);

}  // namespace weir::upstream
