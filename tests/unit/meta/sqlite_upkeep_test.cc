// The upkeep in SQLite: files of schema 1, the plans of the statements that run often, what a call
// costs, and that the choice of victims is a good one.
#include <gmock/gmock.h>
#include <time.h>

#include <cmath>
#include <list>

#include "base/random.h"
#include "meta/sqlite/schema.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "meta/sqlite/victims.h"
#include "support/fill_metadata.h"
#include "support/temporary_directory.h"
#include "unit/meta/backend.h"
#include "unit/meta/schema_1.h"
#include "unit/meta/sqlite_checks.h"

namespace weir::meta {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// --- a file of schema 1

std::string image_of(const std::vector<uint64_t>& layers, std::optional<uint64_t> subject = {}) {
    std::string text = R"({"schemaVersion":2,"layers":[)";
    for (size_t i = 0; i < layers.size(); ++i)
        text += std::string(i == 0 ? "" : ",") + R"({"mediaType":"x","size":1,"digest":")" +
                digest_of(layers[i]).text() + R"("})";
    text += "]";
    if (subject)
        text += R"(,"subject":{"mediaType":"x","size":1,"digest":")" + digest_of(*subject).text() +
                R"("})";
    return text + "}";
}

class OldFile {
public:
    explicit OldFile(const std::string& path) : c_(path, Connection::Role::writer) {
        c_.execute(kSchema1);
        c_.execute("PRAGMA application_id = 2003134834; PRAGMA user_version = 1");
    }
    void blob(uint64_t number, uint64_t size, std::string_view upstream) {
        Query(c_,
              "INSERT INTO blobs (digest, size, generation, created, accessed, upstream) "
              "VALUES (?, ?, ?, ?, ?, ?)",
              digest_of(number), size, number, at(1000), at(1000), upstream)
            .run();
    }
    void manifest(uint64_t number, const std::string& text,
                  std::string_view upstream = "docker.io") {
        Query(c_,
              "INSERT INTO manifests (digest, created, accessed, upstream, media_type, bytes) "
              "VALUES (?, ?, ?, ?, 'application/vnd.oci.image.manifest.v1+json', ?)",
              digest_of(number), at(2000), at(2000), upstream, Bytes{text})
            .run();
    }
    void repository(uint64_t id, std::string_view name) {
        Query(c_, "INSERT INTO repositories (id, name) VALUES (?, ?)", id, name).run();
    }
    void link(uint64_t repository, uint64_t number) {
        Query(c_, "INSERT INTO links (repository, digest) VALUES (?, ?)", repository,
              digest_of(number))
            .run();
    }
    void tag(uint64_t repository, std::string_view name, uint64_t number,
             std::string_view upstream = "docker.io") {
        Query(c_,
              "INSERT INTO tags (repository, name, digest, checked, upstream) "
              "VALUES (?, ?, ?, ?, ?)",
              repository, name, digest_of(number), at(3000), upstream)
            .run();
    }

private:
    Connection c_;
};

