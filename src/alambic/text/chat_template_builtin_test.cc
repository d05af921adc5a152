#include "alambic/text/chat_template_builtin.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "alambic/base/file.h"

namespace alambic {
namespace {

TEST(BuiltinTemplate, NamesAreInOrderAndThereIsOneOfEach) {
  std::string before;
  for (const BuiltinTemplate& builtin : builtin_templates()) {
    EXPECT_LT(before, builtin.name);
    before = builtin.name;
  }
}

// For tests/golden/check_chat_templates.py, which has Python's jinja2 render them.
TEST(BuiltinTemplate, IsWrittenForThePythonCheck) {
  const char* directory = std::getenv("ALAMBIC_EXPORT_DIR");
  if (directory == nullptr) GTEST_SKIP() << "run by tests/golden/check_chat_templates.py";
  for (const BuiltinTemplate& builtin : builtin_templates()) {
    write_file_atomic(std::string(directory) + "/" + std::string(builtin.name) + ".jinja",
                      builtin_source(builtin));
  }
}

}  // namespace
}  // namespace alambic
