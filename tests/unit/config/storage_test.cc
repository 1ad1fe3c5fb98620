// What a file says of tiers, collection and retention (config/tiers.h).
#include "unit/config/support.h"

namespace weir::config {
namespace {

using namespace std::chrono_literals;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}
Config storage(const std::string& keys) {
    return read_good(R"({"storage": {)" + keys + "}}");
}
std::string storage_error(const std::string& keys) {
    return only_error(R"({"storage": {)" + keys + "}}");
}
Config own(const std::string& keys) {
    return read_good(R"({"weir": {)" + keys + "}}");
}
std::string own_error(const std::string& keys) {
    return only_error(R"({"weir": {)" + keys + "}}");
}

// ---- storageDriver

TEST(StorageDriver, s3_is_read_whole) {
    const Config config = storage(R"("storageDriver": {
        "name": "s3", "region": "eu-x", "bucket": "images", "regionendpoint": "https://s3.lab:9000",
        "rootdirectory": "/pool", "accesskey": "AK", "secretkey": "SK", "sessiontoken": "ST",
        "forcepathstyle": false, "secure": false, "skipverify": true, "chunksize": 10485760,
        "storageclass": "STANDARD_IA", "encrypt": true, "keyid": "k1"})");
    EXPECT_EQ(config.storage.driver, "s3");
    ASSERT_TRUE(config.storage.s3.has_value());
    const S3& s3 = *config.storage.s3;
    EXPECT_EQ(s3.region, "eu-x");
    EXPECT_EQ(s3.bucket, "images");
    EXPECT_EQ(s3.endpoint, "https://s3.lab:9000");
    EXPECT_EQ(s3.root, "/pool");
    EXPECT_EQ(s3.access_key, "AK");
    EXPECT_EQ(s3.secret_key.reveal(), "SK");
    EXPECT_EQ(s3.session_token.reveal(), "ST");
    EXPECT_FALSE(s3.path_style());
    EXPECT_FALSE(s3.secure);
    EXPECT_TRUE(s3.skip_verify);
    EXPECT_EQ(s3.chunk_bytes, 10 * kMiB);
    EXPECT_EQ(s3.storage_class, "STANDARD_IA");
    EXPECT_TRUE(s3.encrypt);
    EXPECT_EQ(s3.key_id, "k1");
}

TEST(StorageDriver, an_endpoint_alone_means_path_style_as_in_zot) {
    const auto style = [](const std::string& more) {
        return storage(R"("storageDriver": {"name": "s3", "bucket": "b")" + more + "}")
            .storage.s3->path_style();
    };
    EXPECT_TRUE(style(R"(, "regionendpoint": "s3.lab")"));
    EXPECT_FALSE(style(""));
    EXPECT_TRUE(style(R"(, "forcepathstyle": true)"));
}

TEST(StorageDriver, the_other_keys_of_distributions_driver_are_known) {
    const Report report = read(R"({"storage": {"storageDriver": {
        "name": "s3", "bucket": "b", "v4auth": true, "useragent": "x", "loglevel": "debug",
        "multipartcopychunksize": 33554432, "multipartcopymaxconcurrency": 100,
        "multipartcopythresholdsize": 33554432, "multipartcombinesmallpart": false,
        "objectacl": "private", "accelerate": true, "usedualstack": true}}})");
    EXPECT_TRUE(report.ok()) << problems(report);
    EXPECT_TRUE(
        has(problems(report, false), "storage.storageDriver.accelerate: not supported yet"));
    std::map<std::string, Status> fates;
    for (const KeyReport& key : report.keys) fates[key.path] = key.status;
    EXPECT_EQ(fates.at("storage.storageDriver.v4auth"), Status::no_effect);
    EXPECT_EQ(fates.at("storage.storageDriver.objectacl"), Status::unsupported);
    EXPECT_EQ(fates.at("storage.storageDriver.bucket"), Status::honoured);
}

TEST(StorageDriver, local_is_the_disk_alone) {
    const Config config = storage(R"("storageDriver": {"name": "local"})");
    EXPECT_FALSE(config.storage.s3.has_value());
    EXPECT_EQ(config.storage.driver, "");
}

TEST(StorageDriver, others_are_refused_unless_lenient) {
    for (const char* name : {"gcs", "azure"}) {
        const std::string file = fmt::format(
            R"({{"storage": {{"storageDriver": {{"name": "{}", "keyfile": "/k"}}}}}})", name);
        EXPECT_TRUE(
            has(only_error(file), fmt::format("storage driver \"{}\" is not supported", name)));
        const Report lenient = read(file, "c.json", true);
        ASSERT_TRUE(lenient.ok());
        EXPECT_FALSE(lenient.config->storage.s3.has_value());
    }
}

