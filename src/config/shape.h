// config/shape.h: the schema as a value: which keys an object may have, what each means, and where
// it goes.
//
// One table drives everything: reading, the search for unknown keys, `weir verify`, and the test
// that the documentation names each key with its true default. A Shape is built once and never
// changes.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "config/load.h"
#include "config/value.h"

namespace weir::config {

class Reading;
struct Shape;

enum class Form : uint8_t {
    text,
    flag,
    integer,
    number,
    duration,
    bytes,
    size,
    texts,    // a list of texts
    object,   // `inner` is its shape
    objects,  // a list of them
    named,  // an object whose keys are names of the operator's choice; `inner` is the shape of the
            // values, if any
    any,
};

struct Key {
    std::string name{};
    Form form = Form::any;
    Status status = Status::honoured;
    std::string note{};  // why there is no effect, or what weir does with it
    // It would not be safe to go on as if the key weren't there (access control): an error unless
    // lenient.
    bool guards = false;
    const Shape* inner = nullptr;
    // Puts a value of the right form into the target; none for what is only known. The target is
    // never null.
    std::function<void(void*, const Value&, Reading&)> read{};
    // The target of an inner object.
    std::function<void*(void*)> enter{};
    // The current value in the words of a file; the default, when asked of a fresh target. None for
    // objects.
    std::function<std::string(void*)> show{};
};

struct Shape {
    std::vector<Key> keys;
    const Key* find(std::string_view name) const;
    // The known key that is meant most likely, or "".
    std::string nearest(std::string_view name) const;
};

// One pass over a file: where we are, and what was found.
class Reading {
public:
    explicit Reading(LoadOptions options) : options_(options) {}

    // Reads `value` into `target`, which may be null: then it is only checked. Problems are
    // collected, never thrown.
    void object(const Shape&, void* target, const Value& value);

    void error(uint32_t line, std::string what) { add(path_, line, std::move(what), true); }
    void warn(uint32_t line, std::string what) { add(path_, line, std::move(what), false); }
    // An error that --lenient makes a warning.
    void strict(uint32_t line, std::string what) {
        add(path_, line, std::move(what), !options_.lenient);
    }
    void add(std::string path, uint32_t line, std::string what, bool error);

    // For the time of `body` the path is longer.
    template <class F>
    void at(std::string_view name, F body) {
        const size_t before = path_.size();
        if (!path_.empty() && !name.starts_with('[')) path_ += '.';
        path_ += name;
        body();
        path_.resize(before);
    }

    const std::string& path() const { return path_; }
    std::vector<KeyReport> keys;
    std::vector<Problem> problems;
    size_t recognised = 0;
    bool failed() const;

private:
    void key(const Key&, void* target, const Value&);
    void inner(const Key&, void* target, const Value&);
    bool check_form(const Key&, const Value&);
    void report(const Key&, const Value&);

