#include "alambic/models/hf_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "alambic/base/file.h"
#include "alambic/models/adapters.h"
#include "alambic/models/config_keys.h"
#include "alambic/models/family.h"
#include "alambic/models/gguf_config.h"
#include "alambic/models/gguf_model.h"
#include "alambic/models/quantized_tensors.h"
#include "alambic/models/safetensors_model.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr size_t kPanelAlignment = 64;  // a step of a panel is a cache line then

std::string in(const std::string& directory, const char* file) { return directory + "/" + file; }

// A tensor in floating point, in the shape wanted.
const TensorEntry& float_entry(const SafetensorsFile& file, const std::string& name,
                               const Shape& shape, const std::string& path) {
  const TensorEntry* entry = file.find(name);
  if (entry == nullptr) fail_missing(path, name);
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

constexpr const char* kAdapterCard = "alambic.json";
constexpr const char* kGeneration = "generation_config.json";

// Adapters may have a card of their own, for what they were trained to do.
void read_adapter_card(const std::string& directory, ModelConfig& config, ModelCard& card) {
  const std::string where = in(directory, kAdapterCard);
  if (!file_exists(where)) return;
  const Json json = read_json_file(where);
  if (json.contains("alambic")) card = read_card(json.at("alambic"), where, config);
}

}  // namespace

ModelConfig read_model_config(const std::string& directory, ModelCard* card) {
  if (is_adapter_directory(directory)) {
    ModelCard read;
    ModelConfig config = read_model_config(adapter_base(directory), &read);
    const TokenId mask = config.mask;
    read_adapter_card(directory, config, read);
    config.mask = mask;  // a row of the base
    read.ends = config.eos;
    if (card != nullptr) *card = read;
    return config;
  }
  if (is_gguf(directory)) return read_gguf_config(GgufFile(directory), directory, card);
  const std::string where = in(directory, "config.json");
  const Json json = read_json_file(where);
  ModelConfig config = family_of(json, where).read_config(json, where);
  ModelCard read =
      json.contains("alambic") ? read_card(json.at("alambic"), where, config) : ModelCard();
  validate(config, where, ErrorCode::kCorruptData);
  // Where a model was taught to talk later, config.json may still name its base's end alone.
  if (const std::string generation = in(directory, kGeneration); file_exists(generation)) {
    add_end_tokens(read_json_file(generation), generation, config);
    validate(config, generation, ErrorCode::kCorruptData);
  }
  if (holds_weights(directory)) {
    settle_with_weights(SafetensorsSet(directory), config);
  }
  read.ends = config.eos;
  if (card != nullptr) *card = read;
  return config;
}

std::optional<WeightFormat> stored_format(const std::string& directory) {
  if (is_adapter_directory(directory)) return stored_format(adapter_base(directory));
  if (is_gguf(directory)) return std::nullopt;
  const std::string where = in(directory, "config.json");
  return read_quantization(read_json_file(where), where);
}

namespace {

LoadedModel load_floats(const std::string& directory, const ModelConfig& config,
                        std::optional<Precision> packed) {
  check_memory(config, packed == Precision::kBf16 ? 2 : 4, directory);
  SafetensorsReader reader(directory, config);
  return load_weights(reader, packed);
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
  if (is_gguf(directory)) return load_gguf(directory, std::nullopt);
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
  if (is_gguf(directory)) return load_gguf(directory, precision);
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
  if (!card.chat_template.empty())
    write_file_atomic(in(directory, "chat_template.jinja"), card.chat_template);
  if (!card.tool_use_template.empty()) {
    make_directories(in(directory, "additional_chat_templates"));
    write_file_atomic(in(directory, "additional_chat_templates/tool_use.jinja"),
                      card.tool_use_template);
  }
  Json generation = Json::object();
  write_ids(config, generation);
  write_file_atomic(in(directory, kGeneration), dump_json(generation, 2) + "\n");
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

void save_card(const ModelCard& card, const std::string& directory) {
  const std::string adapters = in(directory, kAdapterCard);
  const std::string path = file_exists(adapters) ? adapters : in(directory, "config.json");
  Json json = parse_json(read_file(path), path);
  json["alambic"] = card_json(read_model_config(directory), card);
  write_file_atomic(path, dump_json(json, 2) + "\n");
}

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

}  // namespace alambic