TEST(SqliteMigration, a_file_of_schema_1_becomes_one_of_today) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    {
        OldFile old(path);
        old.repository(1, "docker.io/library/debian");
        old.repository(2, "left/empty");
        old.blob(1, 500, "docker.io");
        old.blob(2, 700, "");
        old.blob(3, 900, "quay.io");
        old.manifest(11, image_of({1, 2}));
        old.manifest(12, image_of({3}, 11));
        old.manifest(13, "what is no manifest");
        for (uint64_t number : {1, 2, 3, 11, 12, 13}) old.link(1, number);
        old.tag(1, "latest", 11);
    }
    auto db = open_sqlite({path});
    EXPECT_EQ(Checked(path).count("PRAGMA user_version"), newest_schema());
    expect_counters_count(path);
    EXPECT_EQ(db->usage().blobs, 3u);
    EXPECT_EQ(db->tier_usage().disk_bytes, 2100u);
    EXPECT_EQ(db->disk_bytes_of("quay.io"), 900u);
    EXPECT_TRUE(db->find_blob(digest_of(1))->on_disk);
    const auto tag = db->tag_infos("docker.io/library/debian").at(0);
    EXPECT_EQ(tag.pushed, at(3000));
    EXPECT_EQ(tag.pulled, at(2000));
    // References and subjects were read from the stored bytes.
    EXPECT_THAT(db->loose_links("docker.io/library/debian", at(9000), 10), IsEmpty());
    const auto untagged = db->untagged("docker.io/library/debian", at(9000), 10);
    ASSERT_EQ(untagged.size(), 1u);
    EXPECT_EQ(untagged[0].digest, digest_of(13));
    // What was pushed is not evictable, priorities are there.
    const auto victims = db->disk_victims("", {}, false, 10);
    ASSERT_EQ(victims.size(), 2u);
    EXPECT_EQ(victims[0].digest, digest_of(3));
    EXPECT_GT(victims[0].priority, 0);
    db->put_pin({"docker.io/library/debian", "latest"});
    EXPECT_EQ(db->disk_victims("", {}, false, 10).size(), 1u);
    EXPECT_EQ(db->remove_empty_repositories(10), 1u);
    db->enable_uploads(true);
    EXPECT_TRUE(db->queue_missing_uploads(std::nullopt, 100));
    EXPECT_EQ(db->tier_usage().uploads, 3u + 3u + 1u);
    EXPECT_THAT(db->erasures(std::nullopt, 10), IsEmpty());
}

TEST(SqliteMigration, links_that_a_manifest_made_by_naming_are_gone_and_nothing_is_collected) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    {
        OldFile old(path);
        old.repository(1, "corp/app");
        old.blob(1, 500, "corp");
        old.manifest(11, image_of({1}), "corp");
        for (uint64_t number : {1, 11}) old.link(1, number);
        old.tag(1, "v1", 11, "corp");
        // Another upstream's repository that named the layer, and one that said yes to a digest.
        old.repository(2, "evil/names");
        old.manifest(12, image_of({1}), "evil");
        for (uint64_t number : {1, 12}) old.link(2, number);
        old.tag(2, "v1", 12, "evil");
        old.repository(3, "evil/says");
        old.link(3, 11);
        old.tag(3, "v1", 11, "evil");
        // An index that names the image, in the repository it is of.
        old.repository(4, "corp/index");
        old.manifest(13,
                     R"({"schemaVersion":2,"mediaType":)"
                     R"("application/vnd.oci.image.index.v1+json","manifests":[{"digest":")" +
                         digest_of(11).text() + R"(","size":1}]})",
                     "corp");
        for (uint64_t number : {13, 11}) old.link(4, number);
        old.tag(4, "v1", 13, "corp");
    }
    auto db = open_sqlite({path});
    expect_counters_count(path);
    EXPECT_TRUE(db->linked("corp/app", digest_of(11)));
    EXPECT_TRUE(db->linked("evil/names", digest_of(12)));
    EXPECT_TRUE(db->linked("corp/index", digest_of(13)));
    for (const char* repository : {"corp/app", "evil/names"}) {
        EXPECT_FALSE(db->linked(repository, digest_of(1)));
        EXPECT_TRUE(db->named(repository, digest_of(1)));
    }
    for (const char* repository : {"evil/says", "corp/index"})
        EXPECT_FALSE(db->linked(repository, digest_of(11)));
    EXPECT_EQ(db->find_blob(digest_of(1))->private_of, "corp");
    EXPECT_EQ(db->find_manifest(digest_of(11))->private_of, "corp");
    EXPECT_EQ(db->find_manifest(digest_of(12))->private_of, "evil");
    std::optional<oci::Digest> next;
    EXPECT_THAT(db->sweep_manifests(at(9'000'000), 10), IsEmpty());
    EXPECT_THAT(db->sweep_blobs(std::nullopt, at(9'000'000), 10, &next), IsEmpty());
    EXPECT_EQ(db->usage().tags, 4u);
}

