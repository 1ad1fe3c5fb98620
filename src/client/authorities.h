// client/authorities.h: parsed CA bundles, shared by all transfer threads.
//
// A system bundle takes 20 ms to parse. libcurl would do it for each connection, or, at best, once
// per thread and only for the bundle it saw last; here it is done once per file and change of it.
#pragma once
#include <openssl/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace weir::client {

class Authorities {
public:
    // Any thread; blocks while a file is parsed. null: it can't be read or holds no certificate.
    std::shared_ptr<X509_STORE> of(const std::string& file);

private:
    struct Bundle {
        int64_t modified_ns = 0;
        uint64_t size = 0, inode = 0;
        std::shared_ptr<X509_STORE> store;
    };
    // One for each upstream with authorities of its own, and the system's; a reload adds none for
    // those that stay.
    static constexpr size_t kMaxBundles = 256;

    std::mutex mutex_;
    std::map<std::string, Bundle> bundles_;
};

}  // namespace weir::client