    LoadOptions options_;
    std::string path_;
    bool quiet_ = false;  // below a key that was reported as a whole
};

// A list, or one value where a list is wanted, or an empty map for an empty list.
std::vector<const Value*> weak_list(const Value&);

// ---- binding keys to members
// ------------------------------------------------------------------------------------------

namespace detail {

template <class T>
struct Binding;  // form, read and show of a member's type

#define WEIR_CONFIG_BINDING(TYPE, FORM, WEAK, SHOW)  \
    template <>                                      \
    struct Binding<TYPE> {                           \
        static constexpr Form form = FORM;           \
        static Weak<TYPE> read(const Value& value) { \
            return WEAK(value);                      \
        }                                            \
        static std::string show(const TYPE& value) { \
            return SHOW;                             \
        }                                            \
    }
WEIR_CONFIG_BINDING(std::string, Form::text, weak_text, value);
WEIR_CONFIG_BINDING(bool, Form::flag, weak_flag, value ? "true" : "false");
WEIR_CONFIG_BINDING(Duration, Form::duration, weak_duration, config::show(value));
WEIR_CONFIG_BINDING(Size, Form::size, weak_size, config::show(value));
#undef WEIR_CONFIG_BINDING

template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
struct Binding<T> {
    static constexpr Form form = Form::integer;
    static Weak<T> read(const Value& value) {
        auto number = weak_integer(value);
        if (!number) return std::unexpected(number.error());
        if (!std::in_range<T>(*number)) {
            return std::unexpected(fmt::format("{} is not between {} and {}", *number,
                                               std::numeric_limits<T>::min(),
                                               std::numeric_limits<T>::max()));
        }
        return static_cast<T>(*number);
    }
    static std::string show(const T& value) { return fmt::format("{}", value); }
};

template <class T>
struct Binding<std::optional<T>> {
    static constexpr Form form = Binding<T>::form;
    static Weak<std::optional<T>> read(const Value& value) {
        auto read = Binding<T>::read(value);
        if (!read) return std::unexpected(std::move(read.error()));
        return std::optional<T>(std::move(*read));
    }
    static std::string show(const std::optional<T>& value) {
        return value ? Binding<T>::show(*value) : "";
    }
};

template <>
struct Binding<std::vector<std::string>> {
    static constexpr Form form = Form::texts;
    static Weak<std::vector<std::string>> read(const Value& value) {
        std::vector<std::string> texts;
        for (const Value* item : weak_list(value)) {
            auto text = weak_text(*item);
            if (!text) return std::unexpected(text.error());
            texts.push_back(std::move(*text));
        }
        return texts;
    }
    static std::string show(const std::vector<std::string>& value) {
        return fmt::format("{}", fmt::join(value, ", "));
    }
};

}  // namespace detail

// A value that goes where `reach`, a T& to an M&, says.
template <class T, class Reach>
Key key_at(std::string name, Reach reach, std::string note = {}) {
    using Binding = detail::Binding<std::remove_cvref_t<std::invoke_result_t<Reach, T&>>>;
    Key made{.name = std::move(name), .form = Binding::form, .note = std::move(note)};
    made.read = [reach](void* target, const Value& value, Reading& reading) {
        auto read = Binding::read(value);
        if (read) {
            reach(*static_cast<T*>(target)) = std::move(*read);
        } else {
            reading.error(value.line, std::move(read.error()));
        }
    };
    made.show = [reach](void* target) { return Binding::show(reach(*static_cast<T*>(target))); };
    return made;
}
// A value that goes into a member: key("retryDelay", &Registry::retry_delay).
template <class T, class M>
Key key(std::string name, M T::* member, std::string note = {}) {
    return key_at<T>(
        std::move(name), [member](T& target) -> M& { return target.*member; }, std::move(note));
}

// A member that counts bytes.
template <class T>
Key bytes_key(std::string name, uint64_t T::* member, std::string note = {}) {
    Key made{.name = std::move(name), .form = Form::bytes, .note = std::move(note)};
    made.read = [member](void* target, const Value& value, Reading& reading) {
        auto read = weak_bytes(value);
        if (read) {
            static_cast<T*>(target)->*member = *read;
        } else {
            reading.error(value.line, std::move(read.error()));
        }
    };
    made.show = [member](void* target) { return show_bytes(static_cast<T*>(target)->*member); };
    return made;
}

// An object that is a member; an optional one is there when its key is.
template <class T, class M>
Key object_key(std::string name, M T::* member, const Shape& inner) {
    Key made{.name = std::move(name), .form = Form::object, .inner = &inner};
    made.enter = [member](void* target) -> void* { return &(static_cast<T*>(target)->*member); };
    return made;
}
template <class T, class M>
Key object_key(std::string name, std::optional<M> T::* member, const Shape& inner) {
    Key made{.name = std::move(name), .form = Form::object, .inner = &inner};
    made.enter = [member](void* target) -> void* {
        auto& optional = static_cast<T*>(target)->*member;
        if (!optional) optional.emplace();
        return &*optional;
    };
    return made;
}
// An object whose keys go into the same target as its parent's.
inline Key same_object(std::string name, const Shape& inner) {
    Key made{.name = std::move(name), .form = Form::object, .inner = &inner};
    made.enter = [](void* target) { return target; };
    return made;
}
// A list of objects; what the file says replaces the list.
template <class T, class M>
Key objects_key(std::string name, std::vector<M> T::* member, const Shape& inner) {
    Key made{.name = std::move(name), .form = Form::objects, .inner = &inner};
    made.read = [member, &inner](void* target, const Value& value, Reading& reading) {
        auto& list = static_cast<T*>(target)->*member;
        list.clear();
        for (const Value* item : weak_list(value)) {
            M& element = list.emplace_back();
            reading.at(fmt::format("[{}]", list.size() - 1),
                       [&] { reading.object(inner, &element, *item); });
        }
    };
    return made;
}
// Anything, read by hand.
template <class T, class F>
Key custom_key(std::string name, Form form, F read, std::string note = {}) {
    Key made{.name = std::move(name), .form = form, .note = std::move(note)};
    made.read = [read](void* target, const Value& value, Reading& reading) {
        read(*static_cast<T*>(target), value, reading);
    };
    return made;
}

// Known, checked, and not used.
Key no_effect(std::string name, Form form, std::string why, const Shape* inner = nullptr);
Key unsupported(std::string name, Form form, std::string note = {}, const Shape* inner = nullptr);
Key guarded(Key);
// Parts of zot's schema that are known, checked and not used.
Shape known(std::initializer_list<std::pair<const char*, Form>> keys);
Key inside(const char* name, Form form, const Shape& inner);

}  // namespace weir::config
