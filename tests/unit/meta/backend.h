// tests/unit/meta/backend.h: what the contracts are asked of, and rows to ask them with.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "meta/engine.h"

namespace weir::meta {

// One empty database for one test.
class Backend {
public:
    virtual ~Backend() = default;
    virtual std::unique_ptr<Engine> open() = 0;
    // A second open() after the first was closed finds what was there.
    virtual bool persistent() const { return true; }
    ManualClock clock;  // the engine's
};

struct Implementation {
    std::string name;
    std::function<std::unique_ptr<Backend>()> make;
};

inline void PrintTo(const Implementation& implementation, std::ostream* out) {
    *out << implementation.name;
}

// Where a blob is, as text: the tests tell it at a glance.
inline std::string place(Metadata& db, const oci::Digest& digest) {
    const auto row = db.find_blob(digest);
    if (!row) return "nowhere";
    return row->on_disk ? (row->in_s3 ? "disk and s3" : "disk") : (row->in_s3 ? "s3" : "lost");
}

inline std::string implementation_name(const testing::TestParamInfo<Implementation>& info) {
    return info.param.name;
}

inline oci::Digest digest_of(uint64_t number,
                             oci::Digest::Algorithm algorithm = oci::Digest::Algorithm::sha256) {
    std::vector<std::byte> sum(algorithm == oci::Digest::Algorithm::sha256 ? 32 : 64);
    for (size_t i = 0; i < sum.size(); ++i)
        sum[i] = static_cast<std::byte>((number >> (8 * (i % 8))) * (i / 8 + 1));
    return oci::Digest::from_sum(algorithm, sum);
}

inline WallTime at(int64_t seconds) {
    return WallTime(std::chrono::seconds(seconds));
}

inline BlobRow blob_row(uint64_t number, uint64_t generation = 1, uint64_t size = 100) {
    return {digest_of(number), size, generation, at(1000), at(1000), "docker.io"};
}

inline ManifestRow manifest_row(uint64_t number) {
    return {digest_of(number),
            "application/vnd.oci.image.manifest.v1+json",
            "{\"n\":" + std::to_string(number) + "}",
            at(2000),
            at(2000),
            "docker.io"};
}

inline StagingRow staging_row(uint64_t number, uint64_t generation, uint64_t bytes,
                              int64_t updated = 1) {
    StagingRow row;
    row.digest = digest_of(number);
    row.generation = generation;
    row.extents.insert(0, bytes);
    row.updated = at(updated);
    return row;
}

}  // namespace weir::meta
