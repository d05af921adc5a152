#include "alambic/distill/recipe.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

#include "alambic/base/file.h"
#include "alambic/distill/recipe_check.h"

namespace alambic {
namespace {

constexpr std::pair<Divergence, const char*> kDivergences[] = {
    {Divergence::kForwardKl, "forward_kl"},
    {Divergence::kReverseKl, "reverse_kl"},
    {Divergence::kJsd, "jsd"},
    {Divergence::kTotalVariation, "tv"}};

constexpr std::pair<TimeWeight, const char*> kTimeWeights[] = {{TimeWeight::kInverse, "inverse"},
                                                               {TimeWeight::kLinear, "linear"}};

// The one list of keys: reading, writing and checking all walk it. `v(key, field)` for every field.
template <class V>
void visit(V& v, TrainRecipe& t) {
  v("steps", t.steps);
  v("epochs", t.epochs);
  v("tokens_per_step", t.tokens_per_step);
  v("accumulation", t.accumulation);
  v("lr", t.lr);
  v("schedule", t.schedule);
  v("warmup", t.warmup);
  v("lr_floor", t.lr_floor);
  v("cooldown", t.cooldown);
  v("weight_decay", t.weight_decay);
  v("beta1", t.beta1);
  v("beta2", t.beta2);
  v("clip", t.clip);
  v("dropout", t.dropout);
  v("precision", t.precision);
  v("checkpoint_seconds", t.checkpoint_seconds);
  v("validations", t.validations);
}

// A number that may be left to the program: "auto", kAutoAlpha.
struct Auto {
  double& value;
};

template <class V>
void visit(V& v, ModelRecipe& m) {
  v("model", m.model);
  v("init", m.init);
  v("tokenizer", m.tokenizer);
  v("dim", m.dim);
  v("layers", m.layers);
  v("heads", m.heads);
  v("kv_heads", m.kv_heads);
  v("ffn", m.ffn);
}

template <class V>
void visit(V& v, LoraRecipe& l) {
  v("rank", l.rank);
  v("alpha", l.alpha);
  v("parts", l.parts);
}

template <class V>
void visit(V& v, EndpointRecipe& e) {
  v("endpoint", e.url);
  v("api", e.api);
  v("api_key_env", e.api_key_env);
  v("system", e.system);
  v("prompt_template", e.prompt_template);
  v("reasoning", e.reasoning);
  v("concurrency", e.concurrency);
  v("requests_per_minute", e.requests_per_minute);
  v("timeout", e.timeout);
  v("max_total_tokens", e.max_total_tokens);
  v("max_cost", e.max_cost);
  v("price_per_million_in", e.price_per_million_in);
  v("price_per_million_out", e.price_per_million_out);
}

template <class V>
void visit(V& v, ProvenanceRecipe& p) {
  v("use", p.use);
  v("teacher_licence", p.teacher_licence);
  v("teacher_terms", p.teacher_terms);
  v("teacher_revision", p.teacher_revision);
  v("data_licence", p.data_licence);
  v("override", p.override);
}

template <class V>
void visit(V& v, Recipe& r) {
  v("name", r.name);
  v("task", r.task);
  v("seed", r.seed);
  v("vocabulary", r.vocabulary);
  v.section("data");
  v("source", r.data.source);
  v("givens_min", r.data.puzzle.givens_min);
  v("givens_max", r.data.puzzle.givens_max);
  v("numbers", r.data.puzzle.numbers);
  v("digits", r.data.puzzle.digits);
  v("blank", r.data.blank);
  v("format", r.data.format);
  v("encoding", r.data.encoding);
  v("train", r.data.train);
  v("train_target", r.data.train_target);
  v("test", r.data.test);
  v("test_target", r.data.test_target);
  v("prompt_field", r.data.prompt_field);
  v("completion_field", r.data.completion_field);
  v("prompts", r.data.prompts);
  v("limit", r.data.limit);
  v("unlabelled", r.data.unlabelled);
  v("validation", r.data.validation);
  v("test_limit", r.data.test_limit);
  v("prompt_template", r.data.prompt_template);
  v("chat_template", r.data.chat_template);
  v("max_tokens", r.data.max_tokens);
  v("seed", r.data.seed);
  v.section("teacher");
  v("rows", r.teacher_rows);
  visit(v, r.teacher);
  visit(v, r.endpoint);
  v.section("teacher.train");
  visit(v, r.teacher_train);
  v.section("signals");
  v("kind", r.signals.kind);
  v("count", r.signals.count);
  v("temperature", r.signals.temperature);
  v("texts", r.signals.texts);
  v("samples", r.signals.samples);
  v("text_temperature", r.signals.text_temperature);
  v("max_new_tokens", r.signals.max_new_tokens);
  v("cut", r.signals.cut);
  v("align", r.signals.align);
  v.section("student");
  visit(v, r.student);
  v("attention", r.attention);
  v("positions", r.positions);
  v.section("student.lora");
  visit(v, r.lora);
  v.section("student.train");
  visit(v, r.student_train);
  v.section("objective");
  v("ar_weight", r.objective.ar_weight);
  v("draft_weight", r.objective.draft_weight);
  v("block", r.objective.block);
  v("block_min", r.objective.block_min);
  v("suffix_share", r.objective.suffix_share);
  v("mask_floor", r.objective.mask_floor);
  v("draft_decay", r.objective.draft_decay);
  v("edit_share", r.objective.edit_share);
  v("alpha", Auto{r.objective.alpha});
  v("divergence", r.objective.divergence);
  v("beta", r.objective.beta);
  v("temperature", r.objective.temperature);
  v("on_policy", r.on_policy.share);
  v("on_policy_divergence", r.objective.on_policy_divergence);
  v("on_policy_temperature", r.on_policy.text_temperature);
  v("on_policy_texts", r.on_policy.texts);
  v("on_policy_uses", r.on_policy.uses);
  v("time_weight", r.masked.time_weight);
  v("focal", r.masked.focal);
  v.section("polish");
  v("steps", r.polish.steps);
  v("prompts", r.polish.prompts);
  v("max_new_tokens", r.polish.max_new_tokens);
  v("text_temperature", r.polish.text_temperature);
  v("gold_share", r.polish.gold_share);
  v("lr", r.polish.lr);
  v("divergence", r.polish.divergence);
  v("certainty", r.polish.certainty);
  v("hold", r.polish.hold);
  v.section("eval");
  v("decode", r.eval.decode);
  v("threshold", r.eval.threshold);
  v("block", r.eval.block);
  v("max_new_tokens", r.eval.max_new_tokens);
  v("speed_prompts", r.eval.speed_prompts);
  v("samples", r.eval.samples);
  v("dial_prompts", r.eval.dial_prompts);
  v.section("provenance");
  visit(v, r.provenance);
}

class Reader {
 public:
  Reader(const toml::table& table, std::string_view where) : table_(table), where_(where) {}

