// async/task.h: the coroutine type of weir.
//
// A Task runs on the loop it was spawned on or awaited from, and never on another. It does nothing
// until it is awaited or handed to Scope::spawn(). Rules (CONTRIBUTING.md): parameters by value or
// documented to outlive; no capturing lambda is a coroutine unless Scope::spawn() stores it; the
// only co_spawn stands in async/scope.cc.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace weir {

using Executor = boost::asio::io_context::executor_type;
template <class T = void>
using Task = boost::asio::awaitable<T, Executor>;
inline constexpr boost::asio::use_awaitable_t<Executor> use_task{};

}  // namespace weir
