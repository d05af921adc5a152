// alambic inspect: what a model, a run directory or a signal store holds.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>

#include "alambic/base/file.h"
#include "alambic/base/printable.h"
#include "alambic/base/progress.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/data/signal_store.h"
#include "alambic/decode/prompting.h"
#include "alambic/decode/session.h"
#include "alambic/eval/linear_classifier.h"
#include "alambic/eval/report.h"
#include "alambic/formats/gguf_blocks.h"
#include "alambic/formats/safetensors_set.h"
#include "alambic/models/adapters.h"
#include "alambic/models/gguf_model.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/memory_needs.h"
#include "alambic/models/model_files.h"
#include "alambic/models/what_lies_at.h"
#include "alambic/text/tokenizer.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLastSecond = 253402300799;  // of the year 9999

constexpr const char* kInspectExample =
    "  alambic inspect runs/quickstart/student --prompt-tokens 2000 --streams 16\n"
    "  alambic inspect runs/quickstart/signals.sqlite --rows 3\n"
    "  alambic inspect runs/quickstart --json";

struct InspectArguments {
  std::string path;
  int rows = 2;
  int prompt = 512, generated = 128, streams = 1, step = 2048;
  bool json = false;
};

void bind(CLI::App& verb, InspectArguments& o) {
  verb.add_option("path", o.path, "Model directory, GGUF file, run directory or signal store")
      ->required()
      ->type_name("PATH");
  verb.add_option("--rows", o.rows, "Rows of a signal store to show")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  const auto many = CLI::Range(1, 1 << 24);
  verb.add_option("--prompt-tokens", o.prompt, "For a model's memory needs: tokens of a prompt")
      ->check(many)
      ->capture_default_str();
  verb.add_option("--max-tokens", o.generated, "The same: tokens that follow it")
      ->check(many)
      ->capture_default_str();
  verb.add_option("--streams", o.streams, "The same: texts written at once")
      ->check(many)
      ->capture_default_str();
  verb.add_option("--tokens-per-step", o.step,
                  "The same: tokens that go through the model at once in training")
      ->check(many)
      ->capture_default_str();
  verb.add_flag("--json", o.json, "One JSON object");
}

OrderedJson special_tokens(const Tokenizer& tokenizer) {
  OrderedJson roles = OrderedJson::object();
  const std::pair<const char*, std::optional<TokenId>> named[] = {{"bos", tokenizer.bos()},
                                                                  {"eos", tokenizer.eos()},
                                                                  {"pad", tokenizer.pad()},
                                                                  {"unk", tokenizer.unk()},
                                                                  {"mask", tokenizer.mask()}};
  for (const auto& [role, id] : named) {
    if (id) roles[role] = {{"id", *id}, {"content", tokenizer.token_content(*id)}};
  }
  return roles;
}

OrderedJson end_tokens_json(const Tokenizer& tokenizer, const ModelConfig& config) {
  OrderedJson ends = OrderedJson::array();
  for (const TokenId id : stop_tokens(tokenizer, config))
    ends.push_back({{"id", id}, {"content", tokenizer.token_content(id)}});
  return ends;
}

// Bytes that are no whole token of text have a name in these vocabularies: a byte alphabet, or
// <0x41>.
const char* tokenizer_kind(const Tokenizer& tokenizer) {
  return tokenizer.find("<0x0A>") ? "byte-fallback BPE" : "byte-level BPE";
}

OrderedJson config_json(const ModelConfig& c) {
  return {{"family", c.family},
          {"parameters", c.parameters()},
          {"dim", c.dim},
          {"layers", c.layers},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_dim", c.head_dim},
          {"ffn", c.ffn},
          {"vocabulary", c.vocab_size},
          {"positions", c.max_positions},
          {"tied_head", c.tied_head},
          {"rope_theta", c.rope_theta},
          {"norm_eps", c.norm_eps}};
}

