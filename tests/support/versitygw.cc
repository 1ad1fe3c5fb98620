#include "support/versitygw.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace weir::test {
namespace {

constexpr int kTries = 5;  // for a port that nobody takes between our look and its bind
constexpr std::chrono::seconds kPatience{30};

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
}

int free_port() {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    const bool bound = bind(descriptor, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                       getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) == 0;
    close(descriptor);
    if (!bound) throw std::runtime_error("no free port");
    return ntohs(address.sin_port);
}

std::string find_program() {
    namespace fs = std::filesystem;
    if (const char* named = std::getenv("WEIR_VERSITYGW")) return named;
    for (fs::path at = fs::read_symlink("/proc/self/exe"); at.has_relative_path();
         at = at.parent_path()) {
        const fs::path found = at.parent_path() / "tools" / "versitygw";
        if (access(found.c_str(), X_OK) == 0) return found;
    }
    const char* path = std::getenv("PATH");
    std::string rest = path ? path : "";
    while (!rest.empty()) {
        const std::string folder = rest.substr(0, rest.find(':'));
        rest.erase(0, folder.size() + 1);
        const std::string found = folder + "/versitygw";
        if (access(found.c_str(), X_OK) == 0) return found;
    }
    throw std::runtime_error(
        "no versitygw: WEIR_VERSITYGW=path, or GOBIN=$PWD/build/tools go install "
        "github.com/versity/versitygw/cmd/versitygw@v1.8.0");
}

}  // namespace

Versitygw::Versitygw(const std::vector<std::string>& buckets) : program_(find_program()) {
    for (const char* folder : {"data", "sidecar", "log"})
        std::filesystem::create_directory(directory_ / folder);
    for (const auto& bucket : buckets) std::filesystem::create_directory(bucket_path(bucket));
    for (int i = 0; i < kTries; ++i) {
        port_ = free_port();
        if (launch()) return;
    }
    throw std::runtime_error(fmt::format("{} does not start", program_));
}

Versitygw::~Versitygw() {
    stop();
}

std::string Versitygw::url() const {
    return fmt::format("http://127.0.0.1:{}", port_);
}

std::string Versitygw::bucket_path(const std::string& bucket) const {
    return directory_ / ("data/" + bucket);
}

std::vector<std::string> Versitygw::requests() const {
    std::vector<std::string> lines;
    std::ifstream in(directory_ / "log/access");
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

void Versitygw::stop() {
    if (process_ < 0) return;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    process_ = -1;
}

void Versitygw::start() {
    if (!launch()) throw std::runtime_error("versitygw does not start again");
}

bool Versitygw::alive() {
    if (waitpid(process_, nullptr, WNOHANG) == 0) return true;
    process_ = -1;
    return false;
}

bool Versitygw::launch() {
    const std::string port = fmt::format("127.0.0.1:{}", port_);
    const std::string log = directory_ / "log/access", out = directory_ / "log/out";
    const std::string sidecar = directory_ / "sidecar", data = directory_ / "data";
    std::vector<std::string> words = {program_,
                                      "--quiet",
                                      "--keep-alive",
                                      "--port",
                                      port,
                                      "--access",
                                      kAccessKey,
                                      "--secret",
                                      kSecretKey,
                                      "--region",
                                      kRegion,
                                      "--virtual-domain",
                                      fmt::format("{}:{}", kDomain, port_),
                                      "--access-log",
                                      log,
                                      "posix",
                                      "--sidecar",
                                      sidecar,
                                      data};
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int sink = open(out.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    process_ = fork();
    if (process_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);  // an aborted test leaves nothing behind
        dup2(sink, STDOUT_FILENO);
        dup2(sink, STDERR_FILENO);
        execv(arguments[0], arguments.data());
        _exit(127);
    }
    close(sink);
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (alive() && std::chrono::steady_clock::now() < until) {
        if (answers()) return alive();
        poll(nullptr, 0, 10);
    }
    stop();
    return false;
}

bool Versitygw::answers() const {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port_);
    const bool connected =
        connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(descriptor);
    return connected;
}

}  // namespace weir::test
