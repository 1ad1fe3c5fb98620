// s3/credentials.h: where AWS credentials come from, and their renewal before they expire.
//
// Order (architecture.md 8.3): configuration;
// AWS_ACCESS_KEY_ID/AWS_SECRET_ACCESS_KEY/AWS_SESSION_TOKEN; web identity
// (AWS_WEB_IDENTITY_TOKEN_FILE + AWS_ROLE_ARN, STS); shared file with profiles
// (AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE); container endpoint
// (AWS_CONTAINER_CREDENTIALS_{RELATIVE,FULL}_URI); IMDSv2. The first source that is set up decides:
// when it fails, no other one is asked, so that a role is never taken for another. The source that
// has given any is kept.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/pool.h"
#include "async/scope.h"
#include "client/http_client.h"
#include "s3/sigv4.h"

namespace weir::s3 {

struct CredentialOptions {
    std::optional<Credentials> configured;
    std::function<std::optional<std::string>(const std::string&)>
        environment;           // getenv, or a test's
    std::string home;          // for ~/.aws/credentials
    std::string sts_endpoint;  // "https://sts.<region>.amazonaws.com"
    std::string imds_endpoint = "http://169.254.169.254";
    std::string container_host = "http://169.254.170.2";
};

// Any loop. The scope, in which renewals run, is joined before the chain dies.
class CredentialChain {
public:
    CredentialChain(CredentialOptions, client::HttpClient&, Pool&, Clock&, Scope&);
    ~CredentialChain();
    // The current value; waits only when there is none that is still good. Renewed at 80 % of its
    // life behind the answer, once for all callers. Failure{unauthorized} when no source gives any,
    // with what was tried.
    Task<std::shared_ptr<const Credentials>> current(TimePoint deadline);
    // The service said ExpiredToken: the next current() renews.
    void expired(const Credentials&);
    // A renewal that is under way fails, and so does each that comes later. Any thread.
    void stop();
    // "environment", "imds", ...; "" before the first success.
    std::string source() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace weir::s3