  void section(std::string name) { section_ = std::move(name); }

  template <class T>
  void operator()(const char* key, T&& field) {
    const std::string path = section_.empty() ? key : section_ + "." + key;
    known_.insert(path);
    const auto node = table_.at_path(path);
    if (!node) return;
    assign(path, node, field);
  }

  // Every key of the file must be one that was asked for.
  void refuse_unknown() const { refuse_unknown(table_, ""); }

 private:
  void refuse_unknown(const toml::table& table, const std::string& prefix) const {
    for (const auto& [key, value] : table) {
      const std::string path = prefix + std::string(key.str());
      if (const toml::table* inner = value.as_table()) {
        refuse_unknown(*inner, path + ".");
      } else if (!known_.contains(path)) {
        fail(ErrorCode::kInvalidArgument, "[{}] unknown key \"{}\"{}", where_, path,
             suggestion(path));
      }
    }
  }
  // A known key of the same name, of the same section where there is one.
  std::string suggestion(const std::string& path) const {
    const std::string name = path.substr(path.rfind('.') + 1);
    const std::string section = path.substr(0, path.find('.'));
    std::string found;
    for (const std::string& candidate : known_) {
      if (candidate.find(name) == std::string::npos) continue;
      if (found.empty() ||
          (candidate.ends_with("." + name) && candidate.starts_with(section + ".")))
        found = candidate;
    }
    return found.empty() ? "" : fmt::format("; did you mean \"{}\"?", found);
  }

