#include "alambic/text/chat_template.h"

#include <filesystem>

#include "alambic/base/file.h"
#include "alambic/text/chat_template_builtin.h"
#include "alambic/text/jinja_interpreter.h"
#include "alambic/text/jinja_parser.h"

namespace alambic {
namespace {

// Special tokens are texts, or objects that say more about one.
void add_special_tokens(const Json& config, OrderedJson& variables) {
  if (!config.is_object()) return;
  for (const auto& item : config.items()) {
    if (!item.key().ends_with("_token") || variables.contains(item.key())) continue;
    const Json& token = item.value();
    if (token.is_string()) variables[item.key()] = token.get<std::string>();
    if (token.is_object() && token.contains("content") && token.at("content").is_string()) {
      variables[item.key()] = token.at("content").get<std::string>();
    }
  }
}

}  // namespace

struct ChatTemplate::Parts {
  std::string where, source;
  std::shared_ptr<const jinja::Template> plain;
  std::string tools_where;
  std::shared_ptr<const jinja::Template> with_tools;  // null: the same
  OrderedJson variables = OrderedJson::object();
};

ChatTemplate ChatTemplate::parse(std::string_view source, std::string_view where) {
  Parts parts;
  parts.where = where;
  parts.source = source;
  parts.plain = jinja::parse_template(source, where);
  return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
}

std::optional<ChatTemplate> ChatTemplate::from_config(const Json& tokenizer_config,
                                                      std::string_view where) {
  const auto found = tokenizer_config.is_object() ? tokenizer_config.find("chat_template")
                                                  : tokenizer_config.end();
  if (!tokenizer_config.is_object() || found == tokenizer_config.end() || found->is_null()) {
    return std::nullopt;
  }
  Parts parts;
  parts.where = fmt::format("{}: chat_template", where);
  add_special_tokens(tokenizer_config, parts.variables);
  if (found->is_string()) {
    parts.source = found->get<std::string>();
    parts.plain = jinja::parse_template(parts.source, parts.where);
    return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
  }
  if (!found->is_array()) {
    fail(ErrorCode::kCorruptData, "[{}] chat_template is a JSON {}; want a text or a list", where,
         found->type_name());
  }
  for (const Json& entry : *found) {
    const std::string name = require<std::string>(entry, "name", where);
    const std::string source = require<std::string>(entry, "template", where);
    if (name == "default") {
      parts.source = source;
      parts.plain = jinja::parse_template(source, parts.where);
    } else if (name == "tool_use") {
      parts.tools_where = fmt::format("{}: chat_template tool_use", where);
      parts.with_tools = jinja::parse_template(source, parts.tools_where);
    }
  }
  if (!parts.plain) {
    fail(ErrorCode::kCorruptData, "[{}] chat_template is a list without one named \"default\"",
         where);
  }
  return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
}

std::optional<ChatTemplate> ChatTemplate::load(const std::string& directory) {
  const std::filesystem::path folder(directory);
  const std::string config_path = (folder / "tokenizer_config.json").string();
  const std::string template_path = (folder / "chat_template.jinja").string();
  const std::string map_path = (folder / "special_tokens_map.json").string();
  const Json config = file_exists(config_path) ? read_json_file(config_path) : Json::object();
  std::optional<ChatTemplate> loaded;
  Parts parts;
  if (file_exists(template_path)) {
    parts.where = template_path;
    parts.source = read_file(template_path);
    parts.plain = jinja::parse_template(parts.source, parts.where);
    const std::string tools_path =
        (folder / "additional_chat_templates" / "tool_use.jinja").string();
    if (file_exists(tools_path)) {
      parts.tools_where = tools_path;
      parts.with_tools = jinja::parse_template(read_file(tools_path), tools_path);
    }
    add_special_tokens(config, parts.variables);
  } else {
    loaded = from_config(config, config_path);
    if (!loaded) return std::nullopt;
    parts = *loaded->parts_;
  }
  if (file_exists(map_path)) add_special_tokens(read_json_file(map_path), parts.variables);
  return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
}

ChatTemplate ChatTemplate::builtin(std::string_view name) {
  std::string names;
  for (const BuiltinTemplate& candidate : builtin_templates()) {
    if (candidate.name == name) {
      return parse(builtin_source(candidate), fmt::format("chat template {}", name));
    }
    names += names.empty() ? "" : ", ";
    names += candidate.name;
  }
  fail(ErrorCode::kNotFound, "[chat template] no built-in one is called \"{}\"; want {}", name,
       names);
}

std::vector<std::string> ChatTemplate::builtin_names() {
  std::vector<std::string> names;
  for (const BuiltinTemplate& candidate : builtin_templates()) names.emplace_back(candidate.name);
  return names;
}

ChatTemplate ChatTemplate::with_variable(const std::string& name, OrderedJson value) const {
  Parts parts = *parts_;
  parts.variables[name] = std::move(value);
  return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
}

bool ChatTemplate::marks_generation() const { return parts_->plain->marks_generation; }

const std::string& ChatTemplate::source() const { return parts_->source; }

RenderedChat ChatTemplate::render_chat(const ChatInput& input) const {
  const bool with_tools = parts_->with_tools && !input.tools.is_null();
  const jinja::Template& tree = with_tools ? *parts_->with_tools : *parts_->plain;
  jinja::Run run(with_tools ? parts_->tools_where : parts_->where,
                 input.now != 0 ? input.now : std::time(nullptr));
  std::vector<jinja::Value> variables;
  variables.reserve(tree.names.size());
  for (const std::string& name : tree.names) {
    if (input.variables.is_object() && input.variables.contains(name)) {
      variables.push_back(jinja::Value::from_json(run, input.variables.at(name)));
    } else if (name == "messages") {
      variables.push_back(jinja::Value::from_json(run, input.messages));
    } else if (name == "tools") {
      variables.push_back(jinja::Value::from_json(run, input.tools));
    } else if (name == "documents") {
      variables.push_back(jinja::Value::none());
    } else if (name == "add_generation_prompt") {
      variables.push_back(jinja::Value::boolean(input.add_generation_prompt));
    } else if (parts_->variables.contains(name)) {
      variables.push_back(jinja::Value::from_json(run, parts_->variables.at(name)));
    } else {
      variables.emplace_back();
    }
  }
  jinja::Output output = jinja::interpret(run, tree, std::move(variables));
  return {std::move(output.text), std::move(output.generated), output.generated_elsewhere};
}

}  // namespace alambic
