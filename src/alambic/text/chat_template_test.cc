#include "alambic/text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

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

std::string render(std::string_view source, ChatInput input = {}) {
  return ChatTemplate::parse(source, "t.jinja").render(input);
}

struct Refusal {
  ErrorCode code;
  std::string message;
};
Refusal refusal_of(std::string_view source) {
  try {
    render(source);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {ErrorCode::kInterrupted, "no error"};
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

TEST(ChatTemplate, ATemplateOutsideTheSubsetIsRefusedWithLineAndConstruct) {
  for (const auto& [source, message] : std::initializer_list<std::pair<const char*, const char*>>{
           {"\n{% include 'x' %}", "[t.jinja:2] the tag {% include %} is not supported"},
           {"a\n\n{% trans %}", "[t.jinja:3] the tag {% trans %} is not supported"},
           {"{% for x in y recursive %}", "[t.jinja:1] a recursive loop is not supported"},
           {"\n{{ 1 | wordwrap }}", "[t.jinja:2] the filter \"wordwrap\" is not supported"},
           {"{{ 1 is wild }}", "[t.jinja:1] the test \"wild\" is not supported"},
           {"{{ 'x'.encode() }}", "[t.jinja:1] this method of 'str' is not supported"},
           {"{{ 2 ** 127 }}", "[t.jinja:1] an integer beyond 127 bits is not supported"},
           {"\n{{ cycler(1) }}", "[t.jinja:2] the function cycler() is not supported"}}) {
    const Refusal refusal = refusal_of(source);
    EXPECT_EQ(refusal.message, message);
    EXPECT_EQ(refusal.code, ErrorCode::kUnsupported) << source;
  }
}

TEST(ChatTemplate, ASyntaxErrorNamesItsLine) {
  const Refusal refusal = refusal_of("{% if x %}\n{{ y ]] }}\n{% endif %}");
  EXPECT_EQ(refusal.code, ErrorCode::kCorruptData);
  EXPECT_EQ(refusal.message, "[t.jinja:2] unexpected ']'");
  EXPECT_EQ(refusal_of("{% for m in messages %}").message,
            "[t.jinja:1] the template ends; want {% endfor %}; got the end of the template");
}

TEST(ChatTemplate, WhatTheTemplateRaisesIsTheErrorsText) {
  const Refusal refusal = refusal_of("\n{{ raise_exception('Only user and assistant!') }}");
  EXPECT_EQ(refusal.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(refusal.message, "[t.jinja:2] the template refuses: Only user and assistant!");
}

TEST(ChatTemplate, AHostileTemplateEndsInAnError) {
  std::string chain = "{{ 1", parens = "{{ ", ifs, nots = "{{ ", lists = "{{ ";
  for (int i = 0; i < 100000; ++i) {
    chain += "+1";
    parens += "(";
    nots += "not ";
    lists += "[";
    if (i < 20000) ifs += "{% if 1 %}";
  }
  for (const std::string& source :
       {chain + " }}",
        parens,
        nots,
        lists,
        ifs,
        std::string(2 << 20, 'x'),
        std::string(
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"),
        std::string("{{ range(10**9) }}"),
        std::string("{{ 'x' * 10**9 }}"),
        std::string("{{ [1] * 10**9 }}"),
        std::string("{{ '%999999999d' % 1 }}"),
        std::string("{{ '{:999999999}'.format(1) }}"),
        std::string("{{ 'x'.center(10**9) }}"),
        std::string("{{ 'x'.rjust(9223372036854775807) }}"),
        std::string("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        std::string("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}"),
        std::string(
            "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}"
            "{% endfor %}"),
        std::string("{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}"
                    "{% endfor %}"),
        std::string(
            "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}"
            "{% endfor %}{{ n.x }}"),
        std::string(
            "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}"
            "{% endfor %}{{ n.x | tojson }}"),
        std::string(
            "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}"
            "{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}"),
        std::string("{% set n = namespace() %}{% set n.n = n %}{{ n }}"),
        std::string("{{ 'aaaa'.replace('', 'x' * 10000000) }}"),
        std::string("{{ ('x' * 1000000).replace('x', 'y' * 1000) }}"),
        std::string("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}")}) {
    EXPECT_NE(refusal_of(source).message, "no error") << source.substr(0, 100);
  }
}

TEST(ChatTemplate, TextThatIsNotUtf8IsReplacedAndRendered) {
  ChatInput input;
  input.messages = OrderedJson::array({{{"content", "a\xff\xc3"}}});
  EXPECT_EQ(render("\xfe{{ messages[0].content[1] }}{{ messages[0].content | length }}", input),
            "\xef\xbf\xbd\xef\xbf\xbd"
            "3");
}

TEST(ChatTemplate, TheClockIsTheInputsOrElseRuns) {
  setenv("TZ", "UTC", 1);
  ChatInput input;
  input.now = 86400;
  EXPECT_EQ(render("{{ strftime_now('%Y-%m-%d') }}", input), "1970-01-02");
  EXPECT_GE(render("{{ strftime_now('%Y') }}"), "2024");
}

class ModelDirectory : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = (std::filesystem::temp_directory_path() /
                  fmt::format("chat_{}", reinterpret_cast<uintptr_t>(this)))
                     .string();
    make_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void file(const std::string& name, std::string_view content) const {
    write_file_atomic(directory_ + "/" + name, content);
  }
  std::string rendered(const OrderedJson& tools = {}) const {
    ChatInput input;
    input.tools = tools;
    return ChatTemplate::load(directory_)->render(input);
  }
  std::string directory_;
};

TEST_F(ModelDirectory, WithoutATemplateThereIsNone) {
  EXPECT_FALSE(ChatTemplate::load(directory_).has_value());
  file("tokenizer_config.json", R"({"bos_token": "<s>", "chat_template": null})");
  EXPECT_FALSE(ChatTemplate::load(directory_).has_value());
}

TEST_F(ModelDirectory, SpecialTokensComeFromTheFilesAndTheConfigWins) {
  file("tokenizer_config.json",
       R"({"chat_template": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token }}|",
           "bos_token": {"content": "<b>", "lstrip": false}, "eos_token": "<e>", "pad_token": null,
           "add_bos_token": true})");
  file("special_tokens_map.json", R"({"eos_token": "<other>", "unk_token": {"content": "<u>"}})");
  EXPECT_EQ(rendered(), "<b><e><u>|");
}

TEST_F(ModelDirectory, ATemplateFileWinsOverTheConfig) {
  file("tokenizer_config.json", R"({"chat_template": "config", "bos_token": "<b>"})");
  file("chat_template.jinja", "file {{ bos_token }}");
  EXPECT_EQ(rendered(), "file <b>");
}

TEST_F(ModelDirectory, ANamedTemplateServesTools) {
  file("tokenizer_config.json",
       R"({"chat_template": [{"name": "default", "template": "plain"},
                             {"name": "tool_use", "template": "tools {{ tools | length }}"}]})");
  EXPECT_EQ(rendered(), "plain");
  EXPECT_EQ(rendered(OrderedJson::array({1, 2})), "tools 2");
  file("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  EXPECT_THROW(rendered(), Error);
  file("tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_THROW(rendered(), Error);
}

TEST(BuiltinTemplate, EveryOneRendersAConversationAndMarksItsAnswers) {
  ChatInput input;
  input.messages = OrderedJson::parse(R"([{"role": "system", "content": "S"},
      {"role": "user", "content": "U1"}, {"role": "assistant", "content": "A1"},
      {"role": "user", "content": [{"type": "text", "text": "U2"}]},
      {"role": "assistant", "content": "A2"}])");
  for (const std::string& name : ChatTemplate::builtin_names()) {
    const auto chat = ChatTemplate::builtin(name);
    EXPECT_TRUE(chat.marks_generation()) << name;
    const RenderedChat rendered = chat.render_chat(input);
    ASSERT_EQ(rendered.generated.size(), 2U) << name;
    for (size_t i = 0; i < 2; ++i) {
      const auto [begin, end] = rendered.generated[i];
      EXPECT_NE(rendered.text.substr(begin, end - begin).find(fmt::format("A{}", i + 1)),
                std::string::npos)
          << name;
    }
    for (const char* part : {"S", "U1", "U2"}) {
      EXPECT_NE(rendered.text.find(part), std::string::npos) << name;
    }
  }
  EXPECT_THROW(ChatTemplate::builtin("nope"), Error);
}

// Prompts as the publishers document their formats.
TEST(BuiltinTemplate, FormatsAreThePublishedOnes) {
  ChatInput input;
  input.messages = OrderedJson::parse(R"([{"role": "user", "content": "Hi"},
      {"role": "assistant", "content": "Yo"}, {"role": "user", "content": "Bye"}])");
  input.add_generation_prompt = true;
  const auto text = [&input](const char* name) {
    return ChatTemplate::builtin(name).render(input);
  };
  EXPECT_EQ(text("chatml"),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"
            "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(text("llama2"), "<s>[INST] Hi [/INST] Yo </s><s>[INST] Bye [/INST]");
  EXPECT_EQ(text("llama3"),
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nYo<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(text("mistral"), "<s>[INST] Hi[/INST] Yo</s>[INST] Bye[/INST]");
  EXPECT_EQ(text("zephyr"),
            "<|user|>\nHi</s>\n<|assistant|>\nYo</s>\n<|user|>\nBye</s>\n<|assistant|>\n");
  EXPECT_EQ(text("phi3"),
            "<|user|>\nHi<|end|>\n<|assistant|>\nYo<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n");
  EXPECT_EQ(text("gemma"),
            "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYo<end_of_turn>\n"
            "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n");
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
