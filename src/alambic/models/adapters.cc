#include "alambic/models/adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "alambic/base/file.h"
#include "alambic/base/rng.h"
#include "alambic/formats/safetensors.h"
#include "alambic/models/family.h"
#include "alambic/models/gguf_model.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int kMostRank = 4096;
constexpr const char* kConfigFile = "/adapter_config.json";
constexpr const char* kWeightsFile = "/adapter_model.safetensors";

std::string_view part_of(const Linear& linear) {
  const std::string_view name = linear.weight.name;
  return name.substr(name.rfind('.') + 1);
}

// "transformer.h.3.attn.c_attn.weight" -> "transformer.h.3.attn.c_attn"
std::string module_of(const StoredTensor& stored) {
  return stored.name.substr(0, stored.name.rfind('.'));
}
// What PEFT compares the ends of module names with: "attn.c_attn".
std::string suffix_of(const std::string& module) {
  const size_t digit = module.find_first_of("0123456789");
  const size_t dot = digit == std::string::npos ? std::string::npos : module.find('.', digit);
  return dot == std::string::npos ? module : module.substr(dot + 1);
}

std::string factor_name(const std::string& module, const char* factor) {
  return fmt::format("base_model.model.{}.lora_{}.weight", module, factor);
}

void give_adapter(Linear& linear, Tensor a, Tensor b, float scale) {
  linear.low_a = {linear.weight.name + "_low_a", std::move(a), false};
  linear.low_b = {linear.weight.name + "_low_b", std::move(b), false};
  linear.low_a.adapter = linear.low_b.adapter = true;
  linear.low_scale = scale;
}

// One adapter of a file: of a matrix, or of several that are stored as one.
struct Module {
  std::vector<Linear*> linears;
  std::vector<StoredTensor> stored;
};

// By module name, in the order of the model, those with (or, for reading, without) adapters.
std::vector<std::pair<std::string, Module>> modules_of(Transformer& model, bool adapted) {
  const Family& family = family_named(model.config().family);
  std::vector<std::pair<std::string, Module>> modules;
  model.visit_linears([&](Linear& linear) {
    if (adapted && !linear.low_a.value.defined()) return;
    const StoredTensor stored = family.stored(linear.weight.name);
    const std::string name = module_of(stored);
    if (modules.empty() || modules.back().first != name) modules.emplace_back(name, Module{});
    modules.back().second.linears.push_back(&linear);
    modules.back().second.stored.push_back(stored);
  });
  return modules;
}

StoredTensor untransposed(StoredTensor stored) {
  stored.transposed =
      false;  // PEFT's factors are [rank, in] and [out, rank] whatever the weight is
  return stored;
}

// The factors of a module as one adapter.
std::pair<Tensor, Tensor> joined(const Module& module, int head_dim) {
  const Linear& first = *module.linears.front();
  if (module.stored.front().parts == 1) return {first.low_a.value, first.low_b.value};
  int64_t rank = 0;
  for (const Linear* linear : module.linears) rank += linear->low_a.value.rows();
  const int64_t in = first.low_a.value.cols(), out = first.weight.value.rows();
  Tensor a = Tensor::empty({rank, in});
  Tensor b = Tensor::zeros({out * module.stored.front().parts, rank});
  int64_t at = 0;
  for (size_t i = 0; i < module.linears.size(); ++i) {
    const Tensor &own_a = module.linears[i]->low_a.value, &own_b = module.linears[i]->low_b.value;
    std::copy_n(own_a.data(), own_a.size(), a.row(at));
    Tensor wide = Tensor::zeros({own_b.rows(), rank});
    for (int64_t r = 0; r < own_b.rows(); ++r)
      std::copy_n(own_b.row(r), own_b.cols(), wide.row(r) + at);
    put_part(untransposed(module.stored[i]), head_dim, wide, b.values());
    at += own_a.rows();
  }
  return {a, b};
}

// A pattern of adapter_config.json for a module, by the end of its name; else the common value.
double setting_of(const Json& config, const char* pattern, const char* common,
                  const std::string& module, const std::string& where) {
  if (const auto it = config.find(pattern); it != config.end() && it->is_object()) {
    for (const auto& [key, value] : it->items()) {
      if ((module == key || module.ends_with("." + key)) && value.is_number())
        return value.get<double>();
    }
  }
  return require<double>(config, common, where);
}

