// config/credentials.h: who we are at an upstream.
//
// Three sources, in this order: weir.upstreams.*.credentials, zot's
// extensions.sync.credentialsFile, Docker's config.json and its like. Within a source the longest
// matching repository prefix wins. All names of Docker Hub are one name.
//
// An immutable value; a file that changed is seen by load() making another one. Blocks on files;
// find() does not.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/glob.h"
#include "base/log.h"
#include "config/config.h"

namespace weir::config {

inline constexpr size_t kMaxCredentialFileBytes = 1024 * 1024;
inline constexpr size_t kMaxCredentials = 10'000;

struct Credential {
    std::string username;
    Secret password;      // may be empty when there is a token
    Secret token;         // identity or bearer token
    bool bearer = false;  // token is sent as it is ("Authorization: Bearer"); else it is an OAuth2
                          // refresh token
    std::string source;   // where it was found, for logs: a path or a key, never a secret
    bool operator==(const Credential&) const = default;
};

class Credentials {
public:
    Credentials() = default;

    // Reads every file that `config` names. Docker's files may be missing. A credentials file of
    // zot that is missing or broken is a warning, as in zot. A password file or variable of ours
    // that is missing is Failure{config_invalid}. An upstream that is to be asked anonymously has
    // none.
    static Credentials load(const Config& config);

    // `host_port` as in the registry's URL ("ghcr.io", "reg.lab:5000"; the port may be left out
    // where it is the scheme's); `repository` is the upstream's name. nullopt: anonymous.
    std::optional<Credential> find(std::string_view host_port, std::string_view repository) const;

    // Whether a configured registry is asked there; as in find().
    bool is_upstream(std::string_view host_port) const;

    // Changes when one of the files that load() read, or looked for, changed; cheap enough to ask
    // every few seconds.
    static uint64_t stamp(const Config& config);

    size_t size() const { return entries_.size(); }

    // What load() passed over, for the log; without secrets.
    const std::vector<std::string>& warnings() const { return warnings_; }

private:
    struct Entry {
        std::string host;    // lower case, Hub as docker.io, the usual ports dropped
        Glob pattern;        // on the upstream's repository name
        size_t literal = 0;  // how much of it is no wildcard
        int rank = 0;        // source: lower first
        Credential credential;
    };
    void add(std::string_view host, std::string_view pattern, int rank, Credential);
    void add_file(const std::string& path, int rank, bool zot);
    std::vector<Entry> entries_;
    std::set<std::string> upstreams_;  // hosts of all registries, as in Entry
    std::vector<std::string> warnings_;
};

// One file each, for tests and for add-ons. Failure{config_invalid} on nonsense, never with a
// secret in it.
struct HostCredential {
    std::string host;    // as written
    std::string prefix;  // repository prefix ("quay.io/acme" in Docker's file), or empty
    Credential credential;
};
std::vector<HostCredential> parse_zot_credentials(std::string_view json, const std::string& path);
std::vector<HostCredential> parse_docker_config(std::string_view json, const std::string& path);

}  // namespace weir::config
