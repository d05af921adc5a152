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

// The independent reference: Python's jinja2, recorded by tests/golden/make_chat_goldens.py.
TEST(ChatTemplate, RendersEveryConstructAsJinja2Does) {
  setenv("TZ", "UTC", 1);
  const auto golden = OrderedJson::parse(read_file(ALAMBIC_GOLDEN_DIR "/chat_templates.json"));
  size_t rendered = 0;
  for (const OrderedJson& entry : golden.at("cases")) {
    const auto source = entry.at(1).get<std::string>();
    const OrderedJson& context = golden.at("contexts").at(entry.at(0).get<std::string>());
    try {
      const RenderedChat got = ChatTemplate::parse(source, "golden").render_chat(input_of(context));
      EXPECT_EQ(OrderedJson(got.text), entry.at(2)) << source;
      const OrderedJson spans = entry.size() > 3 ? entry.at(3) : OrderedJson::array();
      EXPECT_EQ(OrderedJson(got.generated), spans) << source;
      ++rendered;
    } catch (const Error& error) {
      EXPECT_TRUE(entry.at(2).is_null()) << source << "\n" << error.what() << "\n" << entry.at(2);
    }
  }
  EXPECT_GT(rendered, 500U);
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