  template <class Node>
  [[noreturn]] void wrong(const std::string& path, const Node& node, const char* want) const {
    std::ostringstream kind;
    kind << node.type();
    fail(ErrorCode::kInvalidArgument, "[{}] {} is of type {}; want {}", where_, path, kind.str(),
         want);
  }
  template <class Node>
  void assign(const std::string& path, const Node& node, std::string& field) const {
    if (!node.is_string()) wrong(path, node, "a string");
    field = **node.as_string();
  }
  template <class Node>
  void assign(const std::string& path, const Node& node, int& field) const {
    if (!node.is_integer()) wrong(path, node, "an integer");
    const int64_t value = **node.as_integer();
    if (value < 0 || value > 2000000000) {
      fail(ErrorCode::kInvalidArgument, "[{}] {} = {}; want 0 to 2000000000", where_, path, value);
    }
    field = static_cast<int>(value);
  }
  template <class Node>
  void assign(const std::string& path, const Node& node, uint64_t& field) const {
    std::string text;  // TOML's own integers end at 2^63 - 1; the others are strings
    if (const auto whole = node.as_integer()) text = std::to_string(**whole);
    if (const auto named = node.as_string()) text = **named;
    if (text.empty() && !node.is_string()) wrong(path, node, "a whole number from 0");
    const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), field);
    if (error == std::errc() && at == text.data() + text.size()) return;
    fail(ErrorCode::kInvalidArgument, "[{}] {} = {}; want a whole number from 0 to {}", where_,
         path, text, std::numeric_limits<uint64_t>::max());
  }
  template <class Node>
  void assign(const std::string& path, const Node& node, double& field) const {
    if (!node.is_number()) wrong(path, node, "a number");
    field = *node.template value<double>();
    if (!std::isfinite(field) || field < 0) {
      fail(ErrorCode::kInvalidArgument, "[{}] {} = {}; want a number from 0", where_, path, field);
    }
  }
  template <class Node>
  void assign(const std::string& path, const Node& node, Auto field) const {
    if (const auto named = node.as_string(); named && **named == "auto") {
      field.value = kAutoAlpha;
      return;
    }
    if (node.is_string()) wrong(path, node, "a number or \"auto\"");
    assign(path, node, field.value);
  }
  template <class Node>
  void assign(const std::string& path, const Node& node, std::vector<std::string>& field) const {
    const toml::array* array = node.as_array();
    if (array == nullptr) wrong(path, node, "a list of strings");
    field.clear();
    for (const auto& item : *array) {
      if (!item.is_string()) wrong(path, item, "a string");
      field.push_back(**item.as_string());
    }
  }
  template <class Node>
  void assign(const std::string& path, const Node& node, Divergence& field) const {
    std::string name;
    assign(path, node, name);
    for (const auto& [value, text] : kDivergences) {
      if (name == text) {
        field = value;
        return;
      }
    }
    fail(ErrorCode::kInvalidArgument, "[{}] {} = \"{}\"; want forward_kl, reverse_kl, jsd or tv",
         where_, path, name);
  }
  template <class Node>
  void assign(const std::string& path, const Node& node, TimeWeight& field) const {
    std::string name;
    assign(path, node, name);
    for (const auto& [value, text] : kTimeWeights) {
      if (name == text) {
        field = value;
        return;
      }
    }
    fail(ErrorCode::kInvalidArgument, "[{}] {} = \"{}\"; want inverse or linear", where_, path,
         name);
  }

  const toml::table& table_;
  std::string_view where_;
  std::string section_;
  std::set<std::string> known_;
};

class Writer {
 public:
  void section(const std::string& name) { text_ += fmt::format("\n[{}]\n", name); }
  void operator()(const char* key, const std::string& field) { line(key, quoted(field)); }
  void operator()(const char* key, int field) { line(key, std::to_string(field)); }
  void operator()(const char* key, uint64_t field) {
    const std::string text = std::to_string(field);
    line(key, field <= uint64_t{std::numeric_limits<int64_t>::max()} ? text : quoted(text));
  }
  void operator()(const char* key, double field) {
    std::string number = fmt::format("{}", field);
    if (number.find_first_of(".en") == std::string::npos) number += ".0";
    line(key, number);
  }
  void operator()(const char* key, Auto field) {
    if (field.value == kAutoAlpha) return line(key, quoted("auto"));
    (*this)(key, field.value);
  }
  void operator()(const char* key, const std::vector<std::string>& field) {
    std::string list;
    for (const std::string& item : field) list += (list.empty() ? "" : ", ") + quoted(item);
    line(key, "[" + list + "]");
  }
  void operator()(const char* key, Divergence field) {
    for (const auto& [value, text] : kDivergences) {
      if (value == field) line(key, quoted(text));
    }
  }
  void operator()(const char* key, TimeWeight field) {
    for (const auto& [value, text] : kTimeWeights) {
      if (value == field) line(key, quoted(text));
    }
  }
  std::string text() const { return text_; }

