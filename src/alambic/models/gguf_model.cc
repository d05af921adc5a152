#include "alambic/models/gguf_model.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/formats/gguf_blocks.h"
#include "alambic/models/gguf_architecture.h"
#include "alambic/models/gguf_config.h"

namespace alambic {
namespace {

std::vector<int64_t> reversed(const std::vector<int64_t>& dims) {
  return {dims.rbegin(), dims.rend()};
}

class GgufReader final : public WeightReader {
 public:
  GgufReader(const GgufFile& file, const std::string& path, const ModelConfig& config)
      : WeightReader(config),
        file_(file),
        path_(path),
        architecture_(
            gguf_architecture(file.require<std::string_view>("general.architecture"), path)) {
    for (const GgufTensor& tensor : file.tensors()) {
      if (tensor.bytes.empty()) continue;  // of a type without size
      int64_t count = 1;
      for (const int64_t dim : tensor.dims) count *= dim;
      elements_ += count;
      bytes_ += static_cast<int64_t>(tensor.bytes.size());
    }
  }

  StoredTensor locate(std::string_view parameter, const Shape& own) const override {
    StoredTensor stored = stored_in_gguf(architecture_, parameter);
    const GgufTensor* tensor = file_.find_tensor(stored.name);
    if (tensor == nullptr) fail_missing(path_, stored.name);
    const Shape want = stored.shape(own);
    const std::vector<int64_t> got = reversed(tensor->dims);
    if (want != got) fail_shape(path_, stored.name, got, want);
    return stored;
  }
  Tensor floats(std::string_view parameter, const Shape& own) override {
    Tensor values = WeightReader::floats(parameter, own);
    if (has_rotary_rows(architecture_, parameter))
      reorder_rotary_rows(values, config().head_dim, RotaryRows::kHalves);
    return values;
  }
  std::span<const std::byte> bf16(const StoredTensor& stored) const override {
    const GgufTensor& tensor = *file_.find_tensor(stored.name);
    return tensor.type == GgmlType::kBf16 ? tensor.bytes : std::span<const std::byte>();
  }
  void forget(const StoredTensor& stored) const override {
    file_.forget(*file_.find_tensor(stored.name));
  }
  int64_t elements() const override { return elements_; }
  int64_t bytes() const override { return bytes_; }
  const std::string& path() const override { return path_; }

  // Every tensor is a parameter, or is known to add nothing to them.
  void check_places(Transformer& model) const {
    std::set<std::string> known;
    if (config().positions == PositionKind::kRotary) known.insert(kRopeFactors);
    if (config().tied_head) known.insert("output.weight");
    model.visit(
        [&](const Parameter& p) { known.insert(stored_in_gguf(architecture_, p.name).name); });
    for (const GgufTensor& tensor : file_.tensors()) {
      if (known.contains(tensor.name)) continue;
      fail(ErrorCode::kUnsupported, "[{}] tensor {}: the architecture {} has no place for it",
           path_, dump_json(Json(tensor.name.substr(0, 80))), architecture_.name);
    }
  }

 protected:
  void read(const StoredTensor& stored, std::span<float> whole) const override {
    const GgufTensor& tensor = *file_.find_tensor(stored.name);
    from_ggml(tensor.type, file_.bytes_of(tensor), whole);
  }

