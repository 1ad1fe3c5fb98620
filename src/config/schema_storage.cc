// zot's storage keys (features.md 1.3): the tiers, collection and retention.
#include <charconv>

#include "base/text.h"
#include "config/schema.h"

namespace weir::config {
namespace {

// "HH:MM" to minutes; -1: it isn't.
int minutes_of(std::string_view text) {
    text = trim(text);
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon > 2 || text.size() != colon + 3)
        return -1;
    int hours = -1, minutes = -1;
    const char* middle = text.data() + colon;
    const char* end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), middle, hours);
    const auto second = std::from_chars(middle + 1, end, minutes);
    if (first.ptr != middle || second.ptr != end) return -1;
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return -1;
    return hours * 60 + minutes;
}

void read_window(Storage& storage, const Value& value, Reading& reading) {
    const std::string text = weak_text(value).value_or("");
    if (text.empty()) return;
    const size_t dash = text.find('-');
    const std::string_view all(text);
    const int from = dash == std::string::npos ? -1 : minutes_of(all.substr(0, dash));
    const int to = dash == std::string::npos ? -1 : minutes_of(all.substr(dash + 1));
    if (from < 0 || to < 0) {
        reading.error(value.line,
                      fmt::format("expected \"HH:MM-HH:MM\" in UTC, got {}", describe(value)));
    } else if (from == to) {
        reading.error(value.line, "begin and end are the same");
    } else {
        storage.gc.window = std::pair(from, to);
    }
}

// ---- retention
// ---------------------------------------------------------------------------------

const Shape& keep_tags_shape() {
    static const Shape shape{{
        key("patterns", &KeepRule::patterns),
        key("mostRecentlyPushedCount", &KeepRule::most_recently_pushed),
        key("mostRecentlyPulledCount", &KeepRule::most_recently_pulled),
        key("pulledWithin", &KeepRule::pulled_within),
        key("pushedWithin", &KeepRule::pushed_within),
    }};
    return shape;
}

const Shape& keep_untagged_shape() {
    static const Shape shape{{
        key("mostRecentlyPushedCount", &KeepRule::most_recently_pushed),
        key("mostRecentlyPulledCount", &KeepRule::most_recently_pulled),
        key("pulledWithin", &KeepRule::pulled_within),
        key("pushedWithin", &KeepRule::pushed_within),
    }};
    return shape;
}

const Shape& retention_shape() {
    static const Shape policy{{
        key("repositories", &RetentionPolicy::repositories,
            "the first policy that matches decides"),
        key("deleteReferrers", &RetentionPolicy::delete_referrers),
        key("deleteUntagged", &RetentionPolicy::delete_untagged),
        objects_key("keepTags", &RetentionPolicy::keep_tags, keep_tags_shape()),
        object_key("keepUntagged", &RetentionPolicy::keep_untagged, keep_untagged_shape()),
    }};
    static const Shape shape{{
        key("dryRun", &Retention::dry_run, "the log tells what would go, and why"),
        key("delay", &Retention::delay),
        objects_key("policies", &Retention::policies, policy),
    }};
    return shape;
}

// ---- storageDriver
// ---------------------------------------------------------------------------------

Key secret_key(const char* name, Secret S3::* member) {
    return custom_key<S3>(name, Form::text, [member](S3& s3, const Value& value, Reading&) {
        s3.*member = Secret(weak_text(value).value_or(""));
    });
}

Key chunk_key() {
    return custom_key<S3>(
        "chunksize", Form::bytes,
        [](S3& s3, const Value& value, Reading&) {
            s3.chunk_bytes = weak_bytes(value).value_or(0);
        },
        "as weir.s3.partSize");
}

