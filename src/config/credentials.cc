#include "config/credentials.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "base/failure.h"
#include "base/glob.h"
#include "base/named_file.h"
#include "base/redact.h"
#include "base/text.h"
#include "config/names.h"
#include "config/value.h"

namespace weir::config {
namespace {

// Sources, the first believed first.
enum Rank : int { own, zot_file, docker_file };

[[noreturn]] void refuse(const std::string& path, std::string_view what) {
    throw Failure(Kind::config_invalid, without_logins(fmt::format("{}: {}", path, what)));
}

// Docker writes Hub as "https://index.docker.io/v1/"; others a host, a host with a port, or a path
// below.
std::pair<std::string, std::string> split_registry(std::string_view text) {
    for (std::string_view scheme : {"https://", "http://"}) {
        if (istarts_with(text, scheme)) text.remove_prefix(scheme.size());
    }
    const size_t slash = std::min(text.find('/'), text.size());
    std::string_view prefix = text.substr(slash);
    while (prefix.starts_with('/')) prefix.remove_prefix(1);
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    if (prefix == "v1" || prefix == "v2") prefix = {};
    return {std::string(text.substr(0, slash)), std::string(prefix)};
}

// One name for all of Docker Hub's; ports 443 and 80 are as if they weren't there.
std::string canonical_host(std::string_view text) {
    HostPort parsed = parse_host_port(text);
    if (is_hub_name(text) || parsed.host == "auth.docker.io") return std::string(kHub);
    if (parsed.port == 443 || parsed.port == 80) parsed.port = 0;
    return parsed.text();
}

std::string text_of(const Value& object, std::string_view key) {
    const Value* value = object.find(key);
    return value ? weak_text(*value).value_or("") : "";
}

Value parse_object(std::string_view json, const std::string& path) {
    auto root = parse_json(json);
    // The parser's words say where, never what.
    if (!root) refuse(path, fmt::format("line {}: {}", root.error().line, root.error().what));
    if (!root->is(Value::Type::map)) refuse(path, "expected a JSON object");
    if (root->keys.size() > kMaxCredentials)
        refuse(path, fmt::format("more than {} entries", kMaxCredentials));
    return std::move(*root);
}

// Somebody may have written the secret itself where a name is wanted.
constexpr std::string_view kNotShown = "of that name (not shown: it looks like the secret itself)";
std::string_view shown_variable(std::string_view name) {
    const auto usual = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    };
    return std::ranges::all_of(name, usual) ? name : kNotShown;
}
std::string_view shown_path(std::string_view path) {
    return path.find('/') != std::string_view::npos ? path : kNotShown;
}

// A secret that is given, or in a file, or in the environment.
Secret find_secret(const Secret& given, const std::string& file, const std::string& variable,
                   const std::string& where) {
    if (!variable.empty()) {
        const char* value = std::getenv(variable.c_str());
        if (!value || !*value)
            refuse(where, fmt::format("the environment has no {}", shown_variable(variable)));
        return Secret(value);
    }
    if (file.empty()) return given;
    auto text = read_named_file(file, kMaxCredentialFileBytes);
    if (!text) refuse(where, fmt::format("there is no file {}", shown_path(file)));
    while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
    return Secret(std::move(*text));
}

std::string below(const std::string& prefix) {
    return prefix.empty() ? "**" : prefix + "/**";
}

std::vector<std::string> files_of(const Config& config) {
    std::vector<std::string> files = config.docker_config_files;
    if (!config.credentials_file.empty()) files.push_back(config.credentials_file);
    for (const Registry& registry : config.registries) {
        for (const Login& login : registry.settings.credentials) {
            for (const std::string* file : {&login.password_file, &login.token_file}) {
                if (!file->empty()) files.push_back(*file);
            }
        }
    }
    return files;
}

// How much of a pattern is literal: the longest wins.
size_t literal_bytes(std::string_view pattern) {
    const auto [literal, special] = split_glob(pattern);
    return literal.size() +
           (special.empty() ? 1 : 0);  // exactly this repository beats all below it
}

}  // namespace

std::vector<HostCredential> parse_zot_credentials(std::string_view json, const std::string& path) {
    const Value root = parse_object(json, path);
    std::vector<HostCredential> found;
    for (size_t i = 0; i < root.keys.size(); ++i) {
        const Value& entry = root.items[i];
        if (!entry.is(Value::Type::map))
            refuse(path, fmt::format("{}: expected an object", root.keys[i]));
        HostCredential each;
        each.host = split_registry(root.keys[i]).first;
        each.credential.username = text_of(entry, "username");
        each.credential.password = Secret(text_of(entry, "password"));
        each.credential.source = path;
        found.push_back(std::move(each));
    }
    return found;
}

