// upstream/token.h: bearer tokens: fetched once for all who ask, kept until they end, renewed
// before.
//
// distribution, "Token Authentication Specification" (GET) and "OAuth2" (POST). A token is named by
// realm, service, scope and credential. At 80 % of its life the next one is fetched behind the
// answer. A token server has a health of its own (hosts.h): its silence and its wishes for peace
// are not the registry's. It is followed where it redirects, with a credential only within its
// origin.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "async/scope.h"
#include "async/semaphore.h"
#include "base/clock.h"
#include "client/http_client.h"
#include "upstream/hosts.h"
#include "upstream/realm.h"
#include "upstream/upstream.h"

namespace weir::upstream {

inline constexpr size_t kMaxTokens = 4096;
inline constexpr size_t kMaxTokensBytes = 8 << 20;  // of one upstream's tokens and their names
inline constexpr uint64_t kMaxTokenAnswerBytes = 64 * 1024;
inline constexpr std::chrono::seconds kDefaultTokenLife{60};
inline constexpr std::chrono::seconds kTokenRetry{5};  // after a renewal that failed

// What a token is for. Holds secrets: never logged.
struct TokenWish {
    Realm realm;
    std::string service, scope;
    std::optional<Credential> credential;  // only one that the realm may see
    client::Tls tls;
    std::string proxy;
    client::Timeouts timeouts;
    std::string key() const;
};

struct Token {
    Outcome outcome = Outcome::ok;
    std::string detail;
    std::optional<std::chrono::seconds> retry_after;
    Secret value;
    TimePoint renew_at{}, ends_at{};
    bool fresh = false;  // fetched for this request, or for one that ran at the same time
};

// Any loop.
class Tokens {
public:
    Tokens(std::string upstream, client::HttpClient&, Clock&, Hosts&);

    // `owner` is kept alive by a fetch under way.
    Task<Token> get(std::shared_ptr<const void> owner, TokenWish, TimePoint deadline);
    // Forgets a token that was refused, unless another has come since.
    void drop(const std::string& key, const Secret& refused);
    size_t size() const;
    size_t bytes() const;

private:
    std::optional<Token> kept(const std::string& key) const;
    void keep(const std::string& key, const Token&);
    void postpone(const std::string& key);
    void erase(std::map<std::string, Token>::iterator at);
    Task<Token> fetch(std::shared_ptr<const void> owner, TokenWish);
    Task<Token> ask(TokenWish, bool by_post);
    Task<std::pair<Token, Sign>> send(TokenWish, bool by_post);
    Token read(const client::ReplyEnd&, const std::string& body, const TokenWish&) const;

    const std::string upstream_;
    client::HttpClient& http_;
    Clock& clock_;
    Hosts& hosts_;
    Scope scope_;
    Flight<std::string, Token> flight_;
    mutable std::mutex mutex_;
    std::map<std::string, Token> tokens_;
    size_t bytes_ = 0;  // of tokens_
};

}  // namespace weir::upstream
