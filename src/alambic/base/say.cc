#include "alambic/base/say.h"

#include <cstdio>

namespace alambic {

void say_text(std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace alambic