OrderedJson needs_json(const MemoryNeeds& n) {
  OrderedJson json = {{"total_bytes", n.total()},
                      {"weights_bytes", n.weights},
                      {"activations_bytes", n.activations}};
  if (n.kv_cache > 0) json["kv_cache_bytes"] = n.kv_cache;
  if (n.gradients > 0) json["gradients_bytes"] = n.gradients;
  if (n.optimizer > 0) json["optimizer_bytes"] = n.optimizer;
  json["process_bytes"] = n.process;
  return json;
}

// What decoding and training will need, in the forms that the weights have or could have.
OrderedJson all_needs(const ModelConfig& c, std::optional<WeightFormat> format, int stored_bytes,
                      const InspectArguments& o) {
  const DecodingLoad load{o.prompt, o.generated, o.streams, kForwardRows};
  OrderedJson decode = {
      {"prompt_tokens", o.prompt}, {"generated_tokens", o.generated}, {"streams", o.streams}};
  if (!format) {
    for (const auto& [name, precision] :
         {std::pair{"bf16", Precision::kBf16}, {"fp32", Precision::kFp32}})
      decode[name] = needs_json(decoding_needs(c, {stored_bytes, {}}, precision, load));
  }
  for (const WeightFormat f : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    if (format && *format != f) continue;
    decode[std::string(format_name(f))] =
        needs_json(decoding_needs(c, {stored_bytes, f}, Precision::kBf16, load));
  }
  OrderedJson result = {{"decode", decode}};
  if (!format) {
    result["train"] = {{"tokens_at_once", o.step},
                       {"bf16", needs_json(training_needs(c, Precision::kBf16, o.step))},
                       {"fp32", needs_json(training_needs(c, Precision::kFp32, o.step))}};
  }
  return result;
}

// What a file holds, tensor by tensor.
struct WeightSums {
  std::map<std::string, int64_t> dtypes;
  int64_t tensors = 0, bytes = 0, broken = 0;

  void add(const std::string& dtype, int64_t elements, size_t size) {
    ++tensors;
    dtypes[dtype] += elements;
    bytes += static_cast<int64_t>(size);
  }
  void check(std::span<const float> values) {
    const bool finite =
        std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
    if (!finite) ++broken;
  }
};

WeightSums sums_of(const SafetensorsSet& files) {
  WeightSums sums;
  std::vector<float> values;
  for (const TensorEntry* tensor : files.entries()) {
    const TensorEntry& entry = *tensor;
    sums.add(std::string(dtype_name(entry.dtype)), element_count(entry.shape), entry.bytes.size());
    if (entry.dtype != DType::kF32 && entry.dtype != DType::kF16 && entry.dtype != DType::kBf16)
      continue;
    values.resize(static_cast<size_t>(element_count(entry.shape)));
    to_floats(entry, values);
    sums.check(values);
    files.forget(entry);
  }
  return sums;
}

WeightSums sums_of(const GgufFile& file) {
  WeightSums sums;
  std::vector<float> values;
  for (const GgufTensor& tensor : file.tensors()) {
    const auto bytes = file.bytes_of(tensor);
    const GgmlBlock block = ggml_block(tensor.type);
    values.resize(bytes.size() / static_cast<size_t>(block.bytes) *
                  static_cast<size_t>(block.elements));
    sums.add(ggml_type_name(tensor.type), static_cast<int64_t>(values.size()), bytes.size());
    from_ggml(tensor.type, bytes, values);
    sums.check(values);
    file.forget(tensor);
  }
  return sums;
}

OrderedJson weights_json(const WeightSums& sums, OrderedJson& unusual) {
  if (sums.broken > 0)
    unusual.push_back(fmt::format("{} tensors hold numbers that are not finite", sums.broken));
  return {{"tensors", sums.tensors}, {"bytes", sums.bytes}, {"stored_as", sums.dtypes}};
}

