#include "alambic/train/checkpoint.h"

#include <fmt/format.h>

#include <cstdlib>

#include "alambic/formats/safetensors.h"
#include "alambic/train/fingerprint.h"

namespace alambic {
namespace {

std::span<const std::byte> bytes_of(const Tensor& t) {
  return {t.raw(), static_cast<size_t>(t.size()) * sizeof(float)};
}

void read_tensor(const SafetensorsFile& file, const std::string& path, const std::string& name,
                 Tensor& into) {
  const TensorEntry* entry = file.find(name);
  if (entry == nullptr || into.shape() != entry->shape || entry->dtype != DType::kF32) {
    fail(ErrorCode::kCorruptData,
         "[{}] tensor {} is missing or has another shape: this checkpoint belongs to another model",
         path, name);
  }
  to_floats(*entry, into.values());
}

int64_t integer(const SafetensorsFile& file, const std::string& path, const char* key) {
  const auto it = file.metadata().find(key);
  try {
    if (it != file.metadata().end()) return std::stoll(it->second);
  } catch (const std::exception&) {
  }
  fail(ErrorCode::kCorruptData, "[{}] metadata \"{}\" is missing or not a number", path, key);
}

double real(const SafetensorsFile& file, const std::string& path, const char* key) {
  const auto it = file.metadata().find(key);
  char* end = nullptr;
  const double value = it == file.metadata().end() ? 0 : std::strtod(it->second.c_str(), &end);
  if (end != nullptr && *end == '\0' && !it->second.empty()) return value;
  fail(ErrorCode::kCorruptData, "[{}] metadata \"{}\" is missing or not a number", path, key);
}

void check_fingerprint(const SafetensorsFile& file, const std::string& path,
                       const std::string& fingerprint) {
  const auto it = file.metadata().find("fingerprint");
  if (it == file.metadata().end()) {
    fail(ErrorCode::kCorruptData, "[{}] metadata \"fingerprint\" is missing", path);
  }
  const std::string difference = first_setting_difference(it->second, fingerprint);
  if (difference.empty()) return;
  fail(ErrorCode::kInvalidArgument,
       "[{}] was written under another recipe: {}; go on with what it was, or start anew in "
       "another directory",
       path, difference);
}

}  // namespace

void save_checkpoint(const std::string& path, AdamWOptimizer& optimizer,
                     const TrainPosition& position) {
  std::vector<TensorEntry> entries;
  for (const auto& slot : optimizer.slots()) {
    const Parameter& p = *slot.parameter;
    entries.push_back(
        {"weight." + p.name, DType::kF32, p.value.shape().vector(), bytes_of(p.value)});
    entries.push_back({"m." + p.name, DType::kF32, p.value.shape().vector(), bytes_of(slot.m)});
    entries.push_back({"v." + p.name, DType::kF32, p.value.shape().vector(), bytes_of(slot.v)});
  }
  write_safetensors(
      path, entries,
      {{"format", "alambic-checkpoint"},
       {"step", std::to_string(position.step)},
       {"optimizer_steps", std::to_string(optimizer.steps_taken())},
       {"tokens", std::to_string(position.tokens)},
       {"learned_tokens", std::to_string(position.learned)},
       {"epoch", std::to_string(position.epoch)},
       {"document", std::to_string(position.document)},
       {"best_step", std::to_string(position.best_step)},
       {"best_score", fmt::format("{:a}", position.best_score)},
       {"milliseconds", std::to_string(static_cast<int64_t>(position.seconds * 1000))},
       {"fingerprint", position.fingerprint}});
}

void save_weights(const std::string& path, AdamWOptimizer& optimizer) {
  std::vector<TensorEntry> entries;
  for (const auto& slot : optimizer.slots()) {
    const Parameter& p = *slot.parameter;
    entries.push_back(
        {"weight." + p.name, DType::kF32, p.value.shape().vector(), bytes_of(p.value)});
  }
  write_safetensors(path, entries, {{"format", "alambic-best-weights"}});
}

void load_weights(const std::string& path, AdamWOptimizer& optimizer) {
  const SafetensorsFile file(path);
  for (auto& slot : optimizer.slots())
    read_tensor(file, path, "weight." + slot.parameter->name, slot.parameter->value);
}

void check_checkpoint(const std::string& path, const std::string& fingerprint) {
  check_fingerprint(SafetensorsFile(path), path, fingerprint);
}

TrainPosition load_checkpoint(const std::string& path, AdamWOptimizer& optimizer,
                              const std::string& fingerprint) {
  const SafetensorsFile file(path);
  check_fingerprint(file, path, fingerprint);
  for (auto& slot : optimizer.slots()) {
    read_tensor(file, path, "weight." + slot.parameter->name, slot.parameter->value);
    read_tensor(file, path, "m." + slot.parameter->name, slot.m);
    read_tensor(file, path, "v." + slot.parameter->name, slot.v);
  }
  optimizer.set_steps_taken(integer(file, path, "optimizer_steps"));
  TrainPosition position;
  position.step = integer(file, path, "step");
  position.tokens = integer(file, path, "tokens");
  position.learned = integer(file, path, "learned_tokens");
  position.epoch = integer(file, path, "epoch");
  position.document = integer(file, path, "document");
  position.best_step = integer(file, path, "best_step");
  position.best_score = real(file, path, "best_score");
  position.seconds = static_cast<double>(integer(file, path, "milliseconds")) / 1000;
  position.fingerprint = fingerprint;
  return position;
}

}  // namespace alambic