TEST(SqliteMigration, a_file_of_schema_1_that_two_open_at_once_is_migrated_once) {
    for (int round = 0; round < 5; ++round) {
        TemporaryDirectory directory;
        const std::string path = directory / "meta.db";
        {
            OldFile old(path);
            old.repository(1, "a/b");
            for (uint64_t i = 1; i <= 50; ++i) old.blob(i, i, "docker.io");
        }
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] { EXPECT_EQ(open_sqlite({path})->usage().blobs, 50u); });
        threads.clear();
        expect_counters_count(path);
    }
}

// --- the cost of a call

std::string plan_of(Connection& c, const char* sql) {
    std::string details;
    sqlite3_stmt* statement = nullptr;
    const std::string explain = std::string("EXPLAIN QUERY PLAN ") + sql;
    EXPECT_EQ(sqlite3_prepare_v2(c.handle(), explain.c_str(), -1, &statement, nullptr), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW)
        details += reinterpret_cast<const char*>(sqlite3_column_text(statement, 3));
    sqlite3_finalize(statement);
    return details;
}

class SqliteCost : public testing::Test {
protected:
    static constexpr uint64_t kBlobs = 100'000;
    static constexpr uint64_t kRepositories = 10'000;

    static void SetUpTestSuite() {
        directory_ = std::make_unique<TemporaryDirectory>();
        fill_metadata(path(), kRepositories, kBlobs, 0.5);
        // A third of what is in S3 is on the disk too.
        Connection c(path(), Connection::Role::writer);
        c.execute("UPDATE blobs SET on_disk = 1 WHERE in_s3 AND size % 3 = 0");
        const double before = cpu_ms();
        c.execute("SELECT sum(length(digest) + size) FROM blobs");
        walk_ms_ = cpu_ms() - before;
    }
    static void TearDownTestSuite() { directory_.reset(); }
    static std::string path() { return *directory_ / "meta.db"; }

