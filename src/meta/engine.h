// meta/engine.h: one database that is both: what is there (metadata.h) and what keeps it in bounds
// (upkeep.h). Both see the same rows; a call of one is visible to every later call of the other.
#pragma once
#include "meta/metadata.h"
#include "meta/upkeep.h"

namespace weir::meta {

class Engine : public Metadata, public Upkeep {};

}  // namespace weir::meta
