// What `alambic bench` measures: one part of the work at one shape and in one number format, in the
// calling process.
//
// Peak memory is that of the whole process so far, so each part belongs in a process of its own.
// Inputs are random tokens; weights are random too, unless a model directory is named. Thread
// safety: one measurement at a time. Errors: kInvalidArgument for an unknown shape, part or dtype,
// and what loading a model throws.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/models/model_config.h"
#include "alambic/nn/forward.h"
#include "alambic/tensor/quantized_matrix.h"

namespace alambic {

struct BenchShape {
  std::string name;
  ModelConfig config;
  std::string directory;  // of the model whose weights are used; empty: random weights
  int prompt_tokens, generate_tokens;
  int train_batch, train_length;
  std::optional<WeightFormat> stored = {};  // how the directory holds quantised weights
};

// "S", "M", "L", "GPT-J" or "tiny".
BenchShape bench_shape(std::string_view name);
// The shape of a model on disk, `name` being its directory.
BenchShape bench_shape_of_model(const std::string& directory);

// What weights are multiplied as: floats, rounded to `precision` in products, or quantised weights.
struct BenchDtype {
  Precision precision;
  std::optional<WeightFormat> weights = {};
};

// fp32, bf16, int8, int4
const std::vector<std::string>& bench_dtypes();
BenchDtype bench_dtype(std::string_view name);

// prompt, generate, batch, rows (forwards of 1 to 64 rows: `batch` says how many), train,
// train_hybrid, lora (a step of adapters beside a frozen base), product
const std::vector<std::string>& bench_parts();
// False where the model lacks what the part needs: a mask token for train_hybrid, weights in
// floating point for all training.
bool can_measure(std::string_view part, const BenchShape& shape, std::string_view dtype);

struct Measurement {
  std::string what, shape, dtype;
  std::string kernels;  // the instruction set, or "onednn" for a product of that library
  int batch = 1;        // sequences at once
  int64_t tokens = 0;   // of one repetition; for a product, rows
  double tokens_per_s = 0;
  double flops = 0;             // operations per second
  double read_bytes_per_s = 0;  // of weights, where reading them is what bounds the speed; else 0
  int64_t peak_rss_bytes = 0;
};
// `quick`: few repetitions, for tests.
std::vector<Measurement> measure_part(std::string_view part, const BenchShape& shape,
                                      std::string_view dtype, bool quick);

OrderedJson to_json(const Measurement& m);
Measurement measurement_from_json(const Json& json, std::string_view where);

}  // namespace alambic
