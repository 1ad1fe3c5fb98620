// Certificates made on the spot.
#pragma once
#include <string>

namespace weir::http {

// PEM files in a directory of their own. Self-signed, or signed by `issuer` (another Identity).
class Identity {
public:
    explicit Identity(const std::string& common_name, const Identity* issuer = nullptr);
    ~Identity();
    Identity(const Identity&) = delete;
    Identity& operator=(const Identity&) = delete;
    std::string certificate() const { return directory_ + "/cert.pem"; }
    std::string key() const { return directory_ + "/key.pem"; }

private:
    std::string directory_;
};

}  // namespace weir::http