TEST(StorageDriver, mistakes_are_told_with_their_path) {
    EXPECT_TRUE(has(storage_error(R"("storageDriver": {"name": "s3"})"),
                    "storage.storageDriver.bucket: must be given"));
    EXPECT_TRUE(
        has(storage_error(R"("storageDriver": {"name": "s3", "bucket": "b", "regon": "x"})"),
            "storage.storageDriver.regon: unknown key; did you mean \"region\"?"));
    const std::string half =
        storage_error(R"("storageDriver": {"name": "s3", "bucket": "b", "secretkey": "hunter2"})");
    EXPECT_TRUE(has(half, "accesskey and secretkey are both needed"));
    EXPECT_FALSE(has(half, "hunter2"));
    EXPECT_TRUE(
        has(storage_error(R"("storageDriver": {"name": "s3", "bucket": "b", "chunksize": 1000})"),
            "storage.storageDriver.chunksize: must be between 5MiB and 5GiB"));
}

TEST(StorageDriver, secrets_are_in_no_report) {
    const Report report = read(R"({"storage": {"storageDriver": {
        "name": "s3", "bucket": "b", "accesskey": "AK", "secretkey": "hunter2",
        "sessiontoken": "hunter3"}}})");
    for (const KeyReport& key : report.keys)
        EXPECT_FALSE(has(key.path + key.note, "hunter")) << key.path;
}

TEST(StorageDriver, redirects_need_an_object_store) {
    const Report report = read(R"({"storage": {"redirectBlobURL": true}})");
    ASSERT_TRUE(report.ok());
    EXPECT_TRUE(has(problems(report, false), "storage.redirectBlobURL: has no effect without"));
    const Config config = read_good(R"({
        "storage": {"redirectBlobURL": true, "storageDriver": {"name": "s3", "bucket": "b"}},
        "weir": {"redirect": {"networks": ["10.0.0.0/8", "fd00::/8"], "validity": "5m"}}})");
    EXPECT_EQ(config.storage.redirect, (Redirect{true, {"10.0.0.0/8", "fd00::/8"}, 5min}));
    EXPECT_TRUE(has(own_error(R"("redirect": {"networks": ["10.0.0.0/8", "lab"]})"),
                    "weir.redirect.networks[1]: \"lab\" is no network"));
    EXPECT_TRUE(has(own_error(R"("redirect": {"validity": "200h"})"), "weir.redirect.validity"));
}

// ---- collection and retention

TEST(Collection, has_zots_defaults) {
    const Config config = storage(R"("rootDirectory": "/x")");
    EXPECT_EQ(config.storage.gc, (Gc{true, 1h, 1h, std::nullopt, 168h}));
    EXPECT_EQ(config.storage.retention, Retention());
}

TEST(Collection, times_are_read) {
    const Config config = read_good(R"({
        "storage": {"gc": false, "gcDelay": "2h", "gcInterval": "6h", "gcTimeWindow": "22:30-6:05"},
        "weir": {"gc": {"untaggedAge": "24h"}}})");
    EXPECT_EQ(config.storage.gc, (Gc{false, 2h, 6h, std::pair(22 * 60 + 30, 6 * 60 + 5), 24h}));
}

TEST(Collection, a_window_that_is_none_is_refused) {
    for (const char* window : {"01:00", "25:00-01:00", "01:60-02:00", "1-2", "01:00-02:0",
                               "01:00-02:00-03:00", "-", "a:00-b:00", ":00-01:00", "-1:00-02:00"})
        EXPECT_TRUE(has(storage_error(fmt::format(R"("gcTimeWindow": "{}")", window)),
                        "storage.gcTimeWindow: expected \"HH:MM-HH:MM\""))
            << window;
    EXPECT_TRUE(has(storage_error(R"("gcTimeWindow": "01:00-01:00")"), "are the same"));
    EXPECT_EQ(storage(R"("gcTimeWindow": "")").storage.gc.window, std::nullopt);
    EXPECT_EQ(storage(R"("gcTimeWindow": "01:00 - 04:00")").storage.gc.window, std::pair(60, 240));
    EXPECT_TRUE(has(storage_error(R"("gcDelay": "-1h")"), "storage.gcDelay"));
}

TEST(Retention, policies_are_read) {
    const Config config = storage(R"("retention": {"dryRun": true, "delay": "24h", "policies": [
        {"repositories": ["hub/**", "ghcr/{a,b}"], "deleteReferrers": true, "deleteUntagged": false,
         "keepTags": [{"patterns": ["v.*"], "mostRecentlyPulledCount": 20},
                      {"mostRecentlyPushedCount": 2, "pulledWithin": "720h", "pushedWithin": "1h"}],
         "keepUntagged": {"pulledWithin": "48h"}},
        {"repositories": ["**"]}]})");
    const Retention& retention = config.storage.retention;
    EXPECT_TRUE(retention.dry_run);
    EXPECT_EQ(retention.delay, 24h);
    ASSERT_EQ(retention.policies.size(), 2u);
    EXPECT_EQ(retention.policies[0],
              (RetentionPolicy{{"hub/**", "ghcr/{a,b}"},
                               true,
                               false,
                               {KeepRule{{"v.*"}, 0, 20, {}, {}}, KeepRule{{}, 2, 0, 720h, 1h}},
                               KeepRule{{}, 0, 0, 48h, {}}}));
    EXPECT_EQ(retention.policies[1], (RetentionPolicy{{"**"}, false, true, {}, {}}));
}