// The keys of distribution's S3 driver.
const Shape& s3_shape() {
    constexpr const char* kNoCopies = "nothing is copied within the bucket";
    static const Shape shape{{
        custom_key<S3>("name", Form::text, [](S3&, const Value&, Reading&) {}),
        key("region", &S3::region,
            "us-east-1 if not given; another that the service names is used"),
        key("bucket", &S3::bucket),
        key("regionendpoint", &S3::endpoint),
        key("rootdirectory", &S3::root, "a prefix of all keys"),
        key("accesskey", &S3::access_key),
        secret_key("secretkey", &S3::secret_key),
        secret_key("sessiontoken", &S3::session_token),
        key("forcepathstyle", &S3::force_path_style,
            "true if a regionendpoint is given, as in zot"),
        key("secure", &S3::secure, "for a regionendpoint without a scheme"),
        key("skipverify", &S3::skip_verify),
        chunk_key(),
        key("storageclass", &S3::storage_class),
        key("encrypt", &S3::encrypt),
        key("keyid", &S3::key_id),
        no_effect("v4auth", Form::flag, "requests are always signed with version 4"),
        no_effect("useragent", Form::text, "it is weir's"),
        no_effect("loglevel", Form::text, "see log.level"),
        no_effect("multipartcopychunksize", Form::bytes, kNoCopies),
        no_effect("multipartcopymaxconcurrency", Form::integer, kNoCopies),
        no_effect("multipartcopythresholdsize", Form::bytes, kNoCopies),
        no_effect("multipartcombinesmallpart", Form::flag, "parts are never small"),
        unsupported("objectacl", Form::text, "objects have the rights that the bucket gives them"),
        unsupported("objectownership", Form::flag,
                    "objects have the owner that the bucket gives them"),
        unsupported("accelerate", Form::flag, "give the endpoint as regionendpoint"),
        unsupported("usedualstack", Form::flag, "give the endpoint as regionendpoint"),
    }};
    return shape;
}

void read_driver(void* target, const Value& value, Reading& reading) {
    auto& storage = *static_cast<Storage*>(target);
    const Value* name = value.find("name");
    storage.driver = name ? weak_text(*name).value_or("") : "";
    if (storage.driver == "s3") return reading.object(s3_shape(), &storage.s3.emplace(), value);
    ++reading.recognised;
    reading.keys.push_back({reading.path(), Status::honoured, "the disk"});
    if (storage.driver.empty() || storage.driver == "local") {
        storage.driver.clear();
        return;
    }
    reading.keys.back().status = Status::unsupported;
    reading.keys.back().note = "s3 is";
    reading.strict(value.line,
                   fmt::format("storage driver \"{}\" is not supported, \"s3\" is (--lenient keeps "
                               "blobs on the disk only, at storage.rootDirectory)",
                               storage.driver));
}

Key driver_key() {
    Key made{.name = "storageDriver", .form = Form::object, .inner = &s3_shape()};
    made.read = read_driver;
    return made;
}

std::vector<Key> storage_keys() {
    constexpr const char* kKnows = "weir's own metadata knows where every blob is";
    return {
        key("rootDirectory", &Storage::root_directory),
        key("commit", &Storage::commit,
            "files are synced before they count as stored, their directories before they count as "
            "gone"),
        no_effect("dedupe", Form::flag, "a blob is stored once for all names, always"),
        no_effect("remoteCache", Form::flag, kKnows),
        no_effect("fastRestart", Form::flag, "a start never walks the storage"),
        no_effect("cacheDriver", Form::named, kKnows),
        key_at<Storage>("gc", [](Storage& storage) -> auto& { return storage.gc.enable; }),
        key_at<Storage>("gcDelay", [](Storage& storage) -> auto& { return storage.gc.delay; }),
        key_at<Storage>(
            "gcInterval", [](Storage& storage) -> auto& { return storage.gc.interval; },
            "0: only weir gc collects"),
        custom_key<Storage>("gcTimeWindow", Form::text, read_window, "UTC"),
        unsupported("maxRepos", Form::integer),
        key_at<Storage>(
            "redirectBlobURL", [](Storage& storage) -> auto& { return storage.redirect.enable; },
            "blobs that are in s3; see weir.redirect"),
        object_key("retention", &Storage::retention, retention_shape()),
        driver_key(),
    };
}

}  // namespace

const Shape& storage_shape() {
    static const Shape sub{storage_keys()};
    static const Shape shape = [] {
        Shape s{storage_keys()};
        s.keys.push_back(
            unsupported("subPaths", Form::named, "everything is kept under rootDirectory", &sub));
        return s;
    }();
    return shape;
}

}  // namespace weir::config
