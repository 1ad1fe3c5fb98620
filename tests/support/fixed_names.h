// tests/support/fixed_names.h: a name service that knows what a test says, and no other name.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/resolver.h"

namespace weir::test {

class FixedNames : public client::NameService {
public:
    using Table = std::map<std::string, std::vector<std::string>>;
    explicit FixedNames(Table table) : table_(std::move(table)) {}

    void look_up(std::string name, Done done) override {
        client::Found found;
        const auto at = table_.find(name);
        found.what =
            at == table_.end() ? client::Found::What::absent : client::Found::What::addresses;
        if (at != table_.end()) found.addresses = at->second;
        if (at == table_.end()) found.detail = "there is no such name";
        done(std::move(found));
    }
    uint64_t generation() override { return 1; }

private:
    const Table table_;
};

// For client::CurlOptions::names.
inline std::function<std::unique_ptr<client::NameService>()> fixed_names(FixedNames::Table table) {
    return [table = std::move(table)] { return std::make_unique<FixedNames>(table); };
}

}  // namespace weir::test
