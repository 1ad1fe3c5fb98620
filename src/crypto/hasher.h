// crypto/hasher.h: the incremental sum of a blob (OpenSSL).
//
// One thread at a time. Copyable: a copy goes on from the same state. Costs about 0.6 s a GiB where
// the processor has SHA instructions, so never on a serving loop for more than a manifest.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "oci/digest.h"

namespace weir::crypto {

class Hasher {
public:
    explicit Hasher(oci::Digest::Algorithm);
    ~Hasher();
    Hasher(const Hasher&);
    Hasher& operator=(const Hasher&);
    Hasher(Hasher&&) noexcept;
    Hasher& operator=(Hasher&&) noexcept;

    void update(std::span<const std::byte>);
    // The sum of what was given so far; update() may go on after it.
    oci::Digest digest() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// The digest of a whole text (a manifest).
oci::Digest digest_of(oci::Digest::Algorithm, std::string_view);

}  // namespace weir::crypto