// Of a number of the table of tokens, which is looked up as it is stored.
int table_bytes(const OrderedJson& weights, const std::string& path) {
  if (!is_gguf(path)) return weights["stored_as"].contains("F32") ? 4 : 2;
  return GgufFile(path).find_tensor("token_embd.weight")->type == GgmlType::kBf16 ? 2 : 4;
}

// Nullopt where the model has none.
std::optional<Tokenizer> tokenizer_of(const std::string& model) {
  try {
    return Tokenizer::load(model);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) return std::nullopt;
    throw;
  }
}

// Which chat template prompts go through.
std::string asked_through(ModelCard card, const std::string& model) {
  if (!card.chat_template.empty()) return "as it was trained";
  try {
    use_default_chat_template(model, card);
  } catch (const Error& error) {
    return fmt::format("its own, which cannot be read: {}", error.what());
  }
  return card.chat_template.empty() ? "none" : "its own";
}

OrderedJson inspect_model(const std::string& directory, const InspectArguments& o) {
  ModelCard card;
  const ModelConfig config = read_model_config(directory, &card);
  OrderedJson unusual = OrderedJson::array();
  for (const std::string& note : model_notes(directory)) unusual.push_back(note);
  OrderedJson result = {{"what", "model"}, {"path", directory}};
  result["model"] = config_json(config);
  const auto format = stored_format(directory);
  if (format) result["quantized"] = format_name(*format);
  for (const std::string& what : config.peculiarities()) unusual.push_back(what);
  const bool adapters = is_adapter_directory(directory);
  const std::string base = adapters ? adapter_base(directory) : directory;
  if (adapters) {
    result["adapters_of"] = base;
    unusual.push_back("adapters beside a base: alambic import merges them into a model of its own");
  }
  const bool gguf = is_gguf(directory);
  const bool there = gguf || holds_weights(base);
  if (there) {
    const WeightSums sums = gguf ? sums_of(GgufFile(directory)) : sums_of(SafetensorsSet(base));
    result["weights"] = weights_json(sums, unusual);
  } else {
    unusual.push_back("there is no model.safetensors: nothing can run");
  }
  const bool words = !gguf || GgufFile(directory).find("tokenizer.ggml.model") != nullptr;
  const std::optional<Tokenizer> found = words ? tokenizer_of(directory) : std::nullopt;
  if (found) {
    const Tokenizer& tokenizer = *found;
    result["tokenizer"] = {{"kind", tokenizer_kind(tokenizer)},
                           {"size", tokenizer.vocab_size()},
                           {"hash", tokenizer.hash()},
                           {"special", special_tokens(tokenizer)},
                           {"ends", end_tokens_json(tokenizer, config)}};
    if (tokenizer.vocab_size() != config.vocab_size) {
      unusual.push_back(fmt::format("the tokenizer has {} tokens, the model rows for {}",
                                    tokenizer.vocab_size(), config.vocab_size));
    }
    if (stop_tokens(tokenizer, config).empty())
      unusual.push_back("no end-of-text token: texts end at their longest only");
  } else {
    unusual.push_back(fmt::format("there is no {}: the model cannot be prompted with text",
                                  gguf ? "vocabulary" : "tokenizer"));
  }
  result["card"] = {{"task", card.task},     {"prompt_template", card.prompt_template},
                    {"labels", card.labels}, {"block", card.block},
                    {"mask", config.mask},   {"provenance", card.provenance}};
  result["card"]["chat_template"] = asked_through(card, directory);
  if (card.canvas > 0) result["card"]["canvas"] = card.canvas;
  if (!card.blank.empty()) result["card"]["blank"] = card.blank;
  OrderedJson modes = OrderedJson::array();
  modes.push_back(config.causal ? "ar" : "diffusion");
  if (config.causal && card.block > 0 && config.mask >= 0)
    modes.insert(modes.end(), {"speculative", "diffusion"});
  result["decode"] = modes;
  const int stored = there ? table_bytes(result["weights"], directory) : 2;
  result["needs"] = all_needs(config, format, stored, o);
  result["unusual"] = unusual;
  return result;
}

