// What an action that must fail says. Tests only.
#pragma once

#include <functional>
#include <string>

#include "alambic/base/error.h"

namespace alambic {

inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace alambic
