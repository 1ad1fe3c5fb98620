#include "app/certificates.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/failure.h"
#include "base/file.h"
#include "base/named_file.h"
#include "base/text.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxBundleBytes = 8 << 20;
constexpr size_t kMaxFiles = 256;
constexpr const char* kSystemBundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                          "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

std::vector<std::string> files_of(const std::string& directory) {
    std::vector<std::string> paths;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
        if (paths.size() == kMaxFiles) break;
        paths.push_back(at->path().string());
    }
    if (error)
        throw Failure(Kind::config_invalid,
                      fmt::format("certDir: can't read {}: {}", directory, error.message()));
    std::sort(paths.begin(), paths.end());
    return paths;
}

std::string text_of(const std::string& path) {
    auto text = read_named_file(path, kMaxBundleBytes);
    if (!text) throw Failure(Kind::config_invalid, fmt::format("can't read {}", path));
    return std::move(*text);
}

std::string system_bundle() {
    if (const char* given = std::getenv("SSL_CERT_FILE"); given != nullptr && *given != '\0')
        return text_of(given);
    for (const char* path : kSystemBundles)
        if (auto text = read_named_file(path, kMaxBundleBytes)) return std::move(*text);
    return {};
}

// What runs goes on reading the file that it was told; another text is another file.
std::string write_bundle(const std::string& state_root, const std::string& name,
                         const std::string& text) {
    const std::string directory = join_path(state_root, "tls");
    fs::create_directories(directory);
    const std::string path =
        join_path(directory, fmt::format("{}-{:016x}.pem", percent_encode(name),
                                         static_cast<uint64_t>(std::hash<std::string>{}(text))));
    if (read_named_file(path, kMaxBundleBytes + kMaxBundleBytes) == text) return path;
    const std::string fresh = path + ".new";
    std::ofstream file(fresh, std::ios::trunc | std::ios::binary);
    file << text;
    file.close();
    if (!file) throw Failure(Kind::config_invalid, fmt::format("can't write {}", fresh));
    fs::rename(fresh, path);
    return path;
}

}  // namespace

client::Tls upstream_tls(const config::Registry& registry, const std::string& state_root) {
    client::Tls tls;
    tls.verify = registry.tls_verify;
    if (registry.cert_dir.empty()) return tls;
    std::string authorities;
    for (const std::string& path : files_of(registry.cert_dir)) {
        if (path.ends_with(".crt")) {
            authorities += text_of(path);
            if (!authorities.ends_with('\n')) authorities += '\n';
        } else if (path.ends_with(".cert")) {
            const std::string key = path.substr(0, path.size() - 5) + ".key";
            if (!fs::exists(key))
                throw Failure(Kind::config_invalid,
                              fmt::format("certDir: {} has no key beside it ({})", path, key));
            require_file("certDir:", path);
            require_file("certDir:", key);
            tls.client_certificate = path;
            tls.client_key = key;
        }
    }
    if (!authorities.empty())
        tls.ca_file = write_bundle(state_root, registry.name, authorities + system_bundle());
    return tls;
}

uint64_t file_stamp(const std::string& path) {
    struct stat status{};
    if (path.empty() || stat(path.c_str(), &status) != 0) return 0;
    const uint64_t parts[] = {
        static_cast<uint64_t>(status.st_mtim.tv_sec), static_cast<uint64_t>(status.st_mtim.tv_nsec),
        static_cast<uint64_t>(status.st_size), static_cast<uint64_t>(status.st_ino)};
    uint64_t stamp = 1;
    for (const uint64_t part : parts) stamp = (stamp ^ part) * 0x9e3779b97f4a7c15ull;
    return stamp;
}

uint64_t directory_stamp(const std::string& directory) {
    if (directory.empty()) return 0;
    uint64_t stamp = 1;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        stamp += file_stamp(at->path().string());  // in whatever order they are listed
    return stamp;
}

}  // namespace weir::app