void refuse_what_is_not_ours(const Json& config, const std::string& where) {
  const auto type = optional<std::string>(config, "peft_type", "LORA", where);
  if (type != "LORA")
    fail(ErrorCode::kUnsupported, "[{}] peft_type \"{}\"; supported: LORA", where, type);
  if (optional<bool>(config, "use_dora", false, where))
    fail(ErrorCode::kUnsupported, "[{}] use_dora; supported: plain LoRA", where);
  const auto bias = optional<std::string>(config, "bias", "none", where);
  if (bias != "none")
    fail(ErrorCode::kUnsupported, "[{}] bias \"{}\"; supported: none", where, bias);
  const auto saved = config.find("modules_to_save");
  if (saved != config.end() && !saved->is_null() && !saved->empty())
    fail(ErrorCode::kUnsupported, "[{}] modules_to_save; supported: adapters alone", where);
}

// A factor of the file, its shape checked where it is known (-1: not).
Tensor read_factor(const SafetensorsFile& file, const std::string& path, const std::string& name,
                   int64_t rows, int64_t cols) {
  const TensorEntry* entry = file.find(name);
  if (entry == nullptr) fail(ErrorCode::kCorruptData, "[{}] tensor {} is missing", path, name);
  const bool fits = entry->shape.size() == 2 && (rows < 0 || entry->shape[0] == rows) &&
                    (cols < 0 || entry->shape[1] == cols) && entry->shape[0] > 0 &&
                    entry->shape[1] > 0;
  if (!fits) {
    fail(ErrorCode::kCorruptData, "[{}] tensor {}: got [{}], want [{}, {}]", path, name,
         fmt::join(entry->shape, ", "), rows < 0 ? "rank" : std::to_string(rows),
         cols < 0 ? "rank" : std::to_string(cols));
  }
  Tensor factor = Tensor::empty(Shape(entry->shape));
  to_floats(*entry, factor.values());
  return factor;
}

}  // namespace

void add_adapters(Transformer& model, const AdapterOptions& options) {
  if (options.rank < 1 || options.rank > std::min(kMostRank, model.config().dim)) {
    fail(ErrorCode::kInvalidArgument, "[lora] rank = {}; want 1 to {}", options.rank,
         std::min(kMostRank, model.config().dim));
  }
  std::set<std::string> wanted(options.parts.begin(), options.parts.end());
  const std::set<std::string> known = {"query", "key", "value", "output", "gate", "up", "down"};
  for (const std::string& part : wanted) {
    if (!known.contains(part)) {
      fail(ErrorCode::kInvalidArgument, "[lora] part \"{}\"; want some of {}", part,
           fmt::join(known, ", "));
    }
  }
  uint64_t stream = 0;
  const auto scale = static_cast<float>(options.alpha / options.rank);
  model.visit_linears([&](Linear& linear) {
    if (!wanted.contains(std::string(part_of(linear)))) return;
    const int64_t out = linear.weight.value.rows(), in = linear.weight.value.cols();
    Rng rng(options.seed, ++stream);
    Tensor a = Tensor::empty({options.rank, in});
    const double width = 1 / std::sqrt(static_cast<double>(in));  // uniform, as PEFT draws it
    for (float& w : a.values()) w = static_cast<float>(width * (2 * rng.uniform() - 1));
    give_adapter(linear, std::move(a), Tensor::zeros({out, options.rank}), scale);
  });
}

bool has_adapters(Transformer& model) {
  bool any = false;
  model.visit([&](const Parameter& p) { any = any || p.adapter; });
  return any;
}

void merge_adapters(Transformer& model) {
  model.visit_linears([](Linear& linear) {
    if (!linear.low_a.value.defined()) return;
    ALAMBIC_CHECK(linear.weight.value.raw() != nullptr);
    Tensor b = linear.low_b.value.clone();
    kernels::kernels().scale(linear.low_scale, b.size(), b.data());
    Tensor& w = linear.weight.value;
    product({static_cast<int>(w.rows()), static_cast<int>(w.cols()), static_cast<int>(b.cols()),
             Precision::kFp32, true},
            view(b), view(linear.low_a.value), w.data(), w.cols());
    w.set_packed(nullptr);
    linear.low_a = linear.low_b = {};
  });
}

