#include "meta/sqlite/steps.h"

namespace weir::meta {

// What lies in the database itself is weighed: in all, by upstream, and by the repository that it
// came through first. Kept by triggers, so that no statement can forget it; a name whose last row
// goes is forgotten too.
void fifth_step(Connection& c) {
    c.execute(R"sql(
DELETE FROM lists;  -- kept in another form from now on
ALTER TABLE lists ADD COLUMN upstream TEXT NOT NULL DEFAULT '';
ALTER TABLE manifests ADD COLUMN repository TEXT NOT NULL DEFAULT '';

CREATE TABLE weights (
    kind  INTEGER NOT NULL,  -- 0 manifests, 1 lists
    scope INTEGER NOT NULL,  -- 0 all, 1 an upstream, 2 a repository
    name  TEXT NOT NULL,     -- "" of all
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (kind, scope, name)
) STRICT, WITHOUT ROWID;
INSERT INTO weights SELECT 0, 0, '', count(*), sum(length(bytes) + 512)
    FROM manifests HAVING count(*) > 0;
INSERT INTO weights SELECT 0, 1, upstream, count(*), sum(length(bytes) + 512)
    FROM manifests GROUP BY upstream;
INSERT INTO weights SELECT 0, 2, repository, count(*), sum(length(bytes) + 512)
    FROM manifests GROUP BY repository;

CREATE INDEX manifests_by_age ON manifests (accessed);
CREATE INDEX manifests_of_upstream ON manifests (upstream, accessed);
CREATE INDEX manifests_of_repository ON manifests (repository, accessed);
CREATE INDEX lists_by_time ON lists (fetched);
CREATE INDEX lists_of_upstream ON lists (upstream, fetched);

CREATE TRIGGER manifest_weighed AFTER INSERT ON manifests BEGIN
    INSERT INTO weights VALUES (0, 0, '', 1, length(new.bytes) + 512),
        (0, 1, new.upstream, 1, length(new.bytes) + 512),
        (0, 2, new.repository, 1, length(new.bytes) + 512)
        ON CONFLICT DO UPDATE SET count = count + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER manifest_weighed_again AFTER UPDATE OF bytes ON manifests BEGIN
    UPDATE weights SET bytes = bytes + length(new.bytes) - length(old.bytes)
        WHERE kind = 0 AND (scope, name) IN
            (VALUES (0, ''), (1, new.upstream), (2, new.repository));
END;
CREATE TRIGGER manifest_weighed_off AFTER DELETE ON manifests BEGIN
    UPDATE weights SET count = count - 1, bytes = bytes - length(old.bytes) - 512
        WHERE kind = 0 AND (scope, name) IN
            (VALUES (0, ''), (1, old.upstream), (2, old.repository));
    DELETE FROM weights WHERE kind = 0 AND count <= 0 AND (scope, name) IN
            (VALUES (0, ''), (1, old.upstream), (2, old.repository));
END;
CREATE TRIGGER list_weighed AFTER INSERT ON lists BEGIN
    INSERT INTO weights VALUES (1, 0, '', 1, length(new.body) + 512),
        (1, 1, new.upstream, 1, length(new.body) + 512),
        (1, 2, new.repository, 1, length(new.body) + 512)
        ON CONFLICT DO UPDATE SET count = count + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER list_weighed_again AFTER UPDATE OF body ON lists BEGIN
    UPDATE weights SET bytes = bytes + length(new.body) - length(old.body)
        WHERE kind = 1 AND (scope, name) IN
            (VALUES (0, ''), (1, new.upstream), (2, new.repository));
END;
CREATE TRIGGER list_weighed_off AFTER DELETE ON lists BEGIN
    UPDATE weights SET count = count - 1, bytes = bytes - length(old.body) - 512
        WHERE kind = 1 AND (scope, name) IN
            (VALUES (0, ''), (1, old.upstream), (2, old.repository));
    DELETE FROM weights WHERE kind = 1 AND count <= 0 AND (scope, name) IN
            (VALUES (0, ''), (1, old.upstream), (2, old.repository));
END;
)sql");
}

}  // namespace weir::meta
