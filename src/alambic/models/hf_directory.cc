#include "alambic/models/hf_directory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "alambic/base/file.h"
#include "alambic/formats/safetensors_set.h"
#include "alambic/models/adapters.h"
#include "alambic/models/family.h"
#include "alambic/models/quantized_tensors.h"
#include "alambic/tensor/product.h"
#include "alambic/tensor/storage.h"

namespace alambic {
namespace {

constexpr size_t kPanelAlignment = 64;  // a step of a panel is a cache line then

std::string in(const std::string& directory, const char* file) { return directory + "/" + file; }

Json card_json(const ModelConfig& config, const ModelCard& card) {
  Json json = {{"prompt_template", card.prompt_template},
               {"task", card.task},
               {"labels", card.labels},
               {"block", card.block},
               {"provenance", card.provenance}};
  if (config.mask >= 0) json["mask_token_id"] = config.mask;
  return json;
}

ModelCard read_card(const Json& config, std::string_view where, ModelConfig& sizes) {
  ModelCard card;
  if (!config.contains("alambic")) return card;
  const auto require_object = [where](const Json& value, const char* key) {
    if (!value.is_object()) {
      fail(ErrorCode::kCorruptData, "[{}] key \"{}\" has the wrong type; got {}, want object",
           where, key, value.type_name());
    }
  };
  const Json& json = config.at("alambic");
  require_object(json, "alambic");
  card.prompt_template =
      optional<std::string>(json, "prompt_template", card.prompt_template, where);
  card.task = optional<std::string>(json, "task", "", where);
  card.labels = optional<std::vector<std::string>>(json, "labels", {}, where);
  card.block = optional<int>(json, "block", 0, where);
  if (card.block < 0 || card.block > 4096) {
    fail(ErrorCode::kCorruptData, "[{}] alambic.block = {}; want 0 to 4096", where, card.block);
  }
  card.provenance = json.value("provenance", Json::object());
  require_object(card.provenance, "provenance");
  sizes.mask = optional<int>(json, "mask_token_id", -1, where);
  return card;
}

std::string shape_text(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void check_memory(const ModelConfig& config, int64_t bytes_per_weight,
                  const std::string& directory) {
  const auto have = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  const int64_t want = config.parameters() * bytes_per_weight;
  if (want > have) {
    fail(ErrorCode::kResourceExhausted,
         "[{}] the weights need {} MiB of memory; this machine has {} MiB", directory, want >> 20,
         have >> 20);
  }
}

// A file with far fewer weights than config.json promises is refused before memory is asked for.
// Where only a tensor or two are missing, the loader names them instead.
void check_promise(const SafetensorsSet& files, const ModelConfig& config) {
  const int64_t stored = files.elements();
  if (stored < config.parameters() / 2) {
    fail(ErrorCode::kCorruptData, "[{}] holds {} weights; config.json wants {}", files.path(),
         stored, config.parameters());
  }
}

[[noreturn]] void fail_shape(const std::string& path, const std::string& name,
                             std::span<const int64_t> got, std::span<const int64_t> want) {
  fail(ErrorCode::kCorruptData, "[{}] tensor {}: got {}, want {}", path, name, shape_text(got),
       shape_text(want));
}

// A tensor in floating point, in the shape wanted.
const TensorEntry& float_entry(const SafetensorsFile& file, const std::string& name,
                               const Shape& shape, const std::string& path) {
  const TensorEntry* entry = file.find(name);
  if (entry == nullptr) fail(ErrorCode::kCorruptData, "[{}] tensor {} is missing", path, name);
  if (shape != entry->shape) fail_shape(path, name, entry->shape, shape);
  return *entry;
}

// Shapes are checked before each allocation, so a lying config.json cannot ask for much.
LoadedModel load_quantized(const std::string& directory, const ModelConfig& config,
                           WeightFormat format, Quantized as) {
  const std::string path = in(directory, "model.safetensors");
  check_memory(config, as == Quantized::kAsFloats ? 4 : 1, directory);
  const auto file = std::make_shared<const SafetensorsFile>(path);
  const Family& family = family_named(config.family);
  LoadedModel loaded;
  loaded.model = std::make_unique<Transformer>(config, Transformer::Weights::kUnstored);
  const auto matrix = [&](const char* name, const Shape& shape) {
    return read_quantized(file, family.stored(name).single_name(), format, shape[0], shape[1],
                          path);
  };
  loaded.model->visit([&](Parameter& p) {
    const Shape shape = p.value.shape();
    if (shape.size() == 2 && !p.table) {
      const QuantizedMatrix quantized = matrix(p.name.c_str(), shape);
      if (as == Quantized::kAsFloats) {
        p.value = quantized.dequantized();
      } else {
        p.value.set_packed(std::make_shared<PackedMatrix>(quantized));
      }
      return;
    }
    const TensorEntry& entry = float_entry(*file, family.stored(p.name).single_name(), shape, path);
    if (p.name == "embedding" && as == Quantized::kMapped && entry.dtype == DType::kBf16) {
      p.value = lent_or_copied(file, entry);
    } else {
      p.value = Tensor::empty(shape);
      to_floats(entry, p.value.values());
    }
    if (p.name == "embedding" && config.tied_head) {
      const QuantizedMatrix head = matrix("head", shape);
      if (as == Quantized::kMapped) p.value.set_packed(std::make_shared<PackedMatrix>(head));
    }
  });
  for (const TensorEntry& entry : file->entries())
    loaded.file_bytes += static_cast<int64_t>(entry.bytes.size());
  return loaded;
}

std::string model_readme(const ModelConfig& config, const ModelCard& card) {
  std::string text = fmt::format(
      "---\nlibrary_name: transformers\ntags:\n- alambic\n- distillation\n---\n\n# A model "
      "distilled by alambic\n\n"
      "- parameters: {}\n- shape: {} layers, width {}, {}/{} heads, ffn {}, vocabulary {}\n- task: "
      "{}\n"
      "- prompt template: `{}`\n",
      config.parameters(), config.layers, config.dim, config.heads, config.kv_heads, config.ffn,
      config.vocab_size, card.task.empty() ? "text" : card.task, card.prompt_template);
  if (card.block > 0)
    text += fmt::format("- hybrid: drafts and diffuses blocks of up to {} tokens\n", card.block);
  for (const auto& [key, value] : card.provenance.items()) {
    text += fmt::format("- {}: {}\n", key,
                        value.is_string() ? value.get<std::string>() : dump_json(value));
  }
  return text;
}

}  // namespace

namespace {

constexpr const char* kAdapterCard = "alambic.json";

// Adapters may have a card of their own, for what they were trained to do.
void read_adapter_card(const std::string& directory, ModelConfig& config, ModelCard& card) {
  const std::string where = in(directory, kAdapterCard);
  if (file_exists(where)) card = read_card(read_json_file(where), where, config);
}

}  // namespace

ModelConfig read_model_config(const std::string& directory, ModelCard* card) {
  if (is_adapter_directory(directory)) {
    ModelCard read;
    ModelConfig config = read_model_config(adapter_base(directory), &read);
    const TokenId mask = config.mask;
    read_adapter_card(directory, config, read);
    config.mask = mask;  // a row of the base
    if (card != nullptr) *card = read;
    return config;
  }
  const std::string where = in(directory, "config.json");
  const Json json = read_json_file(where);
  ModelConfig config = family_of(json, where).read_config(json, where);
  const ModelCard read = read_card(json, where, config);
  validate(config, where, ErrorCode::kCorruptData);
  if (card != nullptr) *card = read;
  return config;
}

std::optional<WeightFormat> stored_format(const std::string& directory) {
  if (is_adapter_directory(directory)) return stored_format(adapter_base(directory));
  const std::string where = in(directory, "config.json");
  return read_quantization(read_json_file(where), where);
}

namespace {

// Reads parameters out of files, whatever a family did to them there.
class ParameterReader {
 public:
  ParameterReader(const SafetensorsSet& files, const ModelConfig& config)
      : files_(files), family_(family_named(config.family)), config_(config) {}