// As an answer that is of no use, by its kind.
OrderedJson unanswered_json(const SignalStore& store) {
  std::map<std::string_view, int64_t> counts;
  store.for_each_unanswered([&](const VainQuestion& one) { ++counts[answer_kind_name(one.kind)]; });
  OrderedJson json = OrderedJson::object();
  for (const auto& [kind, count] : counts) json[std::string(kind)] = count;
  return json;
}

OrderedJson inspect_signals(const std::string& path, int rows) {
  const SignalStore store = SignalStore::open(path);
  const SignalHeader& header = store.header();
  OrderedJson result = {{"what", "signals"},
                        {"path", path},
                        {"header", signal_header_to_json(header)},
                        {"rows", store.size()},
                        {"bytes_per_token", store.bytes_per_token()}};
  if (const OrderedJson unanswered = unanswered_json(store); !unanswered.empty())
    result["left_out"] = unanswered;
  if (const Spending spent = store.spent(); spent != Spending{}) {
    result["spent"] = {{"requests", spent.requests},
                       {"prompt_tokens", spent.prompt_tokens},
                       {"completion_tokens", spent.completion_tokens},
                       {"money", spent.money}};
  }
  int64_t tokens = 0, earliest = std::numeric_limits<int64_t>::max(), latest = 0;
  OrderedJson first = OrderedJson::array();
  store.for_each([&](const SignalRow& row) {
    earliest = std::min(earliest, row.time);
    latest = std::max(latest, row.time);
    tokens += static_cast<int64_t>(row.tokens.size()) - row.prompt_tokens;
    if (static_cast<int>(first.size()) < rows) {
      OrderedJson shown = {{"example", row.example},      {"sample", row.sample},
                           {"prompt", row.prompt},        {"text", row.text},
                           {"tokens", row.tokens.size()}, {"prompt_tokens", row.prompt_tokens}};
      if (!row.signals.empty()) {
        const TokenSignal& signal = row.signals.front();
        shown["first_signal"] = {
            {"ids", signal.ids}, {"probabilities", signal.probabilities}, {"tail", signal.tail}};
      }
      first.push_back(std::move(shown));
    }
  });
  result["tokens"] = tokens;
  if (store.size() > 0) {
    const auto in_words = [](int64_t time) {
      return fmt::format(
          "{:%Y-%m-%dT%H:%M:%SZ}",
          fmt::gmtime(static_cast<std::time_t>(std::clamp<int64_t>(time, 0, kLastSecond))));
    };
    result["gathered"] = {{"from", in_words(earliest)}, {"to", in_words(latest)}};
  }
  result["first_rows"] = std::move(first);
  return result;
}

OrderedJson inspect_linear(const std::string& directory) {
  const LinearClassifier classifier = LinearClassifier::load(directory);
  return {{"what", "linear classifier"},
          {"path", directory},
          {"learned_from", classifier.learned_from()},
          {"rows", classifier.rows()},
          {"bytes", fs::file_size(directory + "/" + kLinearFile)},
          {"words", classifier.terms().words().size()},
          {"characters", classifier.terms().characters().size()},
          {"temperature", classifier.temperature()},
          {"labels", classifier.classes()}};
}

