// tests/sim/evil.h: a registry that misbehaves in every way it knows, by chance.
//
// It answers for one registry of the simulated internet, and for the hosts that it leads to. It
// keeps what it said yes to and which right bytes it gave, so that a test can tell what its
// repositories may serve.
#pragma once
#include <map>
#include <set>
#include <string>

#include "base/random.h"
#include "meta/extents.h"
#include "sim/internet.h"

namespace weir::sim {

class Evil {
public:
    // `registry`: its number. `random` decides what it does.
    Evil(Content& content, size_t registry, uint64_t seed)
        : content_(content), registry_(registry), random_(seed) {}

    // Its answer; nullopt: the request is not for it.
    std::optional<Serving> answer(Ask&, const client::Call&);
    void ended(const Ask&);

    // It said of the blob or manifest, in whatever way, that it has it.
    bool said_yes(const oci::Digest& digest) const { return yes_.contains(digest); }
    // All right bytes of it came from here.
    bool gave(const oci::Digest&) const;
    // What it may name and, with `knows`, has the bytes of.
    std::vector<oci::Digest> others;
    std::set<oci::Digest> knows;
    uint64_t asked() const { return asked_; }

private:
    static Serving status(int);
    Serving refusal();
    Serving away(const Ask&);
    Serving manifest(Ask&);
    Serving blob(Ask&);
    void part(Serving&, Ask&);
    Serving list(Ask&);
    std::string lying_document();
    void spoil(Serving&);
    const Text* truth(const oci::Digest&) const;
    bool chance(double p) { return random_.unit() < p; }
    const oci::Digest& any() { return others[random_.below(others.size())]; }

    Content& content_;
    const size_t registry_;
    SeededRandom random_;
    std::set<oci::Digest> yes_;
    std::map<oci::Digest, meta::Extents> given_;
    // By request: its body is right, but for the byte of the whole at `but`.
    struct Right {
        oci::Digest digest;
        std::optional<uint64_t> but;
    };
    std::map<uint64_t, Right> right_;
    uint64_t asked_ = 0;
};

}  // namespace weir::sim