TEST(Retention, patterns_that_do_not_compile_are_told_with_their_path) {
    EXPECT_TRUE(
        has(storage_error(R"("retention": {"policies": [
                        {"repositories": ["**"], "keepTags": [{"patterns": ["ok", "v("]}]}]})"),
            "storage.retention.policies[0].keepTags[0].patterns[1]: \"v(\" is not a regular"));
    EXPECT_TRUE(has(storage_error(R"("retention": {"policies": [{"repositories": ["a", "["]}]})"),
                    "storage.retention.policies[0].repositories[1]: \"[\" is not a pattern"));
    EXPECT_TRUE(has(storage_error(R"("retention": {"policies": [
                        {"repositories": ["**"], "keepUntagged": {"pulledWithin": "-1h"}}]})"),
                    "storage.retention.policies[0].keepUntagged.pulledWithin"));
    EXPECT_TRUE(
        has(storage_error(R"("retention": {"polices": []})"), R"(did you mean "policies"?)"));
}

// ---- weir.cache, weir.s3

TEST(CacheBounds, are_read) {
    const Config config = own(R"("cache": {
        "maxBytes": "50GB", "highWatermark": "90%", "lowWatermark": 0.5, "minFree": "5%",
        "maxAge": "720h", "quotas": {"registry-1.docker.io": "20GB", "ghcr.io": "10%"},
        "pins": [{"repositories": "docker.io/library/*", "tags": "v1*"}, {"tags": "stable"}],
        "admission": {"minBytes": "1GiB"}})");
    const Cache& cache = config.cache;
    EXPECT_EQ(cache.max_bytes.bytes, 50'000'000'000u);
    EXPECT_EQ(cache.high_watermark, 0.9);
    EXPECT_EQ(cache.low_watermark, 0.5);
    EXPECT_EQ(cache.min_free.percent, 5);
    EXPECT_EQ(cache.max_age, 720h);
    ASSERT_EQ(cache.quotas.size(), 2u);
    // Under the name that its blobs have.
    EXPECT_EQ(cache.quotas[0].first, "docker.io");
    EXPECT_EQ(cache.quotas[0].second.bytes, 20'000'000'000u);
    EXPECT_EQ(cache.quotas[1].second.percent, 10);
    EXPECT_EQ(cache.pins, (std::vector<Pin>{{"docker.io/library/*", "v1*"}, {"**", "stable"}}));
    EXPECT_EQ(cache.admission_min_bytes, kGiB);
}

TEST(CacheBounds, that_can_not_be_meant_are_refused) {
    for (const auto& [keys, part] : std::initializer_list<std::pair<const char*, const char*>>{
             {R"("highWatermark": 95)", "weir.cache.highWatermark: expected a share"},
             {R"("highWatermark": "95")", "weir.cache.highWatermark: expected a share"},
             {R"("lowWatermark": 0.99)", "weir.cache.lowWatermark: must be greater than 0"},
             {R"("quotas": {"nowhere.lab": "1GB"})", "weir.cache.quotas.nowhere.lab: no registry"},
             {R"("quotas": {"docker.io": "1GB", "index.docker.io": "2GB"})", "two quotas"},
             {R"("quotas": {"ghcr.io": "much"})", "weir.cache.quotas.ghcr.io"},
             {R"("pins": [{"repositories": "["}])", "weir.cache.pins[0].repositories"},
             {R"("maxAge": "-1h")", "weir.cache.maxAge"}}) {
        const std::string error = own_error(fmt::format(R"("cache": {{{}}})", keys));
        EXPECT_TRUE(has(error, part)) << keys << ": " << error;
    }
}

TEST(CacheBounds, have_one_name) {
    EXPECT_TRUE(has(own_error(R"("disk": {"maxSize": "1GB"})"), "weir.disk: unknown key"));
}

TEST(S3Tuning, is_read_and_bounded) {
    const Config config = own(R"("s3": {"uploads": 8, "partSize": "32MiB", "singlePutSize": "1GiB",
        "parallelParts": 2, "maxAttempts": 5, "connectTimeout": "1s", "responseTimeout": "2s",
        "stallTimeout": "3s"})");
    EXPECT_EQ(config.s3, (S3Tuning{8, 32 * kMiB, kGiB, 2, 5, 1s, 2s, 3s}));
    EXPECT_TRUE(has(own_error(R"("s3": {"uploads": 0})"), "weir.s3.uploads"));
    EXPECT_TRUE(has(own_error(R"("s3": {"partSize": "1MiB"})"), "weir.s3.partSize"));
}

TEST(Reload, the_object_store_needs_a_restart_and_bounds_do_not) {
    const Config before = storage(R"("storageDriver": {"name": "s3", "bucket": "a"})");
    Config after = before;
    after.cache.max_bytes.bytes = 1;
    after.storage.gc.interval = 2h;
    after.storage.retention.dry_run = true;
    EXPECT_TRUE(keep_until_restart(before, after).kept.empty());
    after.storage.s3->bucket = "b";
    after.s3.uploads = 1;
    EXPECT_EQ(keep_until_restart(before, after).kept,
              (std::vector<std::string>{"storage.storageDriver", "weir.s3"}));
}

}  // namespace
}  // namespace weir::config
