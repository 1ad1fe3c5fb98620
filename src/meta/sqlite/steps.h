// meta/sqlite/steps.h: the steps of the schema, oldest first. Each runs once on a file, inside the
// transaction of the migration (schema.h).
#pragma once
#include "meta/sqlite/connection.h"

namespace weir::meta {

void first_step(Connection&);   // blobs, manifests, tags, links, lists, staging
void second_step(Connection&);  // tiers, uploads, priorities, references, pins, collection
void third_step(Connection&);   // files to erase, whether all is queued for S3
void fourth_step(Connection&);  // links are proofs; whose login bytes came with
void fifth_step(Connection&);   // weights of what lies in the database itself

}  // namespace weir::meta