OrderedJson inspect_run(const std::string& directory, int rows) {
  OrderedJson result = {{"what", "run"}, {"path", directory}};
  result["finished"] = file_exists(directory + "/report.json");
  for (const char* name : {"teacher", "student", "control", "on_policy"}) {
    const std::string model = directory + "/" + name;
    const bool complete =
        file_exists(model + "/config.json") && file_exists(model + "/model.safetensors");
    if (complete)
      result[name] = {{"path", model}, {"parameters", read_model_config(model).parameters()}};
  }
  const std::string baseline = directory + "/baseline";
  if (is_linear_classifier(baseline)) {
    result["baseline"] = {{"path", baseline},
                          {"learned_from", LinearClassifier::load(baseline).learned_from()}};
  }
  const std::string signals = directory + "/signals.sqlite";
  if (file_exists(signals)) result["signals"] = inspect_signals(signals, rows);
  const std::string report = directory + "/report.json";
  if (file_exists(report))
    result["report"] = OrderedJson(to_json(report_from_json(read_json_file(report), report)));
  return result;
}

std::string in_words(const OrderedJson& value, int depth = 0) {
  std::string text;
  for (const auto& [key, item] : value.items()) {
    std::string name = printable(key);
    std::replace(name.begin(), name.end(), '_', ' ');
    const std::string margin(static_cast<size_t>(2 * depth), ' ');
    if (item.is_structured() && item.empty()) continue;
    if (item.is_object() || (item.is_array() && item.front().is_object())) {
      text += fmt::format("{}{}\n{}", margin, value.is_array() ? "row " + name : name,
                          in_words(item, depth + 1));
      continue;
    }
    std::string shown = item.is_string() ? printable(item.get_ref<const std::string&>())
                                         : printable_json(dump_json(item));
    if (item.is_number_integer() && key.find("bytes") != std::string::npos)
      shown = format_bytes(item.get<int64_t>());
    if (item.is_number_float()) shown = fmt::format("{:.6g}", item.get<double>());
    if (value.is_array()) {
      text += fmt::format("{}- {}\n", margin, shown);
      continue;
    }
    text += fmt::format("{}{:<{}}{}\n", margin, name,
                        std::max<int>(24 - 2 * depth, static_cast<int>(name.size()) + 2), shown);
  }
  return text;
}

std::string run_in_words(const OrderedJson& result, const std::string& directory) {
  OrderedJson rest = result;
  rest.erase("report");
  std::string text = in_words(rest);
  if (!result.contains("report")) return text;
  const std::string path = directory + "/report.json";
  return text + "\n" +
         printable_lines(to_terminal(report_from_json(Json(result.at("report")), path)));
}

bool is_store(const std::string& path) {
  constexpr std::string_view kMagic = "SQLite format 3";
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  if (path.ends_with(".sqlite")) return true;  // or was to be one
  const MappedFile file(path);
  return file.bytes().size() >= kMagic.size() &&
         std::equal(kMagic.begin(), kMagic.end(), file.bytes().begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

void act(const InspectArguments& o, const Invocation&) {
  if (!file_exists(o.path))
    fail(ErrorCode::kNotFound, "[{}] does not exist; want a model, a run or a signal store",
         o.path);
  Heartbeat beat("inspect");
  OrderedJson result;
  const bool model =
      is_gguf(o.path) || file_exists(o.path + "/config.json") || is_adapter_directory(o.path);
  if (model) {
    result = inspect_model(o.path, o);
  } else if (is_linear_classifier(o.path)) {
    result = inspect_linear(o.path);
  } else if (is_store(o.path)) {
    result = inspect_signals(o.path, o.rows);
  } else if (file_exists(o.path + "/recipe.toml")) {
    result = inspect_run(o.path, o.rows);
  } else {
    fail(ErrorCode::kInvalidArgument, "[{}] is {}; want a model, a run or a signal store", o.path,
         what_lies_at(o.path));
  }
  beat.end();
  if (o.json) {
    print_json(result);
  } else {
    print_result(result.at("what") == "run" ? run_in_words(result, o.path) : in_words(result));
  }
}

}  // namespace

void add_inspect(CLI::App& app, Invocation& invocation) {
  add_verb<InspectArguments>(app, invocation, "inspect",
                             "Show what a model, a run or a signal store holds", kInspectExample,
                             bind, act);
}

}  // namespace alambic