 private:
  void line(const char* key, const std::string& value) {
    text_ += fmt::format("{} = {}\n", key, value);
  }
  static std::string quoted(const std::string& text) {
    std::ostringstream out;
    out << toml::value<std::string>(text);
    return out.str();
  }
  std::string text_;
};

void set_key(toml::table& table, const std::string& setting) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) {
    fail(ErrorCode::kInvalidArgument, "[--set] got \"{}\"; want key=value, such as student.dim=96",
         setting);
  }
  const std::string path = setting.substr(0, equals), value = setting.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("v = " + value);
  } catch (const toml::parse_error&) {
    parsed = toml::table{{"v", value}};  // a bare word is a string
  }
  toml::table* at = &table;
  size_t begin = 0;
  for (size_t dot; (dot = path.find('.', begin)) != std::string::npos; begin = dot + 1) {
    const std::string key = path.substr(begin, dot - begin);
    if (!at->contains(key)) at->insert(key, toml::table{});
    at = at->get(key)->as_table();
    if (at == nullptr)
      fail(ErrorCode::kInvalidArgument, "[--set] {} is not a section", path.substr(0, dot));
  }
  at->insert_or_assign(path.substr(begin), *parsed.get("v"));
}

}  // namespace

Recipe parse_recipe(std::string_view text, std::string_view where,
                    const std::vector<std::string>& settings) {
  toml::table table;
  try {
    table = toml::parse(text, where);
  } catch (const toml::parse_error& error) {
    fail(ErrorCode::kInvalidArgument, "[{}:{}] not valid TOML: {}", where,
         error.source().begin.line, error.description());
  }
  for (const std::string& setting : settings) set_key(table, setting);
  Recipe recipe;
  // Who names data brings it.
  if (!table.at_path("data.train").value_or(std::string()).empty()) recipe.data.source = "files";
  if (table.at_path("student.init").value<std::string>() == "adapt") {
    recipe.task = "perplexity";
    recipe.data.prompt_template = "{prompt}";
    recipe.signals.kind = "memory";
    recipe.objective.alpha = 1;
    recipe.objective.draft_weight = 1;
    recipe.student_train.lr = 5e-4;
    recipe.data.chat_template = "none";
  }
  // A model that has learned much already moves in small steps, and needs few.
  if (table.at_path("student.init").value<std::string>() != "adapt" &&
      !table.at_path("student.model").value_or(std::string()).empty()) {
    recipe.student_train.lr = table.at_path("student.lora.rank").value_or(0) > 0 ? 1e-3 : 2e-4;
    recipe.student_train.epochs = 3;
  }
  // Who says how prompts stand wants them so.
  if (table.at_path("data.prompt_template")) recipe.data.chat_template = "none";
  Reader reader(table, where);
  visit(reader, recipe);
  reader.refuse_unknown();
  check_recipe(recipe, where);
  return recipe;
}

Recipe read_recipe(const std::string& path, const std::vector<std::string>& settings) {
  return parse_recipe(path.empty() ? std::string() : read_file(path),
                      path.empty() ? "recipe" : path, settings);
}

std::string recipe_to_toml(const Recipe& recipe) {
  Writer writer;
  Recipe copy = recipe;
  visit(writer, copy);
  return writer.text();
}

std::string recipe_substance(const Recipe& recipe) {
  Recipe copy = recipe;
  const EndpointRecipe usual;
  EndpointRecipe& e = copy.endpoint;
  e.api_key_env = usual.api_key_env;
  e.concurrency = usual.concurrency;
  e.requests_per_minute = usual.requests_per_minute;
  e.timeout = usual.timeout;
  e.max_total_tokens = usual.max_total_tokens;
  e.max_cost = usual.max_cost;
  e.price_per_million_in = usual.price_per_million_in;
  e.price_per_million_out = usual.price_per_million_out;
  copy.eval = EvalRecipe();
  const DataRecipe data;
  copy.data.test = data.test;
  copy.data.test_target = data.test_target;
  copy.data.test_limit = data.test_limit;
  return recipe_to_toml(copy);
}

}  // namespace alambic
