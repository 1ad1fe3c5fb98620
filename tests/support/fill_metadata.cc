#include "support/fill_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/failure.h"
#include "base/text.h"
#include "meta/sqlite/connection.h"
#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_metadata.h"

namespace weir::meta {
namespace {

constexpr uint64_t kMicroseconds = 1'700'000'000'000'000;

uint64_t mix(uint64_t x) {  // splitmix64
    x += 0x9E37'79B9'7F4A'7C15u;
    x = (x ^ (x >> 30)) * 0xBF58'476D'1CE4'E5B9u;
    x = (x ^ (x >> 27)) * 0x94D0'49BB'1331'11EBu;
    return x ^ (x >> 31);
}

// The digests of 0..count-1 are in ascending order, so that each row goes to the end of its table;
// spread over the whole range as real ones are.
oci::Digest digest(uint64_t number, uint64_t count, uint64_t salt) {
    std::array<uint64_t, 4> words{};
    words[0] = __builtin_bswap64(~uint64_t{0} / std::max<uint64_t>(count, 1) * number);
    for (size_t i = 1; i < words.size(); ++i) words[i] = mix(number * 4 + i + salt);
    return oci::Digest::from_sum(oci::Digest::Algorithm::sha256, std::as_bytes(std::span(words)));
}

std::string manifest_text(const oci::Digest& config) {
    return fmt::format(
        R"({{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)"
        R"({{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}},)"
        R"("layers":[]}})",
        config.text());
}

// Of `count` rows, spread evenly, the part `fraction`.
bool chosen(uint64_t number, double fraction) {
    const auto before = static_cast<uint64_t>(static_cast<double>(number) * fraction);
    return before != static_cast<uint64_t>(static_cast<double>(number + 1) * fraction);
}

void insert_blobs(Connection& c, uint64_t blobs, double in_s3) {
    for (uint64_t i = 0; i < blobs; ++i) {
        const uint64_t size = 1000 + mix(i) % 100'000'000;
        const bool s3 = chosen(i, in_s3);
        Query(c,
              "INSERT INTO blobs (digest, size, generation, created, accessed, upstream, on_disk, "
              "in_s3, priority) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
              digest(i, blobs, 1), size, i + 1, kMicroseconds + i, kMicroseconds + i,
              std::string_view("docker.io"), !s3, s3, loss(size))
            .run();
    }
}

// Repository r has the manifest r and its share of the blobs.
void insert_repositories(Connection& c, uint64_t repositories, uint64_t blobs, double in_s3) {
    for (uint64_t r = 0; r < repositories; ++r) {
        const auto manifest = digest(r, repositories, 2);
        const std::string name = fmt::format("docker.io/team-{:04}/image-{:06}", r % 1000, r);
        const auto config = digest(r % std::max<uint64_t>(blobs, 1), blobs, 1);
        const std::string bytes = manifest_text(config);
        Query(c, "INSERT INTO repositories (id, name) VALUES (?, ?)", r + 1, name).run();
        Query(c,
              "INSERT INTO manifests (id, digest, created, accessed, upstream, media_type, bytes, "
              "in_s3) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
              r + 1, manifest, kMicroseconds + r, kMicroseconds + r, std::string_view("docker.io"),
              std::string_view("application/vnd.oci.image.manifest.v1+json"), Bytes{bytes},
              chosen(r, in_s3))
            .run();
        insert_reference(c, r + 1, config);
        Query(c,
              "INSERT INTO tags (repository, name, digest, checked, created, upstream, in_s3) "
              "VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)",
              r + 1, std::string_view("latest"), manifest, kMicroseconds + r,
              std::string_view("docker.io"), chosen(r, in_s3))
            .run();
        for (uint64_t i = r * blobs / repositories; i < (r + 1) * blobs / repositories; ++i)
            Query(c, "INSERT INTO links (repository, digest) VALUES (?, ?)", r + 1,
                  digest(i, blobs, 1))
                .run();
        Query(c, "INSERT OR IGNORE INTO links (repository, digest) VALUES (?, ?)", r + 1, manifest)
            .run();
    }
}

struct Index {
    std::string name;
    std::string sql;
};

// But for the one that a trigger asks with each manifest.
std::vector<Index> indices(Connection& c) {
    std::vector<Index> all;
    Query q(c,
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL "
            "AND name <> 'links_by_digest'");
    while (q.next()) all.push_back({q.text(0), q.text(1)});
    return all;
}

}  // namespace

void fill_metadata(const std::string& path, uint64_t repositories, uint64_t blobs, double in_s3) {
    open_sqlite({path});
    Connection connection(path, Connection::Role::writer);
    if (connection.number("SELECT count(*) FROM repositories") != 0)
        throw Failure(Kind::io, fmt::format("{} is not empty", path));
    connection.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -65536");
    Transaction transaction(connection);
    // Sorted at once they are made in half the time.
    const auto all = indices(connection);
    for (const auto& index : all) connection.execute("DROP INDEX " + index.name);
    insert_blobs(connection, blobs, in_s3);
    insert_repositories(connection, repositories, blobs, in_s3);
    for (const auto& index : all) connection.execute(index.sql);
    connection.execute(fmt::format("UPDATE counters SET generation = {}", blobs + 1));
    transaction.commit();
}

}  // namespace weir::meta
