#include "config/shape.h"

#include <algorithm>
#include <set>

#include "base/redact.h"
#include "base/text.h"

namespace weir::config {
namespace {

// Further than this a key is another word, not a slip.
constexpr size_t kMaxSlip = 3;
// More errors than these help nobody.
constexpr size_t kMaxProblems = 100;

Weak<bool> has_form(Form form, const Value& value) {
    const auto good = [](auto&& weak) -> Weak<bool> {
        if (weak) return true;
        return std::unexpected(weak.error());
    };
    switch (form) {
        case Form::text:
            return good(weak_text(value));
        case Form::flag:
            return good(weak_flag(value));
        case Form::integer:
            return good(weak_integer(value));
        case Form::number:
            return good(weak_number(value));
        case Form::duration:
            return good(weak_duration(value));
        case Form::bytes:
            return good(weak_bytes(value));
        case Form::size:
            return good(weak_size(value));
        case Form::texts:
            return good(detail::Binding<std::vector<std::string>>::read(value));
        case Form::object:
        case Form::named:
            if (value.is(Value::Type::map)) return true;
            return std::unexpected(fmt::format("expected an object, got {}", describe(value)));
        case Form::objects:
            for (const Value* item : weak_list(value)) {
                if (item->is(Value::Type::map)) continue;
                return std::unexpected(
                    fmt::format("expected a list of objects, got {}", describe(*item)));
            }
            return true;
        case Form::any:
            return true;
    }
    return true;
}

// A name that nobody knows may be a slip that put a secret there.
std::string shown_key(const std::string& name, bool secret) {
    if (secret) return "***";
    const size_t colon = name.find(':');
    const bool url = name.find("://") != std::string::npos;
    if (colon == std::string::npos || url || name.find('@') != std::string::npos) return name;
    return name.substr(0, colon) + ":***";
}

}  // namespace

const Key* Shape::find(std::string_view name) const {
    for (const Key& key : keys) {
        if (iequals(key.name, name)) return &key;
    }
    return nullptr;
}

std::string Shape::nearest(std::string_view name) const {
    const std::string lower = ascii_lower(name);
    std::string best;
    size_t best_distance = std::min(kMaxSlip, std::max<size_t>(1, name.size() / 2)) + 1;
    for (const Key& key : keys) {
        const size_t distance = edit_distance(lower, ascii_lower(key.name), kMaxSlip);
        if (distance < best_distance) {
            best_distance = distance;
            best = key.name;
        }
    }
    return best;
}

std::vector<const Value*> weak_list(const Value& value) {
    std::vector<const Value*> items;
    if (value.is(Value::Type::list)) {
        for (const Value& item : value.items) items.push_back(&item);
    } else if (!value.is(Value::Type::null) &&
               !(value.is(Value::Type::map) && value.items.empty())) {
        items.push_back(&value);
    }
    return items;
}

void Reading::add(std::string path, uint32_t line, std::string what, bool error) {
    if (problems.size() >= kMaxProblems && !error) return;
    if (problems.size() >= 2 * kMaxProblems) return;
    problems.push_back({without_logins(path), without_logins(what), line, error});
}

bool Reading::failed() const {
    return std::ranges::any_of(problems, &Problem::error);
}

void Reading::object(const Shape& shape, void* target, const Value& value) {
    if (value.is(Value::Type::null)) return;
    if (!value.is(Value::Type::map)) {
        error(value.line, fmt::format("expected an object, got {}", describe(value)));
        return;
    }
    std::set<std::string> seen;
    std::vector<std::vector<const Value*>> given(shape.keys.size());
    for (size_t i = 0; i < value.keys.size(); ++i) {
        const std::string& name = value.keys[i];
        const Value& item = value.items[i];
        const Key* known = shape.find(name);
        const std::string nearest = known ? "" : shape.nearest(name);
        at(known ? known->name : shown_key(name, value.secret && nearest.empty()), [&] {
            if (!seen.insert(ascii_lower(name)).second) {
                strict(item.line, "the key is given twice (case doesn't matter)");
            }
            if (known) {
                given[static_cast<size_t>(known - shape.keys.data())].push_back(&item);
                return;
            }
            strict(item.line, nearest.empty()
                                  ? "unknown key"
                                  : fmt::format("unknown key; did you mean \"{}\"?", nearest));
        });
    }
    // In the schema's order, so that the file's doesn't matter.
    for (size_t i = 0; i < given.size(); ++i) {
        for (const Value* item : given[i]) {
            ++recognised;
            at(shape.keys[i].name, [&] { key(shape.keys[i], target, *item); });
        }
    }
}

void Reading::key(const Key& key, void* target, const Value& value) {
    if (value.is(Value::Type::null)) return;  // as zot: as if it weren't there
    report(key, value);
    if (!check_form(key, value)) return;
    const bool quiet_before = quiet_;
    quiet_ = quiet_ || key.status != Status::honoured;
    if (key.inner && (!key.read || !target)) {
        inner(key, target, value);
    } else if (key.read && target) {
        key.read(target, value, *this);
    }
    quiet_ = quiet_before;
}

void Reading::inner(const Key& key, void* target, const Value& value) {
    switch (key.form) {
        case Form::object:
            object(*key.inner, target && key.enter ? key.enter(target) : nullptr, value);
            break;
        case Form::objects: {
            size_t index = 0;
            for (const Value* item : weak_list(value)) {
                at(fmt::format("[{}]", index++), [&] { object(*key.inner, nullptr, *item); });
            }
            break;
        }
        case Form::named:
            for (size_t i = 0; i < value.keys.size(); ++i) {
                at(value.keys[i], [&] { object(*key.inner, nullptr, value.items[i]); });
            }
            break;
        default:
            break;
    }
}

bool Reading::check_form(const Key& key, const Value& value) {
    auto good = has_form(key.form, value);
    if (!good) {
        error(value.line, good.error());
        return false;
    }
    if (key.form == Form::duration && value.is(Value::Type::integer) && value.integer > 0 &&
        value.integer < 1'000'000) {
        warn(value.line, fmt::format("{} means {} nanoseconds; did you mean \"{}s\"?",
                                     value.integer, value.integer, value.integer));
    }
    return true;
}

void Reading::report(const Key& key, const Value& value) {
    if (quiet_) return;
    const bool whole = key.form != Form::object && key.form != Form::objects;
    if (whole || key.status != Status::honoured)
        keys.push_back({without_logins(path_), key.status, key.note});
    if (key.status != Status::unsupported) return;
    const bool off = key.form == Form::flag && !weak_flag(value).value_or(true);
    if (off) {
        keys.back().status = Status::honoured;
        return;
    }
    const std::string what =
        key.note.empty() ? "not supported yet" : "not supported yet: " + key.note;
    if (key.guards) {
        strict(value.line, what + "; going on without it would not be safe (--lenient does)");
    } else {
        warn(value.line, what);
    }
}

Key no_effect(std::string name, Form form, std::string why, const Shape* inner) {
    return {.name = std::move(name),
            .form = form,
            .status = Status::no_effect,
            .note = std::move(why),
            .inner = inner};
}

Key unsupported(std::string name, Form form, std::string note, const Shape* inner) {
    return {.name = std::move(name),
            .form = form,
            .status = Status::unsupported,
            .note = std::move(note),
            .inner = inner};
}

Key guarded(Key key) {
    key.guards = true;
    return key;
}

Shape known(std::initializer_list<std::pair<const char*, Form>> keys) {
    Shape shape;
    for (const auto& [name, form] : keys) shape.keys.push_back({.name = name, .form = form});
    return shape;
}

Key inside(const char* name, Form form, const Shape& inner) {
    return {.name = name, .form = form, .inner = &inner};
}

}  // namespace weir::config
