// tests/unit/meta/sqlite_checks.h: what must hold in a file whatever happened to who wrote it.
#pragma once
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weir::meta {

class Checked {
public:
    explicit Checked(const std::string& path) {
        EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    }
    ~Checked() { sqlite3_close(db_); }
    Checked(const Checked&) = delete;
    Checked& operator=(const Checked&) = delete;

    int64_t count(const std::string& sql) {
        const auto rows = texts(sql);
        return rows.size() == 1 ? std::stoll(rows[0]) : -1;
    }
    // The first column of each row.
    std::vector<std::string> texts(const std::string& sql) {
        sqlite3_stmt* statement = nullptr;
        EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK)
            << sql << ": " << sqlite3_errmsg(db_);
        std::vector<std::string> rows;
        while (sqlite3_step(statement) == SQLITE_ROW) {
            const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
            rows.emplace_back(text == nullptr ? "" : text);
        }
        sqlite3_finalize(statement);
        return rows;
    }

private:
    sqlite3* db_ = nullptr;
};

inline void expect_counters_count(const std::string& path) {
    Checked db(path);
    for (const auto& [counter, sql] : std::map<std::string, std::string>{
             {"blobs", "SELECT count(*) FROM blobs"},
             {"blob_bytes", "SELECT coalesce(sum(size), 0) FROM blobs"},
             {"manifests", "SELECT count(*) FROM manifests"},
             {"repositories", "SELECT count(*) FROM repositories"},
             {"tags", "SELECT count(*) FROM tags"},
             {"staging_bytes", "SELECT coalesce(sum(extent_bytes), 0) FROM staging"},
             {"disk_blobs", "SELECT coalesce(sum(on_disk), 0) FROM blobs"},
             {"disk_bytes", "SELECT coalesce(sum(on_disk * size), 0) FROM blobs"},
             {"s3_blobs", "SELECT coalesce(sum(in_s3), 0) FROM blobs"},
             {"s3_bytes", "SELECT coalesce(sum(in_s3 * size), 0) FROM blobs"},
             {"uploads", "SELECT count(*) FROM uploads"},
             {"upload_bytes", "SELECT coalesce(sum(size), 0) FROM uploads"},
             {"doomed", "SELECT count(*) FROM doomed"}})
        EXPECT_EQ(db.count("SELECT " + counter + " FROM counters"), db.count(sql)) << counter;
    const std::string none = "SELECT count(*) FROM (";
    // Each of these names rows that must not be.
    for (const std::string wrong :
         {"SELECT 1 FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
          "SELECT upstream, blobs, disk_bytes, s3_bytes FROM upstream_usage WHERE blobs > 0 EXCEPT "
          "SELECT upstream, count(*), sum(on_disk * size), sum(in_s3 * size) FROM blobs GROUP BY 1",
          "SELECT 1 FROM blobs WHERE NOT on_disk AND NOT in_s3",
          "SELECT 1 FROM uploads AS u WHERE what = 0 AND NOT EXISTS "
          "(SELECT 1 FROM blobs WHERE digest = u.digest AND on_disk)",
          "SELECT 1 FROM uploads AS u WHERE what = 1 AND NOT EXISTS "
          "(SELECT 1 FROM manifests WHERE digest = u.digest)",
          "SELECT 1 FROM doomed AS d JOIN blobs AS b ON b.digest = d.digest WHERE b.in_s3",
          "SELECT 1 FROM refs WHERE manifest NOT IN (SELECT id FROM manifests)",
          "SELECT digest FROM unlinked_manifests EXCEPT SELECT digest FROM manifests AS m "
          "WHERE NOT EXISTS (SELECT 1 FROM links WHERE digest = m.digest)",
          "SELECT digest FROM manifests AS m WHERE NOT EXISTS "
          "(SELECT 1 FROM links WHERE digest = m.digest) "
          "EXCEPT SELECT digest FROM unlinked_manifests",
          "SELECT id FROM repositories WHERE id NOT IN (SELECT repository FROM links) AND "
          "id NOT IN (SELECT repository FROM tags) EXCEPT SELECT repository FROM "
          "empty_repositories",
          "SELECT 1 FROM empty_repositories WHERE repository IN (SELECT repository FROM links) OR "
          "repository IN (SELECT repository FROM tags)"})
        EXPECT_EQ(db.count(none + wrong + ")"), 0) << wrong;
}

}  // namespace weir::meta
