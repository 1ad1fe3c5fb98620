#include "unit/meta/collection_contract.h"
#include "unit/meta/sqlite_backend.h"
#include "unit/meta/tiers_contract.h"
#include "unit/meta/upkeep_contract.h"

namespace weir::meta {

INSTANTIATE_TEST_SUITE_P(Sqlite, UpkeepContract, testing::ValuesIn(sqlite_implementations()),
                         implementation_name);
INSTANTIATE_TEST_SUITE_P(Sqlite, TiersContract, testing::ValuesIn(sqlite_implementations()),
                         implementation_name);
INSTANTIATE_TEST_SUITE_P(Sqlite, CollectionContract, testing::ValuesIn(sqlite_implementations()),
                         implementation_name);

}  // namespace weir::meta
