#include "alambic/cli/model_place.h"

#include <fmt/format.h>

#include "alambic/cli/output.h"
#include "alambic/models/what_lies_at.h"

namespace alambic {

std::string model_at(const std::string& given) {
  std::string student = (given.ends_with('/') ? given : given + "/") + "student";
  if (!given.empty() && is_run(given) && is_model(student)) {
    print_remark(fmt::format("{} is a run; taking its student, {}", given, student));
    return student;
  }
  check_is_model(given);
  return given;
}

}  // namespace alambic
