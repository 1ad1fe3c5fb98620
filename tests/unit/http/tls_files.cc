#include "tls_files.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>

namespace weir::http {
namespace {

template <class T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

template <class F>
auto with_file(const std::string& path, const char* mode, F f) {
    FILE* file = std::fopen(path.c_str(), mode);
    if (!file) std::abort();
    auto result = f(file);
    std::fclose(file);
    return result;
}

}  // namespace

Identity::Identity(const std::string& common_name, const Identity* issuer) {
    char name[] = "/tmp/weir-tls-XXXXXX";
    directory_ = ::mkdtemp(name);
    static std::atomic<long> serial{1};
    const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const Owned<X509> cert(X509_new(), X509_free);
    X509_set_version(cert.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert.get()), 86400);
    X509_set_pubkey(cert.get(), key.get());
    X509_NAME* subject = X509_get_subject_name(cert.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
    Owned<X509> issuer_cert(nullptr, X509_free);
    Owned<EVP_PKEY> issuer_key(nullptr, EVP_PKEY_free);
    if (issuer) {
        issuer_cert.reset(with_file(issuer->certificate(), "r", [](FILE* f) {
            return PEM_read_X509(f, nullptr, nullptr, nullptr);
        }));
        issuer_key.reset(with_file(issuer->key(), "r", [](FILE* f) {
            return PEM_read_PrivateKey(f, nullptr, nullptr, nullptr);
        }));
    } else {
        X509_EXTENSION* ca =
            X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(cert.get(), ca, -1);
        X509_EXTENSION_free(ca);
    }
    X509_set_issuer_name(cert.get(), issuer ? X509_get_subject_name(issuer_cert.get()) : subject);
    X509_sign(cert.get(), issuer ? issuer_key.get() : key.get(), EVP_sha256());
    with_file(certificate(), "w", [&](FILE* f) { return PEM_write_X509(f, cert.get()); });
    with_file(this->key(), "w", [&](FILE* f) {
        return PEM_write_PrivateKey(f, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
}

Identity::~Identity() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

}  // namespace weir::http
