// upstream/visit.h: one request on its way from host to host: what each is shown, and what becomes
// of its challenge.
//
// A host is asked with what it is known to want for this repository, else without; its challenge is
// answered for itself, anonymously or with its own configured login, never with another host's. A
// grant that can't be had never keeps the request from being made: then it goes out bare. Hosts
// that a redirect leads to have their own health: one that is set aside is not dialled again, and
// nothing that it does counts for the mirror. Who left the mirror's origin comes back to it as a
// stranger.
#pragma once
#include "upstream/impl.h"

namespace weir::upstream {

inline constexpr int kMaxSendsPerHost = 4;  // as known, with a fresh token, bare, and its answer

class Visit : public client::Companion {
public:
    Visit(std::shared_ptr<Upstream::Impl>, std::shared_ptr<Site>, Request,
          std::shared_ptr<client::Leash>, TimePoint deadline);

    Task<bool> before(const client::Url& at, client::Call&) override;
    Task<bool> after(const client::Url& at, const client::ReplyEnd&, bool is_redirect) override;

    // Why the request could not be made, or its challenge not be answered; nullopt: its reply
    // tells.
    const std::optional<Grant>& stopped() const { return stopped_; }

private:
    // What happened at the host that is being asked.
    struct Stay {
        Door door;
        Grant pass;
        std::optional<Known> shown;   // what `pass` answers
        std::optional<Known> failed;  // a challenge whose grant could not be had
        Grant failure;                // of `failed`
        bool from_hint = false;       // nobody asked this repository for `pass`
        bool is_last = false;         // asked bare after all else
        int sends = 0;
        Health::Ticket ticket;
    };

    Task<> arrive(client::Url at);
    Task<> remember();
    Task<bool> answer_challenge(client::ReplyEnd reply);
    bool go_bare();
    bool enter();
    void settle(const client::ReplyEnd&, bool is_redirect, Outcome);
    bool is_mirror(const client::Url& at) const { return at.same_origin(site_->url); }

    const std::shared_ptr<Upstream::Impl> impl_;
    const std::shared_ptr<Site> site_;
    const Request request_;
    const std::shared_ptr<client::Leash> leash_;
    const TimePoint deadline_;
    std::unique_ptr<Stay> stay_;
    bool left_ = false;
    std::optional<Grant> stopped_;
};

// "library/debian" of ".../v2/library/debian/manifests/12"; empty where there is none.
std::string repository_in(std::string_view path);

}  // namespace weir::upstream