  // The stored tensor of a parameter, its shape checked. Base models lack the outermost part of
  // every name, and a tied pair may be stored under either name.
  const TensorEntry& entry(std::string_view parameter, const Shape& own) const {
    const StoredTensor stored = family_.stored(parameter);
    const TensorEntry* found = find(stored.name);
    if (found == nullptr && config_.tied_head && parameter == "embedding")
      found = find(family_.stored("head").name);
    if (found == nullptr)
      fail(ErrorCode::kCorruptData, "[{}] tensor {} is missing", files_.path(), stored.name);
    const Shape want = stored.shape(own);
    if (want != found->shape) fail_shape(files_.path(), stored.name, found->shape, want);
    return *found;
  }

  Tensor floats(std::string_view parameter, const Shape& own) {
    const StoredTensor stored = family_.stored(parameter);
    const TensorEntry& from = entry(parameter, own);
    Tensor out = Tensor::empty(own);
    if (stored.parts == 1 && !stored.transposed) {
      to_floats(from, out.values());
      return out;
    }
    Fused& fused = fused_[from.name];
    if (fused.left == 0) {
      fused = {Tensor::empty(stored.shape(own)), stored.parts};
      to_floats(from, fused.whole.values());
    }
    take_part(stored, config_.head_dim, fused.whole.values(), out);
    if (--fused.left == 0) fused_.erase(from.name);
    return out;
  }

