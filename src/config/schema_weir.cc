// Our own keys, all under "weir".
#include "base/text.h"
#include "config/schema.h"

namespace weir::config {
namespace {

// A flag, or a path where the access log goes.
void read_access(Log& log, const Value& value, Reading& reading) {
    if (auto flag = weak_flag(value);
        flag && !(value.is(Value::Type::text) && value.text.empty())) {
        log.access = *flag;
    } else if (value.is(Value::Type::text) && !value.text.empty()) {
        log.access = true;
        log.access_output = value.text;
    } else {
        reading.error(value.line,
                      fmt::format("expected true, false or a path, got {}", describe(value)));
    }
}

void read_rest(Fetch& fetch, const Value& value, Reading& reading) {
    const std::string rest = ascii_lower(weak_text(value).value_or(""));
    if (rest != "none" && rest != "whole") {
        reading.error(value.line,
                      fmt::format("expected \"none\" or \"whole\", got {}", describe(value)));
    }
    fetch.whole_after_range = rest == "whole";
}

void read_paths(Config& config, const Value& value, Reading& reading) {
    const std::string paths = ascii_lower(weak_text(value).value_or(""));
    if (paths != "tolerant" && paths != "strict") {
        reading.error(value.line,
                      fmt::format("expected \"tolerant\" or \"strict\", got {}", describe(value)));
    }
    config.tolerant_paths = paths != "strict";
}

void read_hosts(Config& config, const Value& value, Reading& reading) {
    for (size_t i = 0; i < value.keys.size(); ++i) {
        auto destination = weak_text(value.items[i]);
        reading.at(value.keys[i], [&] {
            if (!destination) return reading.error(value.items[i].line, destination.error());
            std::string_view text = *destination;
            while (text.starts_with('/')) text.remove_prefix(1);
            while (text.ends_with('/')) text.remove_suffix(1);
            for (const auto& [name, to] : config.hosts) {
                if (!iequals(name, value.keys[i])) continue;
                return reading.strict(value.items[i].line,
                                      "the key is given twice (case doesn't matter)");
            }
            config.hosts.emplace_back(ascii_lower(value.keys[i]), std::string(text));
        });
    }
}

Key read_secret(std::string name, Secret Login::* member) {
    return custom_key<Login>(std::move(name), Form::text,
                             [member](Login& login, const Value& value, Reading&) {
                                 login.*member = Secret(weak_text(value).value_or(""));
                             });
}

const Shape& login_shape() {
    static const Shape shape{{
        key("repositories", &Login::repositories),
        key("username", &Login::username),
        read_secret("password", &Login::password),
        key("passwordFile", &Login::password_file),
        key("passwordEnv", &Login::password_env),
        read_secret("token", &Login::token),
        key("tokenFile", &Login::token_file),
        key("tokenEnv", &Login::token_env),
    }};
    return shape;
}

const Shape& freshness_shape() {
    static const Shape rule{{
        key("repositories", &FreshnessRule::repositories),
        key("tags", &FreshnessRule::tags),
        key("ttl", &FreshnessRule::ttl),
    }};
    static const Shape shape{{
        key("ttl", &Freshness::ttl),
        key("negativeTtl", &Freshness::negative_ttl),
        key("signatureNegativeTtl", &Freshness::signature_negative_ttl),
        key("listTtl", &Freshness::list_ttl),
        key("maxStale", &Freshness::max_stale),
        key("immutable", &Freshness::immutable),
        objects_key("rules", &Freshness::rules, rule),
    }};
    return shape;
}

// 0.95 or "95%".
Key watermark(const char* name, double Cache::* member) {
    Key made = custom_key<Cache>(
        name, Form::any, [member](Cache& cache, const Value& value, Reading& reading) {
            std::optional<double> share;
            const auto size = weak_size(value);
            if (value.is(Value::Type::text) && size && size->percent) share = *size->percent / 100;
            const auto number = weak_number(value);
            if (!share && number) share = *number;
            if (share && *share > 0 && *share <= 1) {
                cache.*member = *share;
            } else {
                reading.error(
                    value.line,
                    fmt::format("expected a share like 0.95 or \"95%\", got {}", describe(value)));
            }
        });
    made.show = [member](void* target) {
        return fmt::format("{}", static_cast<const Cache*>(target)->*member);
    };
    return made;
}

void read_quotas(Cache& cache, const Value& value, Reading& reading) {
    cache.quotas.clear();
    for (size_t i = 0; i < value.keys.size(); ++i) {
        reading.at(value.keys[i], [&] {
            auto size = weak_size(value.items[i]);
            if (!size) return reading.error(value.items[i].line, size.error());
            cache.quotas.emplace_back(value.keys[i], *size);
        });
    }
}

const Shape& cache_shape() {
    static const Shape pin{{
        key("repositories", &Pin::repositories),
        key("tags", &Pin::tags),
    }};
    static const Shape admission{{bytes_key("minBytes", &Cache::admission_min_bytes)}};
    static const Shape shape{{
        key("maxBytes", &Cache::max_bytes),
        watermark("highWatermark", &Cache::high_watermark),
        watermark("lowWatermark", &Cache::low_watermark),
        key("minFree", &Cache::min_free),
        key("maxAge", &Cache::max_age),
        custom_key<Cache>("quotas", Form::named, read_quotas),
        objects_key("pins", &Cache::pins, pin),
        same_object("admission", admission),
        bytes_key("metadataBytes", &Cache::metadata_bytes),
    }};
    return shape;
}

const Shape& s3_shape() {
    static const Shape shape{{
        key("uploads", &S3Tuning::uploads),
        bytes_key("partSize", &S3Tuning::part_bytes),
        bytes_key("singlePutSize", &S3Tuning::single_bytes),
        key("parallelParts", &S3Tuning::parallel_parts),
        key("maxAttempts", &S3Tuning::max_attempts),
        key("connectTimeout", &S3Tuning::connect_timeout),
        key("responseTimeout", &S3Tuning::response_timeout),
        key("stallTimeout", &S3Tuning::stall_timeout),
    }};
    return shape;
}

Key show_rest() {
    Key made = custom_key<Fetch>("rest", Form::text, read_rest);
    made.show = [](void* target) -> std::string {
        return static_cast<const Fetch*>(target)->whole_after_range ? "whole" : "none";
    };
    return made;
}

Key show_paths() {
    Key made = custom_key<Config>("paths", Form::text, read_paths);
    made.show = [](void* target) -> std::string {
        return static_cast<const Config*>(target)->tolerant_paths ? "tolerant" : "strict";
    };
    return made;
}

Key show_access() {
    Key made = custom_key<Log>("access", Form::any, read_access);
    made.show = [](void* target) -> std::string {
        return static_cast<const Log*>(target)->access ? "true" : "false";
    };
    return made;
}

Key read_bare_upstream() {
    Key made = key("bareUpstream", &Config::bare_upstream);
    auto read = std::move(made.read);
    made.read = [read](void* target, const Value& value, Reading& reading) {
        read(target, value, reading);
        static_cast<Config*>(target)->bare_upstream_given = true;
    };
    return made;
}

void collect(const Shape& shape, void* target, const std::string& prefix,
             std::vector<OwnKey>& out) {
    for (const Key& key : shape.keys) {
        const std::string path = prefix + key.name;
        if (key.form == Form::object) {
            collect(*key.inner, key.enter(target), path + ".", out);
            continue;
        }
        out.push_back({path, key.show && target ? key.show(target) : ""});
        // Elements have defaults of their own, which are told in words.
        if (key.form == Form::objects) collect(*key.inner, nullptr, path + "[].", out);
    }
}

}  // namespace

const Shape& upstream_shape() {
    using Segments = UpstreamSettings::Segments;
    static const Shape segments{{
        key("count", &Segments::count),
        bytes_key("size", &Segments::bytes),
        bytes_key("minSize", &Segments::min_bytes),
    }};
    static const Shape shape{{
        key("offline", &UpstreamSettings::offline),
        key("ttl", &UpstreamSettings::ttl),
        key("head", &UpstreamSettings::head),
        key("maxConcurrent", &UpstreamSettings::max_concurrent),
        object_key("segments", &UpstreamSettings::segments, segments),
        key("connectTimeout", &UpstreamSettings::connect_timeout),
        key("responseTimeout", &UpstreamSettings::response_timeout),
        key("stallTimeout", &UpstreamSettings::stall_timeout),
        bytes_key("stallBytesPerSecond", &UpstreamSettings::stall_bytes_per_second),
        key("trustedHosts", &UpstreamSettings::trusted_hosts),
        key("proxy", &UpstreamSettings::proxy),
        key("anonymous", &UpstreamSettings::anonymous),
        objects_key("credentials", &UpstreamSettings::credentials, login_shape()),
    }};
    return shape;
}

const Shape& weir_shape() {
    static const Shape fetch{{
        key("maxConcurrent", &Fetch::max_concurrent),
        key("queue", &Fetch::max_queued),
        bytes_key("chunkSize", &Fetch::chunk_bytes),
        bytes_key("rangeAhead", &Fetch::range_ahead_bytes),
        bytes_key("recordInterval", &Fetch::record_interval_bytes),
        show_rest(),
    }};
    static const Shape memory{{
        bytes_key("bytes", &Memory::bytes),
        bytes_key("manifestBytes", &Memory::manifest_bytes),
        key("openFiles", &Memory::open_files),
    }};
    static const Shape relay{{
        bytes_key("bufferBytes", &Relay::buffer_bytes),
        key("maxConcurrent", &Relay::max_concurrent),
    }};
    static const Shape threads{{
        key("loops", &Threads::loops),
        key("pool", &Threads::pool),
        key("transfers", &Threads::transfers),
    }};
    static const Shape limits{{
        key("connections", &Limits::max_connections),
        bytes_key("headerBytes", &Limits::max_header_bytes),
        key("headerFields", &Limits::max_header_fields),
        bytes_key("urlBytes", &Limits::max_url_bytes),
        bytes_key("manifestBytes", &Limits::max_manifest_bytes),
        bytes_key("requestBodyBytes", &Limits::max_request_body_bytes),
    }};
    static const Shape timeouts{{
        key("header", &Timeouts::header),
        key("handshake", &Timeouts::handshake),
        key("idle", &Timeouts::idle),
    }};
    static const Shape log{{key("format", &Log::format), show_access()}};
    static const Shape reload{{
        key("watch", &Config::reload_watch),
        key("interval", &Config::reload_interval),
    }};
    static const Shape gc{{key_at<Config>(
        "untaggedAge", [](Config& config) -> auto& { return config.storage.gc.untagged_age; })}};
    static const Shape redirect{{
        key_at<Config>("networks",
                       [](Config& config) -> auto& { return config.storage.redirect.networks; }),
        key_at<Config>("validity",
                       [](Config& config) -> auto& { return config.storage.redirect.validity; }),
    }};
    static const Shape shape{{
        custom_key<Config>("hosts", Form::named, read_hosts),
        read_bare_upstream(),
        key("ownNames", &Config::own_names),
        show_paths(),
        object_key("freshness", &Config::freshness, freshness_shape()),
        // Applied to each registry by name, after all of the file is read: see upstreams.cc.
        {.name = "upstreams", .form = Form::named, .inner = &upstream_shape()},
        key_at<Config>("missTimeout", [](Config& config) -> auto& { return config.timeouts.miss; }),
        key_at<Config>("drainTimeout",
                       [](Config& config) -> auto& { return config.timeouts.drain; }),
        object_key("fetch", &Config::fetch, fetch),
        object_key("memory", &Config::memory, memory),
        object_key("cache", &Config::cache, cache_shape()),
        object_key("s3", &Config::s3, s3_shape()),
        same_object("gc", gc),
        same_object("redirect", redirect),
        object_key("relay", &Config::relay, relay),
        object_key("threads", &Config::threads, threads),
        object_key("limits", &Config::limits, limits),
        object_key("timeouts", &Config::timeouts, timeouts),
        object_key("log", &Config::log, log),
        same_object("reload", reload),
        key("catalog", &Config::catalog),
    }};
    return shape;
}

std::vector<OwnKey> own_keys() {
    std::vector<OwnKey> keys;
    Config config;
    collect(weir_shape(), &config, "", keys);
    UpstreamSettings settings;
    collect(upstream_shape(), &settings, "upstreams.<name>.", keys);
    return keys;
}

}  // namespace weir::config
