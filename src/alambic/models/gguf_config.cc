#include "alambic/models/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "alambic/base/error.h"
#include "alambic/formats/gguf_blocks.h"
#include "alambic/models/family.h"

namespace alambic {
namespace {

constexpr const char* kCard = "alambic.card";

// Reads the keys of one architecture.
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}
  bool has(const char* key) const { return file_.find(prefix_ + key) != nullptr; }
  template <class T>
  T require(const char* key) const {
    return file_.require<T>(prefix_ + key);
  }
  template <class T>
  T optional(const char* key, T fallback) const {
    return file_.optional<T>(prefix_ + key, fallback);
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

const GgufTensor& tensor_of(const GgufFile& file, const std::string& name, std::string_view where) {
  const GgufTensor* tensor = file.find_tensor(name);
  if (tensor == nullptr) fail(ErrorCode::kCorruptData, "[{}] tensor {} is missing", where, name);
  return *tensor;
}

int rows_of(const GgufTensor& tensor, std::string_view where) {
  constexpr int64_t kMost = 1 << 22;
  const int64_t rows = tensor.dims.size() == 2 ? tensor.dims[1] : 0;
  if (rows < 1 || rows > kMost) {
    fail(ErrorCode::kCorruptData, "[{}] tensor {}: got {} rows, want 1 to {}", where, tensor.name,
         rows, kMost);
  }
  return static_cast<int>(rows);
}

// A head that is the embedding once more is a tied head.
bool is_tied(const GgufFile& file) {
  const GgufTensor *head = file.find_tensor("output.weight"),
                   *table = file.find_tensor("token_embd.weight");
  if (head == nullptr || table == nullptr) return true;
  return head->type == table->type && head->dims == table->dims &&
         std::equal(head->bytes.begin(), head->bytes.end(), table->bytes.begin(),
                    table->bytes.end());
}

// What config.json says of a scaling, for the one reader of such settings.
Json rope_json(const Keys& keys) {
  Json rope = {{"rope_type", "default"},
               {"rope_theta", keys.optional<double>("rope.freq_base", 10000)}};
  const auto type = keys.optional<std::string_view>("rope.scaling.type", "none");
  // The spelling of files before there were types.
  const auto old = keys.optional<double>("rope.scale_linear", 1);
  if (type == "none" && old == 1) return rope;
  rope["rope_type"] = type == "none" ? "linear" : std::string(type.substr(0, 80));
  rope["factor"] = keys.optional<double>("rope.scaling.factor", old);
  if (keys.has("rope.scaling.original_context_length")) {
    rope["original_max_position_embeddings"] =
        keys.require<int>("rope.scaling.original_context_length");
  }
  if (type != "yarn") return rope;
  rope["beta_fast"] = keys.optional<double>("rope.scaling.yarn_beta_fast", 32);
  rope["beta_slow"] = keys.optional<double>("rope.scaling.yarn_beta_slow", 1);
  if (keys.has("rope.scaling.yarn_attn_factor"))
    rope["attention_factor"] = keys.require<double>("rope.scaling.yarn_attn_factor");
  return rope;
}

constexpr const char *kWindowKey = "attention.sliding_window",
                     *kWindowLayersKey = "attention.sliding_window_pattern";

// The family that computes what the file says: a llama with a window is a Mistral.
std::string_view family_of(const Keys& keys, const GgufArchitecture& architecture) {
  const bool slides = keys.optional<uint32_t>(kWindowKey, 0) > 0;
  return slides && architecture.family == "llama" ? "mistral" : architecture.family;
}

// As config.json says it. Without a list of layers, all of them slide.
void say_window(const GgufFile& file, const Keys& keys, const GgufArchitecture& architecture,
                std::string_view where, Json& json) {
  const int window = keys.optional<int>(kWindowKey, 0);
  json["use_sliding_window"] = window > 0;
  json["sliding_window"] = window > 0 ? Json(window) : Json(nullptr);
  json["max_window_layers"] = 0;
  if (window > 0 && architecture.family != "llama" && !architecture.family.starts_with("qwen"))
    fail(ErrorCode::kUnsupported, "[{}] a {} with a sliding window", where, architecture.name);
  if (window == 0 || !keys.has(kWindowLayersKey)) return;
  Json types = Json::array();
  for (const bool slides :
       file.require_array<bool>(fmt::format("{}.{}", architecture.name, kWindowLayersKey)))
    types.push_back(slides ? "sliding_attention" : "full_attention");
  json["layer_types"] = std::move(types);
}

// As the families' readers want it, in every spelling they have for a size.
Json config_json(const GgufFile& file, const Keys& keys, const GgufArchitecture& architecture,
                 std::string_view where) {
  const int dim = keys.require<int>("embedding_length"),
            heads = keys.require<int>("attention.head_count");
  const int head_dim = keys.optional<int>("attention.key_length", heads > 0 ? dim / heads : 0);
  if (keys.optional<int>("attention.value_length", head_dim) != head_dim) {
    fail(ErrorCode::kUnsupported, "[{}] heads whose keys and values differ in length", where);
  }
  Json json = {{"model_type", family_of(keys, architecture)},
               {"vocab_size", rows_of(tensor_of(file, "token_embd.weight", where), where)},
               {"head_dim", head_dim},
               {"num_key_value_heads", keys.optional<int>("attention.head_count_kv", heads)},
               {"tie_word_embeddings", is_tied(file)},
               {"attention_bias", file.find_tensor("blk.0.attn_output.bias") != nullptr},
               {"use_parallel_residual", keys.optional<bool>("use_parallel_residual", true)},
               {"rotary_pct", 1.0},
               {"rope_parameters", rope_json(keys)}};
  const auto say = [&](std::initializer_list<const char*> spellings, const Json& value) {
    for (const char* spelling : spellings) json[spelling] = value;
  };
  say({"hidden_size", "n_embd"}, dim);
  say({"num_hidden_layers", "n_layer"}, keys.require<int>("block_count"));
  say({"num_attention_heads", "n_head"}, heads);
  say({"intermediate_size", "n_inner"}, keys.require<int>("feed_forward_length"));
  say({"max_position_embeddings", "n_positions", "seq_length"},
      keys.require<int>("context_length"));
  const bool rms = keys.has("attention.layer_norm_rms_epsilon");
  say({"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"},
      keys.require<float>(rms ? "attention.layer_norm_rms_epsilon"
                              : "attention.layer_norm_epsilon"));
  say_window(file, keys, architecture, where, json);
  if (architecture.fused && keys.has("hidden_activation")) {
    say({"hidden_act", "activation_function"},
        std::string(keys.require<std::string_view>("hidden_activation").substr(0, 80)));
  }
  return json;
}

// An id that is no row means that there is none: writers have put -1 and 2^32 - 1.
TokenId read_id(const GgufFile& file, const char* key, int vocab_size) {
  const auto id = file.optional<int64_t>(std::string("tokenizer.ggml.") + key, -1);
  return id >= 0 && id < vocab_size ? static_cast<TokenId>(id) : -1;
}

void check_whole(const GgufFile& file, const Keys& keys, std::string_view where) {
  if (file.tensors().empty()) {
    fail(ErrorCode::kUnsupported, "[{}] holds a vocabulary and no weights", where);
  }
  if (const auto parts = file.optional<uint32_t>("split.count", 1); parts > 1) {
    fail(ErrorCode::kUnsupported,
         "[{}] is one of {} parts of a model; join them first (llama-gguf-split --merge)", where,
         parts);
  }
  if (const auto experts = keys.optional<uint32_t>("expert_count", 0); experts > 0) {
    fail(ErrorCode::kUnsupported, "[{}] a mixture of {} experts", where, experts);
  }
}

}  // namespace

ModelConfig read_gguf_config(const GgufFile& file, std::string_view where, ModelCard* card) {
  const GgufArchitecture& architecture =
      gguf_architecture(file.require<std::string_view>("general.architecture"), where);
  const Keys keys(file, architecture.name);
  check_whole(file, keys, where);
  ModelConfig c = family_named(family_of(keys, architecture))
                      .read_config(config_json(file, keys, architecture, where), where);
  const std::string query = architecture.fused ? "blk.0.attn_qkv.bias" : "blk.0.attn_q.bias";
  c.qkv_bias = file.find_tensor(query) != nullptr;
  const int rotated = keys.optional<int>("rope.dimension_count", c.head_dim);
  c.rotated = rotated == c.head_dim ? 0 : rotated;
  c.bos = read_id(file, "bos_token_id", c.vocab_size);
  c.eos.clear();
  for (const char* key : {"eot_token_id", "eos_token_id", "eom_token_id"}) {
    const TokenId id = read_id(file, key, c.vocab_size);
    if (id >= 0 && std::find(c.eos.begin(), c.eos.end(), id) == c.eos.end()) c.eos.push_back(id);
  }
  ModelCard read;
  if (file.find(kCard) != nullptr)
    read = read_card(parse_json(file.require<std::string_view>(kCard), where), where, c);
  read.ends = c.eos;
  validate(c, where, ErrorCode::kCorruptData);
  const GgufTensor* factors = file.find_tensor(kRopeFactors);
  if (factors != nullptr && c.positions == PositionKind::kRotary) {
    const int pairs = c.rotary_dims() / 2;
    if (factors->dims != std::vector<int64_t>{pairs}) {
      fail(ErrorCode::kCorruptData, "[{}] tensor {}: got {} numbers, want {}", where, kRopeFactors,
           factors->dims[0], pairs);
    }
    std::vector<float> values(static_cast<size_t>(pairs));
    from_ggml(factors->type, file.bytes_of(*factors), values);
    c.rope_scaling = scaling_from_factors(c, values, where);
  }
  if (card != nullptr) *card = std::move(read);
  return c;
}

namespace {

void write_scaling(const ModelConfig& c, const std::string& prefix, std::string_view where,
                   GgufMetadata& metadata) {
  const RopeScaling& s = c.rope_scaling;
  if (s.kind != RopeScaling::Kind::kLinear && s.kind != RopeScaling::Kind::kYarn) return;
  const bool yarn = s.kind == RopeScaling::Kind::kYarn;
  metadata.put(prefix + "rope.scaling.type", yarn ? "yarn" : "linear");
  metadata.put(prefix + "rope.scaling.factor", static_cast<float>(s.factor));
  if (!yarn) return;
  if (!s.whole_dimensions)
    fail(ErrorCode::kUnsupported, "[{}] yarn with \"truncate\": false as GGUF", where);
  const auto put = [&](const char* key, double value) {
    metadata.put(prefix + "rope.scaling." + key, static_cast<float>(value));
  };
  metadata.put(prefix + "rope.scaling.original_context_length",
               static_cast<uint32_t>(s.original_positions));
  put("yarn_beta_fast", s.beta_fast);
  put("yarn_beta_slow", s.beta_slow);
  put("yarn_attn_factor", s.amplitude);
  // llama.cpp multiplies the customary amplitude by this one.
  put("attn_factor", s.amplitude / (1 + 0.1 * std::log(std::max(1.0, s.factor))));
}

}  // namespace

void write_gguf_config(const GgufArchitecture& architecture, const ModelConfig& c,
                       const ModelCard& card, std::string_view where, GgufMetadata& metadata) {
  metadata.put("general.architecture", architecture.name);
  metadata.put("general.type", "model");
  metadata.put(kCard, dump_json(card_json(c, card)));
  const std::string prefix = std::string(architecture.name) + ".";
  const auto put = [&](const char* key, auto value) { metadata.put(prefix + key, value); };
  const auto count = [&](const char* key, int value) { put(key, static_cast<uint32_t>(value)); };
  count("context_length", c.max_positions);
  if (c.window > 0) {
    count(kWindowKey, c.window);
    std::vector<bool> slides;
    slides.reserve(static_cast<size_t>(c.layers));
    for (int layer = 0; layer < c.layers; ++layer) slides.push_back(layer >= c.window_from);
    put(kWindowLayersKey, slides);
  }
  count("embedding_length", c.dim);
  count("block_count", c.layers);
  count("feed_forward_length", c.ffn);
  count("attention.head_count", c.heads);
  count("attention.head_count_kv", c.kv_heads);
  count("vocab_size", c.vocab_size);
  put(c.layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
      c.norm_eps);
  if (c.head_dim * c.heads != c.dim || c.head_norms) {
    count("attention.key_length", c.head_dim);
    count("attention.value_length", c.head_dim);
  }
  if (c.positions == PositionKind::kRotary) {
    count("rope.dimension_count", c.rotary_dims());
    put("rope.freq_base", static_cast<float>(c.rope_theta));
    write_scaling(c, prefix, where, metadata);
  }
  if (architecture.name == "gptneox") put("use_parallel_residual", c.parallel);
  // Where a reader would take the other form of gelu for granted.
  const bool usual = (c.activation == Activation::kGelu) == (architecture.name == "gptneox");
  if (!c.gated_mlp && !usual) {
    put("hidden_activation", c.activation == Activation::kGelu ? "gelu" : "gelu_pytorch_tanh");
  }
}

std::vector<float> factors_of_scaling(const ModelConfig& config) {
  ModelConfig plain = config;
  plain.rope_scaling = {};
  const std::vector<double> unscaled = rope_frequencies(plain), scaled = rope_frequencies(config);
  std::vector<float> factors;
  factors.reserve(unscaled.size());
  for (size_t i = 0; i < unscaled.size(); ++i)
    factors.push_back(static_cast<float>(unscaled[i] / scaled[i]));
  return factors;
}

namespace {

// Where the bands lie, in turns over the original length: pairs that turn less than `low` times
// are slowed by the whole factor, those that turn more than `high` times not at all.
struct Bands {
  double low, high;
};

// `turns` falls; kept[i] is 1 where a pair is as it was, 0 where the whole factor slows it. Between
// the bands it is linear in the turns, so two pairs there tell them, and fewer only bound them.
Bands bands_of(const std::vector<double>& turns, const std::vector<double>& kept) {
  constexpr double kEdge = 1e-4;
  size_t first = 0;  // the first pair that is slowed at all
  while (first < kept.size() && kept[first] > 1 - kEdge) ++first;
  size_t last = first;  // the first that is slowed by the whole factor
  while (last < kept.size() && kept[last] > kEdge) ++last;
  const double above = first > 0 ? turns[first - 1] : 2 * turns.front(),
               below = last < turns.size() ? turns[last] : 0.5 * turns.back();
  if (first == last) return {below + (above - below) / 3, above - (above - below) / 3};
  double width = 0;
  if (last - first >= 2) {
    width = (turns[first] - turns[last - 1]) / (kept[first] - kept[last - 1]);
  } else {
    width =
        std::min((above - turns[first]) / (1 - kept[first]), (turns[first] - below) / kept[first]);
  }
  const double low = turns[first] - kept[first] * width;
  return {low, low + width};
}

}  // namespace

RopeScaling scaling_from_factors(const ModelConfig& config, const std::vector<float>& factors,
                                 std::string_view where) {
  const double largest = factors.empty() ? 1 : *std::max_element(factors.begin(), factors.end());
  if (largest == 1 &&
      std::count(factors.begin(), factors.end(), 1.0F) == static_cast<int64_t>(factors.size()))
    return config.rope_scaling;
  ModelConfig scaled = config;
  scaled.rope_scaling = {};
  const std::vector<double> frequencies = rope_frequencies(scaled);
  RopeScaling& s = scaled.rope_scaling;
  s.kind = RopeScaling::Kind::kLlama3;
  s.factor = largest;
  s.original_positions = 8192;
  std::vector<double> turns, kept;
  turns.reserve(factors.size());
  kept.reserve(factors.size());
  for (size_t i = 0; i < factors.size(); ++i) {
    turns.push_back(s.original_positions * frequencies[i] / (2 * std::numbers::pi));
    kept.push_back((1 / double{factors[i]} - 1 / largest) / (1 - 1 / largest));
  }
  // Only the product of the length and the bands counts: LLaMA 3's own low band if it can be.
  const Bands bands = bands_of(turns, kept);
  const double length = std::round(s.original_positions / bands.low);
  const double scale = length > 1 && length < 1 << 24 ? length / s.original_positions : 1;
  s.original_positions = static_cast<int>(s.original_positions * scale);
  const auto neat = [](double value) {
    return std::abs(value - std::round(value)) < 1e-3 ? std::round(value) : value;
  };
  s.low_frequency = neat(bands.low * scale);
  s.high_frequency = neat(bands.high * scale);
  bool same = config.rope_scaling.kind == RopeScaling::Kind::kNone && s.low_frequency > 0 &&
              s.high_frequency > s.low_frequency && largest > 1 && std::isfinite(largest);
  if (same) {
    const std::vector<float> again = factors_of_scaling(scaled);
    for (size_t i = 0; i < factors.size(); ++i)
      same = same && std::abs(again[i] - factors[i]) < 1e-3F * factors[i];
  }
  if (!same) {
    fail(ErrorCode::kUnsupported, "[{}] tensor {} scales positions; supported: LLaMA 3's bands",
         where, kRopeFactors);
  }
  return s;
}

}  // namespace alambic
