#include "support/fill_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/failure.h"
#include "base/text.h"
#include "meta/sqlite/connection.h"
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

void insert_blobs(Connection& c, uint64_t blobs) {
    for (uint64_t i = 0; i < blobs; ++i) {
        Query(c,
              "INSERT INTO blobs (digest, size, generation, created, accessed, upstream) "
              "VALUES (?, ?, ?, ?, ?, ?)",
              digest(i, blobs, 1), 1000 + mix(i) % 100'000'000, i + 1, kMicroseconds + i,
              kMicroseconds + i, std::string_view("docker.io"))
            .run();
    }
}

// Repository r has the manifest r and its share of the blobs.
void insert_repositories(Connection& c, uint64_t repositories, uint64_t blobs) {
    for (uint64_t r = 0; r < repositories; ++r) {
        const auto manifest = digest(r, repositories, 2);
        const std::string name = fmt::format("docker.io/team-{:04}/image-{:06}", r % 1000, r);
        const std::string bytes = manifest_text(digest(r % std::max<uint64_t>(blobs, 1), blobs, 1));
        Query(c, "INSERT INTO repositories (id, name) VALUES (?, ?)", r + 1, name).run();
        Query(c,
              "INSERT INTO manifests (digest, created, accessed, upstream, media_type, bytes) "
              "VALUES (?, ?, ?, ?, ?, ?)",
              manifest, kMicroseconds + r, kMicroseconds + r, std::string_view("docker.io"),
              std::string_view("application/vnd.oci.image.manifest.v1+json"), Bytes{bytes})
            .run();
        Query(c,
              "INSERT INTO tags (repository, name, digest, checked, upstream) "
              "VALUES (?, ?, ?, ?, ?)",
              r + 1, std::string_view("latest"), manifest, kMicroseconds + r,
              std::string_view("docker.io"))
            .run();
        for (uint64_t i = r * blobs / repositories; i < (r + 1) * blobs / repositories; ++i)
            Query(c, "INSERT INTO links (repository, digest) VALUES (?, ?)", r + 1,
                  digest(i, blobs, 1))
                .run();
        Query(c, "INSERT OR IGNORE INTO links (repository, digest) VALUES (?, ?)", r + 1, manifest)
            .run();
    }
}

}  // namespace

void fill_metadata(const std::string& path, uint64_t repositories, uint64_t blobs) {
    open_sqlite({path});
    Connection connection(path, Connection::Role::writer);
    if (connection.number("SELECT count(*) FROM repositories") != 0)
        throw Failure(Kind::io, fmt::format("{} is not empty", path));
    connection.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -65536");
    Transaction transaction(connection);
    insert_blobs(connection, blobs);
    insert_repositories(connection, repositories, blobs);
    connection.execute(fmt::format("UPDATE counters SET generation = {}", blobs + 1));
    transaction.commit();
}

}  // namespace weir::meta
