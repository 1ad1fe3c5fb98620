#include "client/authorities.h"

#include <openssl/x509_vfy.h>
#include <sys/stat.h>

namespace weir::client {

std::shared_ptr<X509_STORE> Authorities::of(const std::string& file) {
    struct stat now{};
    if (::stat(file.c_str(), &now) != 0) return nullptr;
    Bundle found;
    found.modified_ns = now.st_mtim.tv_sec * 1'000'000'000 + now.st_mtim.tv_nsec;
    found.size = static_cast<uint64_t>(now.st_size);
    found.inode = now.st_ino;

    std::lock_guard lock(mutex_);
    if (const auto known = bundles_.find(file); known != bundles_.end()) {
        const Bundle& bundle = known->second;
        if (bundle.modified_ns == found.modified_ns && bundle.size == found.size &&
            bundle.inode == found.inode)
            return bundle.store;
    }
    found.store = {X509_STORE_new(), X509_STORE_free};
    if (!found.store || X509_STORE_load_file(found.store.get(), file.c_str()) != 1) return nullptr;
    // As libcurl does: a certificate in the bundle is trusted even without its own issuer.
    X509_STORE_set_flags(found.store.get(), X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    if (bundles_.size() >= kMaxBundles) bundles_.clear();
    return bundles_.insert_or_assign(file, std::move(found)).first->second.store;
}

}  // namespace weir::client
