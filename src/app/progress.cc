#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "app/verb.h"

namespace weir::app {
namespace {
constexpr int kBarWidth = 30;
}

Progress::Progress(std::string name, std::ostream& out, bool terminal)
    : name_(std::move(name)), out_(out), terminal_(terminal) {}

Progress::Progress(std::string name)
    : Progress(std::move(name), std::cerr, isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
    std::lock_guard lock(mutex_);
    clear();
}

void Progress::at(std::string_view phase, double share, std::string_view detail) {
    const int permille = static_cast<int>(std::clamp(share, 0.0, 1.0) * 1000);
    std::lock_guard lock(mutex_);
    if (phase != phase_) {
        phase_ = phase;
        tenth_ = permille_ = -1;
    }
    if (permille == permille_) return;
    permille_ = permille;
    detail_ = detail;
    if (terminal_) return draw();
    if (permille / 100 <= tenth_) return;
    tenth_ = permille / 100;
    out_ << fmt::format("{}: {} {} %{}{}\n", name_, phase_, tenth_ * 10, detail.empty() ? "" : ", ",
                        detail);
    out_.flush();
}

void Progress::line(std::ostream& out, std::string_view text) {
    std::lock_guard lock(mutex_);
    const bool again = drawn_;
    clear();
    out << text << '\n';
    if (terminal_) out.flush();
    if (again) draw();
}

void Progress::draw() {
    const int full = permille_ * kBarWidth / 1000;
    out_ << fmt::format("\r\x1b[K{}: {} [{}{}] {:>3} %  {}", name_, phase_, std::string(full, '#'),
                        std::string(kBarWidth - full, '.'), permille_ / 10, detail_);
    out_.flush();
    drawn_ = true;
}

void Progress::clear() {
    if (!drawn_) return;
    out_ << "\r\x1b[K";
    out_.flush();
    drawn_ = false;
}

}  // namespace weir::app
