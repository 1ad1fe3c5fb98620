// tests/unit/meta/sqlite_backend.h: what the contracts run over.
#pragma once
#include "meta/sqlite/sqlite_metadata.h"
#include "sim/mortal_engine.h"
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

// The simulator's, which passes all on as long as nothing is to fail.
class SimulatedBackend : public FileBackend {
public:
    SimulatedBackend() : FileBackend(false) {}
    std::unique_ptr<Engine> open() override {
        return std::make_unique<Simulated>(FileBackend::open());
    }

private:
    struct Owner {
        std::unique_ptr<Engine> real;
    };
    class Simulated : Owner, public sim::MortalEngine {
    public:
        explicit Simulated(std::unique_ptr<Engine> real)
            : Owner{std::move(real)}, sim::MortalEngine(*Owner::real) {}
    };
};

inline std::vector<Implementation> sqlite_implementations() {
    return {{"file", [] { return std::make_unique<FileBackend>(false); }},
            {"durable_file", [] { return std::make_unique<FileBackend>(true); }},
            {"memory", [] { return std::make_unique<MemoryBackend>(); }},
            {"simulated", [] { return std::make_unique<SimulatedBackend>(); }}};
}

}  // namespace weir::meta