 private:
  const GgufFile& file_;
  const std::string& path_;
  const GgufArchitecture& architecture_;
  int64_t elements_ = 0, bytes_ = 0;
};

uint32_t file_type(GgmlType type) {  // general.file_type, whose numbers are their own
  switch (type) {
    case GgmlType::kF16:
      return 1;
    case GgmlType::kQ4_0:
      return 2;
    case GgmlType::kQ8_0:
      return 7;
    case GgmlType::kBf16:
      return 32;
    default:
      return 0;
  }
}

// Calls take(stored, values in the order of the file) for every tensor, a fused one when its last
// part is there.
template <class Take>
void for_each_stored(LanguageModel& model, const GgufArchitecture& architecture, const Take& take) {
  std::map<std::string, Tensor> fused;  // weights and biases, each until its last part
  model.visit([&](Parameter& p) {
    const StoredTensor stored = stored_in_gguf(architecture, p.name);
    if (stored.parts > 1) {
      Tensor& whole = fused[stored.name];
      if (stored.part == 0) whole = Tensor::empty(stored.shape(p.value.shape()));
      put_part(stored, model.config().head_dim, p.value, whole.values());
      if (stored.part + 1 < stored.parts) return;
      take(stored, whole);
      fused.erase(stored.name);
    } else if (has_rotary_rows(architecture, p.name)) {
      Tensor rows = p.value.clone();
      reorder_rotary_rows(rows, model.config().head_dim, RotaryRows::kNeighbours);
      take(stored, rows);
    } else {
      take(stored, p.value);
    }
  });
}

}  // namespace

bool is_gguf(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  const MappedFile file(path);
  constexpr std::string_view kMagic = "GGUF";
  return file.bytes().size() >= kMagic.size() &&
         std::equal(kMagic.begin(), kMagic.end(), file.bytes().begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

LoadedModel load_gguf(const std::string& path, std::optional<Precision> packed) {
  return load_gguf(GgufFile(path), path, packed);
}

LoadedModel load_gguf(const GgufFile& file, const std::string& path,
                      std::optional<Precision> packed) {
  ModelCard card;
  const ModelConfig config = read_gguf_config(file, path, &card);
  GgufReader reader(file, path, config);
  Transformer shapes(config, Transformer::Weights::kUnstored);
  reader.check_places(shapes);
  LoadedModel loaded = load_weights(reader, packed);
  loaded.card = std::move(card);
  return loaded;
}

GgmlType stored_type(GgmlType wanted, std::string_view tensor, const Shape& shape) {
  if (shape.size() == 1 || tensor == "position_embd.weight") return GgmlType::kF32;
  if (shape.back() % ggml_block(wanted).elements != 0) return GgmlType::kF16;
  const bool table = tensor == "token_embd.weight" || tensor == "output.weight";
  return wanted == GgmlType::kQ4_0 && table ? GgmlType::kQ8_0 : wanted;
}

void save_gguf(LanguageModel& model, const ModelCard& card, GgmlType type, GgufMetadata metadata,
               const std::string& path, const std::function<void(double)>& progress) {
  const ModelConfig& config = model.config();
  const GgufArchitecture& architecture = gguf_architecture_for(config, path);
  write_gguf_config(architecture, config, card, path, metadata);
  metadata.put("general.file_type", file_type(type));
  metadata.put("general.quantization_version", uint32_t{2});
  std::vector<GgufTensorPlan> plan;
  std::vector<float> factors;
  if (config.rope_scaling.kind == RopeScaling::Kind::kLlama3) {
    factors = factors_of_scaling(config);
    plan.push_back({kRopeFactors, GgmlType::kF32, {static_cast<int64_t>(factors.size())}});
  }
  model.visit([&](Parameter& p) {
    const StoredTensor stored = stored_in_gguf(architecture, p.name);
    if (stored.part + 1 < stored.parts) return;
    const Shape shape = stored.shape(p.value.shape());
    plan.push_back({stored.name, stored_type(type, stored.name, shape), reversed(shape.vector())});
  });
  GgufWriter writer(path, metadata, plan);
  if (!factors.empty()) writer.append(std::as_bytes(std::span(factors)));
  size_t done = 0;
  for_each_stored(model, architecture, [&](const StoredTensor& stored, const Tensor& values) {
    progress(static_cast<double>(done++) / static_cast<double>(plan.size()));
    writer.append(to_ggml(stored_type(type, stored.name, values.shape()), values.values(),
                          fmt::format("{}: tensor {}", path, stored.name)));
  });
  writer.commit();
}

}  // namespace alambic