void save_adapters(Transformer& model, const std::string& base, const std::string& directory) {
  make_directories(directory);
  std::vector<TensorEntry> entries;
  std::vector<std::pair<Tensor, Tensor>> factors;
  std::set<std::string> targets;
  Json ranks = Json::object(), alphas = Json::object();
  bool transposed = false;
  const auto modules = modules_of(model, true);
  ALAMBIC_CHECK(!modules.empty());
  const auto add = [&](const std::string& name, const Tensor& t) {
    entries.push_back({name,
                       DType::kF32,
                       t.shape().vector(),
                       {t.raw(), static_cast<size_t>(t.size()) * sizeof(float)}});
  };
  for (const auto& [name, module] : modules) {
    factors.push_back(joined(module, model.config().head_dim));
    const auto& [a, b] = factors.back();
    add(factor_name(name, "A"), a);
    add(factor_name(name, "B"), b);
    const std::string suffix = suffix_of(name);
    targets.insert(suffix);
    ranks[suffix] = a.rows();
    alphas[suffix] = double{module.linears.front()->low_scale} * static_cast<double>(a.rows());
    transposed = transposed || module.stored.front().transposed;
  }
  const Json config = {{"peft_type", "LORA"},
                       {"task_type", "CAUSAL_LM"},
                       {"base_model_name_or_path", base},
                       {"r", *ranks.begin()},
                       {"lora_alpha", *alphas.begin()},
                       {"rank_pattern", ranks},
                       {"alpha_pattern", alphas},
                       {"lora_dropout", 0.0},
                       {"bias", "none"},
                       {"fan_in_fan_out", transposed},
                       {"target_modules", targets},
                       {"use_rslora", false},
                       {"use_dora", false},
                       {"init_lora_weights", true},
                       {"inference_mode", true}};
  write_file_atomic(directory + kConfigFile, dump_json(config, 2) + "\n");
  write_safetensors(directory + kWeightsFile, entries);
}

void load_adapters(Transformer& model, const std::string& directory) {
  const std::string where = directory + kConfigFile, path = directory + kWeightsFile;
  const Json config = read_json_file(where);
  refuse_what_is_not_ours(config, where);
  const bool root = optional<bool>(config, "use_rslora", false, where);
  const SafetensorsFile file(path);
  size_t used = 0;
  for (auto& [name, module] : modules_of(model, false)) {
    if (file.find(factor_name(name, "A")) == nullptr) continue;
    const StoredTensor& form = module.stored.front();
    const Tensor& weight = module.linears.front()->weight.value;
    const Tensor a = read_factor(file, path, factor_name(name, "A"), -1, weight.cols());
    const Tensor b =
        read_factor(file, path, factor_name(name, "B"), weight.rows() * form.parts, a.rows());
    used += 2;
    const auto rank = static_cast<double>(a.rows());
    const double alpha = setting_of(config, "alpha_pattern", "lora_alpha", name, where);
    const auto scale = static_cast<float>(alpha / (root ? std::sqrt(rank) : rank));
    if (!std::isfinite(scale))
      fail(ErrorCode::kCorruptData, "[{}] lora_alpha = {}; want a number", where, alpha);
    for (size_t i = 0; i < module.linears.size(); ++i) {
      Tensor own = Tensor::empty({weight.rows(), a.rows()});
      take_part(untransposed(module.stored[i]), model.config().head_dim, b.values(), own);
      give_adapter(*module.linears[i], a.clone(), std::move(own), scale);
    }
  }
  if (used == file.entries().size() && used > 0) return;
  std::set<std::string> ours;
  for (const auto& [name, module] : modules_of(model, false)) {
    ours.insert(factor_name(name, "A"));
    ours.insert(factor_name(name, "B"));
  }
  for (const TensorEntry& entry : file.entries()) {
    if (!ours.contains(entry.name)) {
      fail(ErrorCode::kUnsupported,
           "[{}] tensor {} belongs to no matrix of a {} model; supported: adapters of its layers",
           path, entry.name, model.config().family);
    }
  }
  fail(ErrorCode::kCorruptData, "[{}] holds {} of the factors that it should", path, used);
}

bool is_adapter_directory(const std::string& directory) {
  return file_exists(directory + kConfigFile) && !file_exists(directory + "/config.json");
}

std::string adapter_base(const std::string& directory) {
  const std::string where = directory + kConfigFile;
  auto base = require<std::string>(read_json_file(where), "base_model_name_or_path", where);
  if (!file_exists(base + "/config.json") && !is_gguf(base)) {
    fail(ErrorCode::kNotFound,
         "[{}] base_model_name_or_path \"{}\" is no model here; put the base's path there", where,
         base);
  }
  return base;
}

}  // namespace alambic
