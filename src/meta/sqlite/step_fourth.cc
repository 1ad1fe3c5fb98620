#include "meta/sqlite/steps.h"

namespace weir::meta {

// Until here a manifest linked whatever it named, and a tag's word was enough for an index: such a
// link proves nothing. Of those that are there only these stay: of a manifest that nothing else in
// the repository names, where a tag of the repository says that it gets its images from where the
// manifest came. Every other digest costs its repository one HEAD again. How bytes came was not
// written down: all count as private of where they came from, which lets that upstream prove them.
void fourth_step(Connection& c) {
    c.execute(R"sql(
ALTER TABLE blobs ADD COLUMN private_of TEXT NOT NULL DEFAULT '';
ALTER TABLE manifests ADD COLUMN private_of TEXT NOT NULL DEFAULT '';
ALTER TABLE staging ADD COLUMN private_of TEXT NOT NULL DEFAULT '';
UPDATE blobs SET private_of = upstream;
UPDATE manifests SET private_of = upstream;
-- Of nobody: what is here of such a blob is fetched again.
UPDATE staging SET private_of = '?';

-- A manifest may be stored without a link from now on.
CREATE TRIGGER manifest_unlinked AFTER INSERT ON manifests BEGIN
    INSERT OR IGNORE INTO unlinked_manifests (digest)
        SELECT new.digest WHERE NOT EXISTS (SELECT 1 FROM links WHERE digest = new.digest);
END;

DELETE FROM links WHERE (repository, digest) IN (
    SELECT l.repository, f.digest FROM links AS l
    CROSS JOIN manifests AS m ON m.digest = l.digest
    CROSS JOIN refs AS f ON f.manifest = m.id);
DELETE FROM links WHERE NOT EXISTS (SELECT 1 FROM manifests AS m WHERE m.digest = links.digest
    AND EXISTS (SELECT 1 FROM tags AS t
                WHERE t.repository = links.repository AND t.upstream = m.upstream));
)sql");
}

}  // namespace weir::meta
