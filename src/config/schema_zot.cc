// zot's keys (features.md 1.3 and 1.4), each with what becomes of it here.
#include "config/schema.h"

namespace weir::config {
namespace {

// ---- http
// -------------------------------------------------------------------------------------------------------------

const Shape& claim_mapping_shape() {
    static const Shape variables = known({{"name", Form::text}, {"expression", Form::text}});
    static const Shape validations = known({{"expression", Form::text}, {"message", Form::text}});
    static const Shape shape = [] {
        Shape s = known({{"username", Form::text}, {"groups", Form::text}});
        s.keys.push_back(inside("variables", Form::objects, variables));
        s.keys.push_back(inside("validations", Form::objects, validations));
        return s;
    }();
    return shape;
}

const Shape& bearer_shape() {
    static const Shape endpoint =
        known({{"realm", Form::text}, {"service", Form::text}, {"allowInsecureHttp", Form::flag}});
    static const Shape oidc = [] {
        Shape s = known({{"issuer", Form::text},
                         {"audiences", Form::texts},
                         {"certificateAuthority", Form::text},
                         {"certificateAuthorityFile", Form::text},
                         {"skipIssuerVerification", Form::flag}});
        s.keys.push_back(inside("claimMapping", Form::object, claim_mapping_shape()));
        return s;
    }();
    static const Shape secrets = known(
        {{"region", Form::text}, {"secretName", Form::text}, {"refreshInterval", Form::duration}});
    static const Shape shape = [] {
        Shape s = known({{"realm", Form::text}, {"service", Form::text}, {"cert", Form::text}});
        s.keys.push_back(inside("upstreamTokenEndpoint", Form::object, endpoint));
        s.keys.push_back(inside("oidc", Form::objects, oidc));
        s.keys.push_back(inside("awsSecretsManager", Form::object, secrets));
        return s;
    }();
    return shape;
}

const Shape& auth_shape() {
    static const Shape htpasswd = known({{"path", Form::text}});
    static const Shape ldap = known({{"address", Form::text},
                                     {"port", Form::integer},
                                     {"insecure", Form::flag},
                                     {"startTLS", Form::flag},
                                     {"skipVerify", Form::flag},
                                     {"baseDN", Form::text},
                                     {"userAttribute", Form::text},
                                     {"userFilter", Form::text},
                                     {"userGroupAttribute", Form::text},
                                     {"subtreeSearch", Form::flag},
                                     {"caCert", Form::text},
                                     {"credentialsFile", Form::text}});
    static const Shape provider = [] {
        Shape s = known({{"name", Form::text},
                         {"clientid", Form::text},
                         {"clientsecret", Form::text},
                         {"credentialsFile", Form::text},
                         {"keypath", Form::text},
                         {"issuer", Form::text},
                         {"authurl", Form::text},
                         {"tokenurl", Form::text},
                         {"scopes", Form::texts}});
        s.keys.push_back(inside("claimMapping", Form::object, claim_mapping_shape()));
        return s;
    }();
    static const Shape openid = [] {
        Shape s = known({{"callbackAllowOrigins", Form::texts}});
        s.keys.push_back(inside("providers", Form::named, provider));
        return s;
    }();
    static const Shape mtls = known({{"identityAttributes", Form::texts},
                                     {"uriSanPattern", Form::text},
                                     {"uriSanIndex", Form::integer},
                                     {"dnsSanIndex", Form::integer},
                                     {"emailSanIndex", Form::integer}});
    static const Shape shape{{
        guarded(unsupported("htpasswd", Form::object, {}, &htpasswd)),
        guarded(unsupported("ldap", Form::object, {}, &ldap)),
        guarded(unsupported("bearer", Form::object, {}, &bearer_shape())),
        guarded(unsupported("openid", Form::object, {}, &openid)),
        guarded(unsupported("mtls", Form::object, {}, &mtls)),
        unsupported("apikey", Form::flag),
        unsupported("failDelay", Form::integer),
        unsupported("sessionKeysFile", Form::text, "there are no browser sessions"),
        unsupported("sessionDriver", Form::named, "there are no browser sessions"),
        unsupported("secureSession", Form::flag, "there are no browser sessions"),
    }};
    return shape;
}

const Shape& access_control_shape() {
    static const Shape condition = known({{"expression", Form::text}, {"message", Form::text}});
    static const Shape policy = [] {
        Shape s =
            known({{"users", Form::texts}, {"groups", Form::texts}, {"actions", Form::texts}});
        s.keys.push_back(inside("conditions", Form::objects, condition));
        return s;
    }();
    static const Shape repository = [] {
        Shape s = known({{"defaultPolicy", Form::texts}, {"anonymousPolicy", Form::texts}});
        s.keys.push_back(inside("policies", Form::objects, policy));
        return s;
    }();
    static const Shape group = known({{"users", Form::texts}});
    static const Shape metrics = known({{"users", Form::texts}, {"anonymousPolicy", Form::texts}});
    static const Shape shape{{
        inside("repositories", Form::named, repository),
        inside("adminPolicy", Form::object, policy),
        inside("groups", Form::named, group),
        inside("metrics", Form::object, metrics),
    }};
    return shape;
}

const Shape& http_shape() {
    static const Shape tls{{
        key("cert", &Tls::cert),
        key("key", &Tls::key),
        key("cacert", &Tls::cacert, "clients must show a certificate signed by it"),
    }};
    static const Shape method = known({{"method", Form::text}, {"rate", Form::number}});
    static const Shape rate_limit = [] {
        Shape s = known({{"rate", Form::number}});
        s.keys.push_back(inside("methods", Form::objects, method));
        return s;
    }();
    static const Shape shape{{
        key("address", &Http::address),
        key("port", &Http::port),
        object_key("tls", &Http::tls, tls),
        key("readTimeout", &Http::read_timeout,
            "as an idle timeout: a transfer that moves is never ended"),
        key("writeTimeout", &Http::write_timeout,
            "as an idle timeout: a transfer that moves is never ended"),
        key("externalUrl", &Http::external_url, "its host is one of weir's own names"),
        no_effect("compat", Form::texts, "Docker's media types are always accepted"),
        no_effect("realm", Form::text, "only used with authentication, which is not supported yet"),
        unsupported("allowOrigin", Form::text),
        unsupported("ratelimit", Form::object, {}, &rate_limit),
        {.name = "auth", .form = Form::object, .inner = &auth_shape()},
        guarded(unsupported("accessControl", Form::object, {}, &access_control_shape())),
    }};
    return shape;
}

// ---- sync
// -------------------------------------------------------------------------------------------------------------

const Shape& content_shape() {
    constexpr const char* why = "tag filters are for periodic sync only, as in zot";
    static const Shape tags{{
        key("regex", &Content::tags_regex),
        key("excludeRegex", &Content::tags_exclude_regex),
        key("semver", &Content::tags_semver),
    }};
    static const Shape shape = [&] {
        Shape s{{
            key("prefix", &Content::prefix),
            key("destination", &Content::destination),
            key("stripPrefix", &Content::strip_prefix),
            same_object("tags", tags),
        }};
        s.keys.back().status = Status::no_effect;
        s.keys.back().note = why;
        return s;
    }();
    return shape;
}

const Shape& oauth2_shape() {
    static const Shape shape = known({{"tokenURL", Form::text},
                                      {"assertionFile", Form::text},
                                      {"signingFile", Form::text},
                                      {"grantType", Form::text},
                                      {"clientID", Form::text},
                                      {"clientSecretFile", Form::text},
                                      {"scopes", Form::texts},
                                      {"username", Form::text},
                                      {"audience", Form::text},
                                      {"subjectTokenType", Form::text},
                                      {"requestedTokenType", Form::text}});
    return shape;
}

const Shape& sync_shape() {
    static const Shape shape{{
        custom_key<Config>("enable", Form::flag, [](Config&, const Value&, Reading&) {}),
        key("credentialsFile", &Config::credentials_file),
        no_effect("downloadDir", Form::text,
                  "blobs are staged on the store's own disk, and written once"),
        objects_key("registries", &Config::registries, registry_shape()),
    }};
    return shape;
}

// ---- the rest
// ---------------------------------------------------------------------------------------------------------

const Shape& extensions_shape() {
    static const Shape enable = known({{"enable", Form::flag}});
    static const Shape sbom = known({{"enable", Form::flag}, {"format", Form::text}});
    static const Shape trivy = [] {
        Shape s = known({{"dbRepository", Form::text},
                         {"javaDBRepository", Form::text},
                         {"vulnSeveritySources", Form::texts}});
        s.keys.push_back(inside("sbom", Form::object, sbom));
        return s;
    }();
    static const Shape cve = [] {
        Shape s = known({{"updateInterval", Form::duration}});
        s.keys.push_back(inside("trivy", Form::object, trivy));
        return s;
    }();
    static const Shape search = [] {
        Shape s = known({{"enable", Form::flag}});
        s.keys.push_back(inside("cve", Form::object, cve));
        return s;
    }();
    static const Shape scrub = known({{"enable", Form::flag}, {"interval", Form::duration}});
    static const Shape lint =
        known({{"enable", Form::flag}, {"mandatoryAnnotations", Form::texts}});
    static const Shape trust =
        known({{"enable", Form::flag}, {"cosign", Form::flag}, {"notation", Form::flag}});
    static const Shape sink_login = known({{"username", Form::text},
                                           {"password", Form::text},
                                           {"file", Form::text},
                                           {"token", Form::text}});
    static const Shape sink = [] {
        Shape s = known({{"type", Form::text},
                         {"address", Form::text},
                         {"channel", Form::text},
                         {"timeout", Form::duration},
                         {"proxy", Form::text},
                         {"headers", Form::named},
                         {"cacertfile", Form::text},
                         {"certfile", Form::text},
                         {"keyfile", Form::text}});
        s.keys.push_back(inside("credentials", Form::object, sink_login));
        return s;
    }();
    static const Shape events = [] {
        Shape s = known({{"enable", Form::flag}});
        s.keys.push_back(inside("sinks", Form::objects, sink));
        return s;
    }();
    static const Shape prometheus{{key("path", &Metrics::path)}};
    static const Shape metrics{
        {key("enable", &Metrics::enable), same_object("prometheus", prometheus)}};
    static const Shape shape{{
        same_object("sync", sync_shape()),
        object_key("metrics", &Config::metrics, metrics),
        unsupported("search", Form::object, "there is no GraphQL search", &search),
        unsupported("scrub", Form::object, "every blob is verified when it is fetched", &scrub),
        no_effect("lint", Form::object, "a cache passes images on as they are", &lint),
        unsupported("ui", Form::object, {}, &enable),
        no_effect("mgmt", Form::object, "zot ignores it too", &enable),
        no_effect("apikey", Form::object, "zot ignores it too", &enable),
        unsupported("trust", Form::object, "signatures are passed on, not verified", &trust),
        unsupported("events", Form::object, {}, &events),
    }};
    return shape;
}

// Kept, so that a reload or a later version sees it.
Key read_only_signed() {
    Key made = key("onlySigned", &Registry::only_signed, "signatures are passed on, not verified");
    made.status = Status::unsupported;
    return guarded(std::move(made));
}

// Zot keeps the delay constant where maxRetryDelay isn't given.
Key read_retry_delay() {
    Key made =
        key("retryDelay", &Registry::retry_delay, "within weir.missTimeout while a client waits");
    auto read = std::move(made.read);
    made.read = [read](void* target, const Value& value, Reading& reading) {
        read(target, value, reading);
        auto* registry = static_cast<Registry*>(target);
        registry->max_retry_delay = registry->retry_delay;
    };
    return made;
}

Key read_poll_interval() {
    Key made =
        key("pollInterval", &Registry::poll_interval, "nothing is fetched before a client asks");
    made.status = Status::unsupported;
    return made;
}

}  // namespace

const Shape& registry_shape() {
    static const Shape shape{{
        key("urls", &Registry::urls),
        objects_key("content", &Registry::content, content_shape()),
        key("onDemand", &Registry::on_demand),
        read_poll_interval(),
        key("manifestCheckInterval", &Registry::manifest_check_interval,
            "tags are fresh for so long, then served while one HEAD asks behind the answer"),
        key("tlsVerify", &Registry::tls_verify),
        key("certDir", &Registry::cert_dir),
        key("maxRetries", &Registry::max_retries),
        read_retry_delay(),
        key("maxRetryDelay", &Registry::max_retry_delay, "retryDelay doubles up to it"),
        read_only_signed(),
        no_effect("syncLegacyCosignTags", Form::flag,
                  "signature tags are fetched when a client asks for them"),
        unsupported("credentialHelper", Form::text, "use weir.upstreams.<name>.credentials"),
        unsupported("oauth2CredentialHelper", Form::object, "use weir.upstreams.<name>.credentials",
                    &oauth2_shape()),
        no_effect("preserveDigest", Form::flag, "bytes, digests and media types are never changed"),
        no_effect("syncTimeout", Form::duration,
                  "a fetch that moves is never ended; see stallTimeout"),
        key("reqConcurrent", &Registry::req_concurrent, "as weir.upstreams.<name>.maxConcurrent"),
        no_effect("reqPerSec", Form::number, "the upstream's own limits are read from its answers"),
        no_effect("disableHTTP2", Form::flag, "blobs are always fetched over HTTP/1.1"),
        no_effect("maxIdleConnsPerHost", Form::integer, "connections are kept as they are needed"),
        no_effect("stream", Form::flag, "answers always stream while they are fetched"),
        no_effect("maxConcurrentStreams", Form::integer, "see weir.fetch.maxConcurrent"),
        no_effect("platforms", Form::any, "only what a client asks for is fetched"),
    }};
    return shape;
}

const Shape& file_shape() {
    static const Shape log{{
        key("level", &Log::level),
        key("output", &Log::output),
        unsupported("audit", Form::text),
    }};
    static const Shape tls =
        known({{"cert", Form::text}, {"key", Form::text}, {"cacert", Form::text}});
    static const Shape cluster = [] {
        Shape s = known({{"members", Form::texts}, {"hashKey", Form::text}});
        s.keys.push_back(inside("tls", Form::object, tls));
        return s;
    }();
    static const Shape scheduler = known({{"numWorkers", Form::integer}});
    static const Shape shape{{
        no_effect("distSpecVersion", Form::text, "informative"),
        no_effect("goVersion", Form::text, "informative"),
        no_effect("commit", Form::text, "informative"),
        no_effect("releaseTag", Form::text, "informative"),
        no_effect("binaryType", Form::text, "informative"),
        object_key("storage", &Config::storage, storage_shape()),
        object_key("http", &Config::http, http_shape()),
        object_key("log", &Config::log, log),
        same_object("extensions", extensions_shape()),
        no_effect("scheduler", Form::object, "there is no scheduler", &scheduler),
        unsupported("cluster", Form::object, "each weir serves every repository", &cluster),
        same_object("weir", weir_shape()),
    }};
    return shape;
}

}  // namespace weir::config
