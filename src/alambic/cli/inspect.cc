// alambic inspect: what a model directory, a run directory or a signal store holds.
#include <fmt/format.h>

#include <filesystem>

#include "alambic/base/file.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/data/signal_store.h"
#include "alambic/eval/report.h"
#include "alambic/formats/safetensors.h"
#include "alambic/models/hf_directory.h"
#include "alambic/text/tokenizer.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInspectExample =
    "  alambic inspect runs/quickstart/student\n"
    "  alambic inspect runs/quickstart/signals.sqlite --rows 3\n"
    "  alambic inspect runs/quickstart --json";

struct InspectArguments {
  std::string path;
  int rows = 2;
  bool json = false;
};

void bind(CLI::App& verb, InspectArguments& o) {
  verb.add_option("path", o.path, "Model directory, run directory or signal store")
      ->required()
      ->type_name("PATH");
  verb.add_option("--rows", o.rows, "Rows of a signal store to show")
      ->check(CLI::Range(0, 1000))
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

// Weights, gradients and two moments in fp32; per row of a step the activations that the backward
// pass reads again (per layer the two normed inputs, queries, keys, values, attention output, gate,
// up and their product), with four tenths for gradients and blocks kept for reuse; logits and their
// gradient for a chunk of rows. Measured steps of bench's S (654 MB) and M (3.6 GB) lie within 5 %
// of it.
int64_t training_bytes(const ModelConfig& c, int64_t rows) {
  constexpr int64_t kHeadRows = 256;
  const int64_t per_layer = 4 * int64_t{c.dim} + 2 * int64_t{c.heads} * c.head_dim +
                            2 * int64_t{c.kv_heads} * c.head_dim + 3 * int64_t{c.ffn};
  const int64_t activations = 4 * rows * (c.layers * per_layer + 2 * int64_t{c.dim});
  return 16 * c.parameters() + activations * 7 / 5 + 8 * kHeadRows * c.vocab_size;
}

OrderedJson needs_json(const ModelConfig& c) {
  constexpr int64_t kStepRows = 2048;
  return {{"weights_fp32_bytes", 4 * c.parameters()},
          {"weights_bf16_bytes", 2 * c.parameters()},
          {"kv_cache_bytes_per_1000_tokens",
           1000 * int64_t{2} * c.layers * c.kv_heads * c.head_dim * 4},
          {"training_bytes_at_2048_tokens_per_step", training_bytes(c, kStepRows)}};
}

OrderedJson weights_json(const std::string& path, OrderedJson& unusual) {
  const SafetensorsFile file(path);
  std::map<std::string, int64_t> dtypes;
  int64_t bytes = 0, inexact = 0;
  std::vector<float> values;
  for (const TensorEntry& entry : file.entries()) {
    dtypes[std::string(dtype_name(entry.dtype))] += element_count(entry.shape);
    bytes += static_cast<int64_t>(entry.bytes.size());
    if (entry.dtype != DType::kF32 && entry.dtype != DType::kF16 && entry.dtype != DType::kBf16)
      continue;
    values.resize(static_cast<size_t>(element_count(entry.shape)));
    to_floats(entry, values);
    const bool finite =
        std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
    if (!finite) ++inexact;
  }
  if (inexact > 0)
    unusual.push_back(fmt::format("{} tensors hold numbers that are not finite", inexact));
  return {{"tensors", file.entries().size()}, {"bytes", bytes}, {"stored_as", dtypes}};
}

OrderedJson inspect_model(const std::string& directory) {
  ModelCard card;
  const ModelConfig config = read_model_config(directory, &card);
  OrderedJson unusual = OrderedJson::array();
  OrderedJson result = {{"what", "model"}, {"path", directory}};
  result["model"] = config_json(config);
  const auto format = stored_format(directory);
  if (format) result["quantized"] = format_name(*format);
  const std::string weights = directory + "/model.safetensors";
  if (file_exists(weights)) {
    result["weights"] = weights_json(weights, unusual);
  } else {
    unusual.push_back("there is no model.safetensors: nothing can run");
  }
  if (file_exists(directory + "/tokenizer.json")) {
    const Tokenizer tokenizer = Tokenizer::load(directory);
    result["tokenizer"] = {{"kind", tokenizer_kind(tokenizer)},
                           {"size", tokenizer.vocab_size()},
                           {"hash", tokenizer.hash()},
                           {"special", special_tokens(tokenizer)}};
    if (tokenizer.vocab_size() != config.vocab_size) {
      unusual.push_back(fmt::format("the tokenizer has {} tokens, the model rows for {}",
                                    tokenizer.vocab_size(), config.vocab_size));
    }
    if (!tokenizer.eos())
      unusual.push_back("no end-of-text token: texts end at their longest only");
  } else {
    unusual.push_back("there is no tokenizer.json: the model cannot be prompted with text");
  }
  result["card"] = {{"task", card.task},     {"prompt_template", card.prompt_template},
                    {"labels", card.labels}, {"block", card.block},
                    {"mask", config.mask},   {"provenance", card.provenance}};
  OrderedJson modes = {"ar"};
  if (card.block > 0 && config.mask >= 0) modes.insert(modes.end(), {"speculative", "diffusion"});
  result["decode"] = modes;
  result["needs"] = needs_json(config);
  result["unusual"] = unusual;
  return result;
}

OrderedJson inspect_signals(const std::string& path, int rows) {
  const SignalStore store = SignalStore::open(path);
  const SignalHeader& header = store.header();
  OrderedJson result = {{"what", "signals"},
                        {"path", path},
                        {"header", signal_header_to_json(header)},
                        {"rows", store.size()},
                        {"bytes_per_token", store.bytes_per_token()}};
  int64_t tokens = 0;
  OrderedJson first = OrderedJson::array();
  store.for_each([&](const SignalRow& row) {
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
  result["first_rows"] = std::move(first);
  return result;
}

OrderedJson inspect_run(const std::string& directory, int rows) {
  OrderedJson result = {{"what", "run"}, {"path", directory}};
  result["finished"] = file_exists(directory + "/report.json");
  for (const char* name : {"teacher", "student", "control"}) {
    const std::string model = directory + "/" + name;
    const bool complete =
        file_exists(model + "/config.json") && file_exists(model + "/model.safetensors");
    if (complete)
      result[name] = {{"path", model}, {"parameters", read_model_config(model).parameters()}};
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
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', ' ');
    const std::string margin(static_cast<size_t>(2 * depth), ' ');
    if (item.is_structured() && item.empty()) continue;
    if (item.is_object() || (item.is_array() && item.front().is_object())) {
      text += fmt::format("{}{}\n{}", margin, value.is_array() ? "row " + name : name,
                          in_words(item, depth + 1));
      continue;
    }
    std::string shown = item.is_string() ? item.get<std::string>() : dump_json(item);
    if (item.is_number_integer() && key.find("bytes") != std::string::npos)
      shown = format_bytes(item.get<int64_t>());
    if (item.is_number_float()) shown = fmt::format("{:.6g}", item.get<double>());
    if (value.is_array()) {
      text += fmt::format("{}- {}\n", margin, shown);
      continue;
    }
    for (size_t at = 0; (at = shown.find('\n', at)) != std::string::npos; at += 2)
      shown.replace(at, 1, "\\n");
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
  return text + "\n" + to_terminal(report_from_json(Json(result.at("report")), path));
}

void act(const InspectArguments& o, const Invocation&) {
  if (!file_exists(o.path))
    fail(ErrorCode::kNotFound, "[{}] does not exist; want a model, a run or a signal store",
         o.path);
  OrderedJson result;
  if (!fs::is_directory(o.path)) {
    result = inspect_signals(o.path, o.rows);
  } else if (file_exists(o.path + "/config.json")) {
    result = inspect_model(o.path);
  } else if (file_exists(o.path + "/recipe.toml")) {
    result = inspect_run(o.path, o.rows);
  } else {
    fail(ErrorCode::kInvalidArgument,
         "[{}] has neither config.json nor recipe.toml; want a model, a run or a signal store",
         o.path);
  }
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
