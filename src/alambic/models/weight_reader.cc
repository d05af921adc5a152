#include "alambic/models/weight_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/tensor/product.h"
#include "alambic/tensor/storage.h"

namespace alambic {
namespace {

std::string shape_text(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// A file with far fewer weights than its settings promise is refused before memory is asked for.
// Where only a tensor or two are missing, the loader names them instead.
void check_promise(const WeightReader& reader) {
  const int64_t stored = reader.elements(), want = reader.config().parameters();
  if (stored < want / 2) {
    fail(ErrorCode::kCorruptData, "[{}] holds {} weights; its settings want {}", reader.path(),
         stored, want);
  }
}

// Packs a parameter for inference at one precision.
void pack_parameter(Parameter& p, Tensor floats, const WeightReader& reader,
                    const StoredTensor& stored, bool multiplied, Precision precision) {
  const std::span<const std::byte> brief =
      p.table ? reader.bf16(stored) : std::span<const std::byte>();
  if (!brief.empty()) {  // looked up as it is
    p.value = Tensor::empty(floats.shape(), DType::kBf16);
    std::memcpy(p.value.raw(), brief.data(), brief.size());
  } else if (p.table) {
    p.value = floats;
  }
  reader.forget(stored);
  if (!multiplied) return;
  p.value.set_packed(std::make_shared<PackedMatrix>(view_transposed(floats),
                                                    static_cast<int>(floats.cols()),
                                                    static_cast<int>(floats.rows()), precision));
  if (p.table) {  // the largest by far, and of a size of its own
    floats = Tensor();
    release_cached_memory();
  }
}

}  // namespace

void fail_missing(const std::string& path, const std::string& tensor) {
  fail(ErrorCode::kCorruptData, "[{}] tensor {} is missing", path, tensor);
}

void fail_shape(const std::string& path, const std::string& tensor, std::span<const int64_t> got,
                std::span<const int64_t> want) {
  fail(ErrorCode::kCorruptData, "[{}] tensor {}: got {}, want {}", path, tensor, shape_text(got),
       shape_text(want));
}

void check_memory(const ModelConfig& config, int64_t bytes_per_weight, const std::string& path) {
  const auto have = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  const int64_t want = config.parameters() * bytes_per_weight;
  if (want > have) {
    fail(ErrorCode::kResourceExhausted,
         "[{}] the weights need {} MiB of memory; this machine has {} MiB", path, want >> 20,
         have >> 20);
  }
}

Tensor WeightReader::floats(std::string_view parameter, const Shape& own) {
  const StoredTensor stored = locate(parameter, own);
  Tensor out = Tensor::empty(own);
  if (stored.parts == 1 && !stored.transposed) {
    read(stored, out.values());
    return out;
  }
  Fused& fused = fused_[stored.name];
  if (fused.left == 0) {
    fused = {Tensor::empty(stored.shape(own)), stored.parts};
    read(stored, fused.whole.values());
  }
  take_part(stored, config_.head_dim, fused.whole.values(), out);
  if (--fused.left == 0) fused_.erase(stored.name);
  return out;
}

LoadedModel load_weights(WeightReader& reader, std::optional<Precision> packed) {
  const ModelConfig& config = reader.config();
  check_memory(config, packed == Precision::kBf16 ? 2 : 4, reader.path());
  // A wrong shape must be an error before it is an allocation.
  reader.locate("embedding", {config.vocab_size, config.dim});
  check_promise(reader);
  LoadedModel loaded;
  loaded.model = std::make_unique<Transformer>(config, Transformer::Weights::kUnstored);
  loaded.model->visit([&](Parameter& p) {
    const Shape shape = p.value.shape();
    const StoredTensor stored = reader.locate(p.name, shape);
    Tensor floats = reader.floats(p.name, shape);
    if (packed && shape.size() == 2) {
      const bool multiplied = !p.table || (p.name == "embedding" && config.tied_head);
      pack_parameter(p, std::move(floats), reader, stored, multiplied, *packed);
    } else {
      p.value = std::move(floats);
      reader.forget(stored);
    }
  });
  loaded.file_bytes = reader.bytes();
  return loaded;
}

}  // namespace alambic
