#include "alambic/text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "alambic/base/error.h"
#include "alambic/base/file.h"

namespace alambic {
namespace {

ChatInput input_of(const OrderedJson& json) {
  ChatInput input;
  input.messages = json.at("messages");
  input.tools = json.value("tools", OrderedJson());
  input.add_generation_prompt = json.value("add_generation_prompt", false);
  input.variables = json.value("variables", OrderedJson::object());
  input.now = json.value("now", std::time_t{0});
  return input;
}

// What tests/golden/check_chat_templates.py compares with Python's rendering.
TEST(ChatTemplate, RendersForThePythonCheck) {
  const char* path = std::getenv("ALAMBIC_CHAT_CASES");
  if (path == nullptr) GTEST_SKIP() << "run by tests/golden/check_chat_templates.py";
  const std::string text = read_file(path);
  std::string out;
  for (const std::string_view line : split_lines(text)) {
    const OrderedJson json = OrderedJson::parse(line);
    OrderedJson result;
    try {
      const auto chat = ChatTemplate::parse(json.at("template").get<std::string>(), "template");
      const RenderedChat rendered = chat.render_chat(input_of(json));
      result["text"] = rendered.text;
      result["generated"] = rendered.generated;
    } catch (const Error& error) {
      result["error"] = error.what();
    }
    out += dump_json(result) + "\n";
  }
  write_file_atomic(std::string(path) + ".out", out);
}

}  // namespace
}  // namespace alambic
