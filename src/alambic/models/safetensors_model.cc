#include "alambic/models/safetensors_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "alambic/base/error.h"
#include "alambic/models/quantized_tensors.h"

namespace alambic {
namespace {

std::string without_outermost(const std::string& name) { return name.substr(name.find('.') + 1); }

const TensorEntry* find(const SafetensorsSet& files, const std::string& name) {
  const TensorEntry* found = files.find(name);
  return found != nullptr ? found : files.find(without_outermost(name));
}

std::string module_of(const std::string& tensor) {
  return tensor.substr(0, std::min(tensor.rfind('.'), tensor.size()));
}

bool is_float(const TensorEntry& e) {
  return e.dtype == DType::kF32 || e.dtype == DType::kF16 || e.dtype == DType::kBf16;
}

// In pieces: tables are the largest tensors of a file.
bool same_numbers(const TensorEntry& a, const TensorEntry& b) {
  constexpr size_t kPiece = 1 << 16;
  if (a.shape != b.shape) return false;
  if (a.dtype == b.dtype) return std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin());
  if (!is_float(a) || !is_float(b)) return false;
  const auto count = static_cast<size_t>(element_count(a.shape));
  std::vector<float> left(kPiece), right(kPiece);
  const auto piece = [&](const TensorEntry& e, size_t at, std::span<float> out) {
    const size_t size = dtype_size(e.dtype);
    to_floats({e.name,
               e.dtype,
               {static_cast<int64_t>(out.size())},
               e.bytes.subspan(at * size, out.size() * size)},
              out);
  };
  for (size_t at = 0; at < count; at += kPiece) {
    const size_t size = std::min(kPiece, count - at);
    piece(a, at, {left.data(), size});
    piece(b, at, {right.data(), size});
    if (!std::equal(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(size), right.begin()))
      return false;
  }
  return true;
}

// Buffers that old checkpoints hold: masks, positions and frequencies, which follow from settings.
bool is_buffer(std::string_view name) {
  for (const std::string_view ending :
       {".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached", ".attn.bias",
        ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".position_ids"}) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

// Every name under which a file may have a parameter, and the modules they belong to.
struct Places {
  std::set<std::string> tensors, modules;
  std::string layers;  // what the names of all layers begin with

  void add(const StoredTensor& stored, bool matrix) {
    std::vector<std::string> names = {stored.name, stored.single_name()};
    if (matrix) {
      for (std::string& name : quantized_names(stored.single_name()))
        names.push_back(std::move(name));
    }
    for (const std::string& name : names) {
      for (const std::string& spelling : {name, without_outermost(name)}) {
        tensors.insert(spelling);
        modules.insert(module_of(spelling));
      }
    }
  }
  bool in_network(const std::string& name) const {
    return modules.contains(module_of(name)) || name.starts_with(layers) ||
           name.starts_with(without_outermost(layers));
  }
};

Places places_of(const ModelConfig& config) {
  const Family& family = family_named(config.family);
  Places places;
  const std::string first = family.stored("layers.0.query").name;
  places.layers = first.substr(0, first.find(".0.") + 1);
  Transformer(config, Transformer::Weights::kUnstored).visit([&](const Parameter& p) {
    places.add(family.stored(p.name), p.value.shape().size() == 2);
  });
  places.add(family.stored("head"), true);  // also where it is the embedding again
  return places;
}

constexpr size_t kLongestName = 120;  // in a line for people

// Names of tensors that no parameter lies under, sorted: in the network, and beside it.
struct Unplaced {
  std::vector<std::string> inside, outside;
};

Unplaced unplaced(const SafetensorsSet& files, const ModelConfig& config) {
  const Places places = places_of(config);
  Unplaced names;
  for (const TensorEntry* entry : files.entries()) {
    if (places.tensors.contains(entry->name) || is_buffer(entry->name)) continue;
    (places.in_network(entry->name) ? names.inside : names.outside).push_back(entry->name);
  }
  std::sort(names.inside.begin(), names.inside.end());
  std::sort(names.outside.begin(), names.outside.end());
  return names;
}

// The stored head where it is not the embedding once more.
const TensorEntry* head_apart(const SafetensorsSet& files, const ModelConfig& config) {
  const Family& family = family_named(config.family);
  const TensorEntry *head = find(files, family.stored("head").name),
                    *table = find(files, family.stored("embedding").name);
  const bool apart = head != nullptr && table != nullptr && !same_numbers(*head, *table);
  return apart ? head : nullptr;
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& directory, const ModelConfig& config)
    : WeightReader(config), files_(directory), family_(family_named(config.family)) {}

StoredTensor SafetensorsReader::locate(std::string_view parameter, const Shape& own) const {
  StoredTensor stored = family_.stored(parameter);
  const TensorEntry* found = find(files_, stored.name);
  if (found == nullptr && config().tied_head && parameter == "embedding")
    found = find(files_, family_.stored("head").name);
  if (found == nullptr && parameter == "head") {
    fail(ErrorCode::kCorruptData,
         "[{}] tensor {} is missing, and the settings do not say that the head is the embedding; "
         "if it is, set \"tie_word_embeddings\": true in config.json",
         path(), stored.name);
  }
  if (found == nullptr) fail_missing(path(), stored.name);
  const Shape want = stored.shape(own);
  if (want != found->shape) fail_shape(path(), stored.name, found->shape, want);
  stored.name = found->name;
  return stored;
}

std::span<const std::byte> SafetensorsReader::bf16(const StoredTensor& stored) const {
  const TensorEntry& entry = *files_.find(stored.name);
  return entry.dtype == DType::kBf16 ? entry.bytes : std::span<const std::byte>();
}

void SafetensorsReader::forget(const StoredTensor& stored) const {
  files_.forget(*files_.find(stored.name));
}

void SafetensorsReader::read(const StoredTensor& stored, std::span<float> whole) const {
  to_floats(*files_.find(stored.name), whole);
}

void settle_with_weights(const SafetensorsSet& files, ModelConfig& config) {
  if (config.tied_head && head_apart(files, config) != nullptr) config.tied_head = false;
  const std::vector<std::string> inside = unplaced(files, config).inside;
  if (inside.empty()) return;
  fail(ErrorCode::kUnsupported,
       "[{}] tensor {} has no place in the model that config.json describes ({} such in all); want "
       "settings that speak of every tensor",
       files.path(), dump_json(Json(inside.front().substr(0, kLongestName))), inside.size());
}

std::vector<std::string> notes_on_weights(const SafetensorsSet& files, bool said_tied,
                                          const ModelConfig& settled) {
  std::vector<std::string> notes;
  if (!files.note().empty()) notes.push_back(files.note());
  if (said_tied && !settled.tied_head) {
    notes.push_back(
        fmt::format("[{}] the stored head {} is not the embedding, though the settings tie them: "
                    "it is used, and the model is untied",
                    files.path(), family_named(settled.family).stored("head").name));
  }
  constexpr size_t kNamed = 3;
  const std::vector<std::string> outside = unplaced(files, settled).outside;
  if (outside.empty()) return notes;
  std::string names;
  for (size_t i = 0; i < std::min(kNamed, outside.size()); ++i)
    names += (i == 0 ? "" : ", ") + dump_json(Json(outside[i].substr(0, kLongestName)));
  notes.push_back(fmt::format("[{}] {} tensors that {} has no place for are not used: {}{}",
                              files.path(), outside.size(), settled.family, names,
                              outside.size() > kNamed ? " …" : ""));
  return notes;
}

}  // namespace alambic
