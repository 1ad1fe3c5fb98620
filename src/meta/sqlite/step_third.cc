#include "meta/sqlite/steps.h"

namespace weir::meta {

void third_step(Connection& c) {
    c.execute(R"sql(
-- Files whose row went in the transaction that wrote this one; until they are unlinked.
CREATE TABLE erasures (
    digest     BLOB NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (digest, generation)
) STRICT, WITHOUT ROWID;

-- 1: what is not in S3 has its job row; 2: somebody is walking to see to that; 0: nobody knows.
ALTER TABLE counters ADD COLUMN all_queued INTEGER NOT NULL DEFAULT 0;
)sql");
}

}  // namespace weir::meta