std::vector<HostCredential> parse_docker_config(std::string_view json, const std::string& path) {
    const Value root = parse_object(json, path);
    std::vector<HostCredential> found;
    const Value* auths = root.find("auths");
    if (!auths || auths->is(Value::Type::null)) return found;
    if (!auths->is(Value::Type::map)) refuse(path, "auths: expected an object");
    if (auths->keys.size() > kMaxCredentials)
        refuse(path, fmt::format("more than {} entries", kMaxCredentials));
    for (size_t i = 0; i < auths->keys.size(); ++i) {
        const Value& entry = auths->items[i];
        if (!entry.is(Value::Type::map)) continue;
        HostCredential each;
        std::tie(each.host, each.prefix) = split_registry(auths->keys[i]);
        each.credential.source = path;
        each.credential.username = text_of(entry, "username");
        each.credential.password = Secret(text_of(entry, "password"));
        each.credential.token = Secret(text_of(entry, "identitytoken"));
        if (std::string bearer = text_of(entry, "registrytoken"); !bearer.empty()) {
            each.credential.token = Secret(std::move(bearer));
            each.credential.bearer = true;
        }
        if (const std::string packed = text_of(entry, "auth"); !packed.empty()) {
            auto plain = from_base64(packed);
            const size_t colon = plain ? plain->find(':') : std::string::npos;
            if (colon == std::string::npos)
                refuse(path,
                       fmt::format("auths.{}.auth: not base64 of user:password", auths->keys[i]));
            std::string password = plain->substr(colon + 1);
            while (password.ends_with('\0')) password.pop_back();
            each.credential.username = plain->substr(0, colon);
            each.credential.password = Secret(std::move(password));
        }
        // An entry without a login means: ask a credential helper, or nobody.
        if (each.credential.password.empty() && each.credential.token.empty()) continue;
        found.push_back(std::move(each));
    }
    return found;
}

void Credentials::add(std::string_view host, std::string_view pattern, int rank,
                      Credential credential) {
    if (entries_.size() >= kMaxCredentials) {
        throw Failure(Kind::config_invalid,
                      fmt::format("more than {} credentials", kMaxCredentials));
    }
    auto glob = Glob::parse(pattern);
    if (!glob) refuse(credential.source, "not a pattern of repositories");
    entries_.push_back({canonical_host(host), std::move(*glob), literal_bytes(pattern), rank,
                        std::move(credential)});
}

// A broken file is no reason to stop: without it the pulls that need it fail, and say so.
void Credentials::add_file(const std::string& path, int rank, bool zot) {
    try {
        auto text = read_named_file(path, kMaxCredentialFileBytes);
        if (!text) {
            if (zot)
                warnings_.push_back(path +
                                    ": extensions.sync.credentialsFile: there is no such file");
            return;
        }
        // "quay.io/acme" is the organisation, or that very repository: "acme/**" matches "acme"
        // too.
        for (auto& each :
             zot ? parse_zot_credentials(*text, path) : parse_docker_config(*text, path)) {
            add(each.host, below(each.prefix), rank, std::move(each.credential));
        }
    } catch (const Failure& failure) {
        warnings_.emplace_back(failure.what());
    }
}

Credentials Credentials::load(const Config& config) {
    Credentials all;
    for (const Registry& registry : config.registries) {
        for (const std::string& text : registry.urls)
            if (auto url = parse_url(text)) all.upstreams_.insert(canonical_host(url->host_text()));
        size_t index = 0;
        for (const Login& login : registry.settings.credentials) {
            const std::string where =
                fmt::format("weir.upstreams.{}.credentials[{}]", registry.name, index++);
            Credential credential;
            credential.username = login.username;
            credential.password =
                find_secret(login.password, login.password_file, login.password_env, where);
            credential.token = find_secret(login.token, login.token_file, login.token_env, where);
            credential.bearer = !credential.token.empty();
            credential.source = where;
            for (const std::string& text : registry.urls) {
                if (auto url = parse_url(text))
                    all.add(url->host_text(), login.repositories, own, credential);
            }
        }
    }
    if (!config.credentials_file.empty()) all.add_file(config.credentials_file, zot_file, true);
    int rank = docker_file;
    for (const std::string& path : config.docker_config_files) all.add_file(path, rank++, false);
    for (const Registry& registry : config.registries) {
        if (!registry.settings.anonymous) continue;
        for (const std::string& text : registry.urls) {
            auto url = parse_url(text);
            if (url)
                std::erase_if(all.entries_, [host = canonical_host(url->host_text())](
                                                const Entry& entry) { return entry.host == host; });
        }
    }
    return all;
}

bool Credentials::is_upstream(std::string_view host_port) const {
    return upstreams_.contains(canonical_host(host_port));
}

std::optional<Credential> Credentials::find(std::string_view host_port,
                                            std::string_view repository) const {
    if (entries_.empty()) return {};
    const std::string host = canonical_host(host_port);
    const Entry* best = nullptr;
    for (const Entry& entry : entries_) {
        if (entry.host != host || !entry.pattern.matches(repository)) continue;
        const bool better = !best || entry.rank < best->rank ||
                            (entry.rank == best->rank && entry.literal > best->literal);
        if (better) best = &entry;
    }
    if (!best || (best->credential.password.empty() && best->credential.token.empty())) return {};
    return best->credential;
}

uint64_t Credentials::stamp(const Config& config) {
    uint64_t stamp = 14695981039346656037ull;  // FNV-1a over what stat says
    const auto mix = [&stamp](uint64_t value) { stamp = (stamp ^ value) * 1099511628211ull; };
    for (const std::string& path : files_of(config)) {
        struct stat status{};
        if (stat(path.c_str(), &status) != 0) {
            mix(0);
            continue;
        }
        mix(static_cast<uint64_t>(status.st_ino));
        mix(static_cast<uint64_t>(status.st_size));
        mix(static_cast<uint64_t>(status.st_mtim.tv_sec));
        mix(static_cast<uint64_t>(status.st_mtim.tv_nsec));
    }
    return stamp;
}

}  // namespace weir::config