    static double cpu_ms() {
        timespec t{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
    }
    template <class F>
    static void expect_short(const char* what, F f) {
        const double before = cpu_ms();
        f();
        const double took = cpu_ms() - before;
        RecordProperty("walk", std::to_string(walk_ms_));
        RecordProperty(what, std::to_string(took));
        EXPECT_LT(took, kWalks * walk_ms_) << what << ": a walk takes " << walk_ms_ << " ms";
    }

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    static constexpr double kWalks = 80;
#else
    static constexpr double kWalks = 8;
#endif
#endif
    // What reading all blobs once takes on this machine, in processor time.
    static inline double walk_ms_ = 0;
    static inline std::unique_ptr<TemporaryDirectory> directory_;
};

TEST_F(SqliteCost, victims_come_out_of_an_index_in_order) {
    Connection c(path(), Connection::Role::reader);
    for (const char* sql : {kLowestVictims, kLowestVictimsOf, kOldestVictims}) {
        const std::string plan = plan_of(c, sql);
        EXPECT_THAT(plan, HasSubstr("SEARCH blobs USING COVERING INDEX victims"));
        EXPECT_THAT(plan, HasSubstr("in_s3=? AND evictable=? AND"));
        EXPECT_THAT(plan, Not(HasSubstr("TEMP B-TREE")));
    }
}

TEST_F(SqliteCost, a_page_of_victims_is_short_with_and_without_pins) {
    auto db = open_sqlite({path()});
    for (const bool pinned : {false, true}) {
        if (pinned)
            db->set_configured_pins(
                {{"docker.io/team-000?/**", "*"}, {"docker.io/team-0[1-2]*/**", "lat*"}});
        for (const bool s3 : {false, true}) {
            expect_short("victims",
                         [&] { EXPECT_EQ(db->disk_victims("", {}, s3, 64).size(), 64u); });
            expect_short("victims of an upstream",
                         [&] { EXPECT_EQ(db->disk_victims("docker.io", {}, s3, 64).size(), 64u); });
            expect_short("old victims", [&] {
                EXPECT_EQ(db->disk_victims("", at(3'000'000'000), s3, 64).size(), 64u);
            });
        }
    }
    const auto victims = db->disk_victims("", {}, true, 64);
    for (const auto& victim : victims)
        expect_short("evict", [&] { EXPECT_TRUE(db->evict(victim)); });
}

TEST_F(SqliteCost, victims_behind_many_that_are_pinned_are_found_and_then_fast) {
    auto db = open_sqlite({path()});
    db->set_configured_pins({{"docker.io/team-0[0-7]*/**", "*"}});
    const auto all = db->tier_usage().disk_blobs;
    const auto found = db->disk_victims("", {}, false, all).size();
    EXPECT_GT(found, 0u);
    EXPECT_LT(found, all / 2);
    expect_short("behind pins",
                 [&] { EXPECT_EQ(db->disk_victims("", {}, false, 64).size(), 64u); });
    db->set_configured_pins({{"**", "*"}});
    for (int i = 0; i < 2; ++i) EXPECT_EQ(db->disk_victims("", {}, false, 64).size(), 0u);
}

TEST_F(SqliteCost, a_page_of_uploads_and_collection_is_short) {
    auto db = open_sqlite({path()});
    db->enable_uploads(true);
    std::optional<oci::Digest> after;
    for (int i = 0; i < 10; ++i)
        expect_short("queue", [&] { after = db->queue_missing_uploads(after, 500); });
    std::vector<UploadRow> rows;
    expect_short("claim",
                 [&] { rows = db->claim_uploads(64, at(3'000'000'000), at(3'000'000'001)); });
    EXPECT_EQ(rows.size(), 64u);
    for (const auto& row : rows) expect_short("done", [&] { db->upload_done(row); });

    const auto names = db->repositories("", 128);
    for (const auto& name : names) {
        expect_short("tag_infos", [&] { db->tag_infos(name); });
        expect_short("untagged", [&] { db->untagged(name, at(3'000'000'000), 128); });
        std::vector<oci::Digest> loose;
        expect_short("loose", [&] { loose = db->loose_links(name, at(3'000'000'000), 128); });
        EXPECT_FALSE(loose.empty());
        expect_short("unlink", [&] { db->unlink(name, at(3'000'000'000), loose); });
    }
    std::optional<oci::Digest> next;
    size_t swept = 0;
    after.reset();
    do {
        expect_short("sweep", [&] {
            swept += db->sweep_blobs(after, at(3'000'000'000), 256, &next).size();
        });
        after = next;
    } while (next);
    EXPECT_GT(swept, 1000u);
    expect_short("doomed",
                 [&] { EXPECT_GT(db->claim_doomed(at(4'000'000'000), 1000).size(), 100u); });
    expect_short("usage", [&] { db->tier_usage(); });
    expect_short("by upstream", [&] { db->usage_by_upstream(); });
    expect_short("states", [&] { db->blob_states(std::nullopt, 1000); });
}

TEST_F(SqliteCost, touching_a_thousand_is_short) {
    auto db = open_sqlite({path()});
    std::vector<Touch> touches;
    for (const auto& state : db->blob_states(std::nullopt, 1000))
        touches.push_back({state.digest, at(3'000'000'000)});
    expect_short("touch", [&] { db->touch(touches); });
}

TEST(SqliteTiers, opening_takes_no_longer_with_everything_in_s3) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    fill_metadata(path, 1'000, 50'000, 1.0);
    expect_counters_count(path);
    const auto open_ms = [](const std::string& database, uint64_t blobs) {
        double best = 1e9;
        for (int i = 0; i < 5; ++i) {
            const auto start = std::chrono::steady_clock::now();
            const auto usage = open_sqlite({database})->tier_usage();
            const std::chrono::duration<double, std::milli> took =
                std::chrono::steady_clock::now() - start;
            best = std::min(best, took.count());
            EXPECT_EQ(usage.s3_blobs, blobs);
            EXPECT_EQ(usage.disk_blobs + usage.uploads, 0u);
        }
        return best;
    };
    const double empty = open_ms(directory / "empty.db", 0);
    EXPECT_LE(open_ms(path, 50'000), std::max(3 * empty, empty + 20));
}

// --- the choice

struct Access {
    uint64_t object;
    uint64_t size;
};

// Zipf over objects whose sizes are spread like those of layers.
std::vector<Access> zipf_trace(size_t accesses, uint64_t objects, double exponent, uint64_t seed) {
    SeededRandom random(seed);
    std::vector<double> cumulative(objects);
    double sum = 0;
    for (uint64_t i = 0; i < objects; ++i)
        cumulative[i] = sum += 1 / std::pow(static_cast<double>(i + 1), exponent);
    std::vector<uint64_t> sizes(objects);
    for (auto& size : sizes) size = static_cast<uint64_t>(1e3 * std::exp(random.unit() * 11.5));
    std::vector<Access> trace;
    for (size_t i = 0; i < accesses; ++i) {
        const double x = random.unit() * sum;
        const auto at =
            static_cast<uint64_t>(std::ranges::lower_bound(cumulative, x) - cumulative.begin());
        trace.push_back({at, sizes[std::min(at, objects - 1)]});
    }
    return trace;
}

size_t lru_hits(const std::vector<Access>& trace, uint64_t capacity) {
    std::list<Access> order;
    std::map<uint64_t, std::list<Access>::iterator> where;
    uint64_t used = 0;
    size_t hits = 0;
    for (const auto& access : trace) {
        if (const auto it = where.find(access.object); it != where.end()) {
            ++hits;
            order.splice(order.begin(), order, it->second);
            continue;
        }
        while (!order.empty() && used + access.size > capacity) {
            used -= order.back().size;
            where.erase(order.back().object);
            order.pop_back();
        }
        order.push_front(access);
        where[access.object] = order.begin();
        used += access.size;
    }
    return hits;
}

size_t our_hits(const std::vector<Access>& trace, uint64_t capacity, bool s3) {
    auto db = open_sqlite({":memory:"});
    db->enable_uploads(s3);
    size_t hits = 0;
    int64_t now = 1000;
    for (const auto& access : trace) {
        const auto digest = digest_of(access.object + 1);
        const auto row = db->find_blob(digest);
        const Touch touch{digest, at(++now)};
        if (row && row->on_disk) {
            ++hits;
            db->touch({&touch, 1});
            continue;
        }
        while (db->tier_usage().disk_bytes + access.size > capacity) {
            const auto victims = db->disk_victims("", {}, s3, 1);
            if (victims.empty() || !db->evict(victims[0])) break;
        }
        db->put_blob({digest, access.size, db->next_generation(), at(now), at(now), "docker.io"},
                     "a/b");
        for (const auto& upload : db->claim_uploads(10, at(now), at(now))) db->upload_done(upload);
    }
    return hits;
}

TEST(SqliteTiers, the_choice_of_victims_hits_more_often_than_the_least_recently_used) {
    for (const double exponent : {0.8, 1.1}) {
        const auto trace = zipf_trace(5000, 600, exponent, 5);
        uint64_t all = 0;
        std::map<uint64_t, uint64_t> sizes;
        for (const auto& access : trace) sizes[access.object] = access.size;
        for (const auto& [object, size] : sizes) all += size;
        const size_t lru = lru_hits(trace, all / 10);
        for (const bool s3 : {false, true}) {
            const size_t ours = our_hits(trace, all / 10, s3);
            EXPECT_GE(ours, lru);
            RecordProperty("hits_lru_ours", std::to_string(lru) + " " + std::to_string(ours));
        }
    }
}

}  // namespace
}  // namespace weir::meta
