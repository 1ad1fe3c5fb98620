// tests/unit/meta/sqlite_backend.h: what the contracts run over.
#pragma once
#include "meta/sqlite/sqlite_metadata.h"
#include "support/temporary_directory.h"
#include "unit/meta/backend.h"

namespace weir::meta {

class FileBackend : public Backend {
public:
    explicit FileBackend(bool durable) : durable_(durable) {}
    std::unique_ptr<Engine> open() override {
        return open_sqlite({directory_ / "meta.db", durable_, 4, &clock});
    }

private:
    TemporaryDirectory directory_;
    bool durable_;
};

class MemoryBackend : public Backend {
public:
    std::unique_ptr<Engine> open() override { return open_sqlite({":memory:", false, 1, &clock}); }
    bool persistent() const override { return false; }
};

inline std::vector<Implementation> sqlite_implementations() {
    return {{"file", [] { return std::make_unique<FileBackend>(false); }},
            {"durable_file", [] { return std::make_unique<FileBackend>(true); }},
            {"memory", [] { return std::make_unique<MemoryBackend>(); }}};
}

}  // namespace weir::meta