 private:
  const TensorEntry* find(const std::string& name) const {
    const TensorEntry* found = files_.find(name);
    return found != nullptr ? found : files_.find(name.substr(name.find('.') + 1));
  }

  const SafetensorsSet& files_;
  const Family& family_;
  const ModelConfig& config_;
  struct Fused {
    Tensor whole;
    int left = 0;  // parts that nobody has taken yet
  };
  std::map<std::string, Fused> fused_;
};

// Packs a parameter for inference at one precision.
void pack_parameter(Parameter& p, Tensor floats, const SafetensorsSet& files,
                    const TensorEntry& entry, bool multiplied, Precision precision) {
  if (p.table && entry.dtype == DType::kBf16) {  // looked up as it is
    p.value = Tensor::empty(floats.shape(), DType::kBf16);
    std::memcpy(p.value.raw(), entry.bytes.data(), entry.bytes.size());
  } else if (p.table) {
    p.value = floats;
  }
  files.forget(entry);
  if (!multiplied) return;
  p.value.set_packed(std::make_shared<PackedMatrix>(view_transposed(floats),
                                                    static_cast<int>(floats.cols()),
                                                    static_cast<int>(floats.rows()), precision));
  if (p.table) {  // the largest by far, and of a size of its own
    floats = Tensor();
    release_cached_memory();
  }
}

LoadedModel load_floats(const std::string& directory, const ModelConfig& config,
                        std::optional<Precision> packed) {
  check_memory(config, packed == Precision::kBf16 ? 2 : 4, directory);
  const SafetensorsSet files(directory);
  ParameterReader reader(files, config);
  // A wrong shape must be an error before it is an allocation.
  reader.entry("embedding", {config.vocab_size, config.dim});
  check_promise(files, config);
  LoadedModel loaded;
  loaded.model = std::make_unique<Transformer>(config, Transformer::Weights::kUnstored);
  loaded.model->visit([&](Parameter& p) {
    const Shape shape = p.value.shape();
    const TensorEntry& entry = reader.entry(p.name, shape);
    Tensor floats = reader.floats(p.name, shape);
    if (packed && shape.size() == 2) {
      const bool multiplied = !p.table || (p.name == "embedding" && config.tied_head);
      pack_parameter(p, std::move(floats), files, entry, multiplied, *packed);
    } else {
      p.value = std::move(floats);
      files.forget(entry);
    }
  });
  loaded.file_bytes = files.bytes();
  return loaded;
}

}  // namespace

LoadedModel load_model(const std::string& directory, Quantized quantized) {
  if (is_adapter_directory(directory)) {
    const bool merged = quantized == Quantized::kAsFloats;
    LoadedModel loaded = load_model(adapter_base(directory), quantized);
    load_adapters(*loaded.model, directory);
    if (merged) merge_adapters(*loaded.model);
    read_model_config(directory, &loaded.card);
    return loaded;
  }
  ModelCard card;
  const ModelConfig config = read_model_config(directory, &card);
  const auto format = stored_format(directory);
  LoadedModel loaded = format ? load_quantized(directory, config, *format, quantized)
                              : load_floats(directory, config, std::nullopt);
  loaded.card = std::move(card);
  return loaded;
}

LoadedModel load_for_inference(const std::string& directory, Precision precision) {
  if (is_adapter_directory(directory)) {
    LoadedModel loaded = load_for_inference(adapter_base(directory), precision);
    load_adapters(*loaded.model, directory);
    read_model_config(directory, &loaded.card);
    return loaded;
  }
  if (stored_format(directory)) return load_model(directory, Quantized::kMapped);
  ModelCard card;
  const ModelConfig config = read_model_config(directory, &card);
  LoadedModel loaded = load_floats(directory, config, precision);
  loaded.card = std::move(card);
  return loaded;
}

namespace {

// Everything but the weights and the tokenizer.
void write_description(const ModelConfig& config, const ModelCard& card,
                       const std::string& directory, DType dtype, const Json& quantization) {
  make_directories(directory);
  Json json = family_named(config.family).write_config(config);
  json["torch_dtype"] = dtype == DType::kF32   ? "float32"
                        : dtype == DType::kF16 ? "float16"
                                               : "bfloat16";
  if (!quantization.is_null()) json["quantization_config"] = quantization;
  json["alambic"] = card_json(config, card);
  write_file_atomic(in(directory, "config.json"), dump_json(json, 2) + "\n");
  Json generation = Json::object();
  if (config.bos >= 0) generation["bos_token_id"] = config.bos;
  if (config.eos >= 0) generation["eos_token_id"] = config.eos;
  write_file_atomic(in(directory, "generation_config.json"), dump_json(generation, 2) + "\n");
  std::string readme = model_readme(config, card);
  if (!quantization.is_null()) {
    readme += fmt::format(
        "- weights: {} in groups of {}, {}\n", quantization.at("weights").get<std::string>(),
        quantization.at("group_size").get<int>(),
        quantization.at("calibrated").get<bool>() ? "calibrated on text" : "rounded plainly");
  }
  write_file_atomic(in(directory, "README.md"), readme);
}

}  // namespace

void save_model(LanguageModel& model, const ModelCard& card, const std::string& directory,
                DType dtype) {
  const Family& family = family_named(model.config().family);
  model.visit([&](Parameter& p) {
    if (is_quantized(p)) {
      fail(ErrorCode::kUnsupported, "[{}] {} is quantised; it cannot be written as {}", directory,
           p.name, dtype_name(dtype));
    }
  });
  write_description(model.config(), card, directory, dtype, nullptr);
  std::vector<std::vector<std::byte>> bytes;
  std::vector<TensorEntry> entries;
  std::map<std::string, Tensor> fused;
  model.visit([&](Parameter& p) {
    const StoredTensor stored = family.stored(p.name);
    Tensor whole = p.value;
    if (stored.parts > 1 || stored.transposed) {
      Tensor& parts = fused[stored.name];
      if (stored.part == 0) parts = Tensor::empty(stored.shape(p.value.shape()));
      put_part(stored, model.config().head_dim, p.value, parts.values());
      if (stored.part + 1 < stored.parts) return;  // parts come in order
      whole = parts;
      fused.erase(stored.name);
    }
    bytes.push_back(pack_floats(whole.values(), dtype));
    entries.push_back({stored.name, dtype, whole.shape().vector(), {}});
  });
  for (size_t i = 0; i < entries.size(); ++i) entries[i].bytes = bytes[i];
  write_safetensors(in(directory, "model.safetensors"), entries);
}

void save_adapter_model(Transformer& model, const ModelCard& card, const std::string& base,
                        const std::string& directory) {
  make_directories(directory);
  const Json json = {{"alambic", card_json(model.config(), card)}};
  write_file_atomic(in(directory, kAdapterCard), dump_json(json, 2) + "\n");
  save_adapters(model, base, directory);
}

void save_quantized_model(LanguageModel& model, const QuantizedWeights& weights, bool calibrated,
                          const ModelCard& card, const std::string& directory) {
  const Family& family = family_named(model.config().family);
  const WeightFormat format = weights.at("head").format();
  write_description(model.config(), card, directory, DType::kBf16,
                    quantization_json(format, calibrated));
  // Values first, then scales, then what is left: all keep the alignment of the file's data.
  std::vector<TensorEntry> entries;
  for (const auto& [name, matrix] : weights) {
    for (TensorEntry& entry : quantized_entries(family.stored(name).single_name(), matrix))
      entries.push_back(std::move(entry));
  }
  const auto rank = [](const TensorEntry& e) {
    return e.dtype == DType::kBf16 ? 1 : e.shape.size() == 2 ? 0 : 2;
  };
  std::stable_sort(entries.begin(), entries.end(),
                   [&](const TensorEntry& a, const TensorEntry& b) { return rank(a) < rank(b); });
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::pair<std::string, Shape>> rest;
  model.visit([&](Parameter& p) {
    if (!p.table && weights.contains(p.name)) return;
    bytes.push_back(pack_floats(p.value.values(), DType::kBf16));
    rest.emplace_back(family.stored(p.name).single_name(), p.value.shape());
  });
  for (size_t i = 0; i < rest.size(); ++i)
    entries.push_back({rest[i].first, DType::kBf16, rest[i].second.vector(), bytes[i]});
  write_safetensors(in(directory, "model.safetensors"), entries, {{"format", "pt"}},
                    kPanelAlignment);
}

std::string apply_template(const ModelCard& card, std::string_view prompt) {
  constexpr std::string_view kSlot = "{prompt}";
  std::string text = card.prompt_template;
  const size_t at = text.find(kSlot);
  return at == std::string::npos ? text + std::string(prompt)
                                 : text.replace(at, kSlot.size(), prompt);
}

}  // namespace alambic
