// The one table of op cases. Every differentiable op stands here with its shapes and a composed
// reference: plain loops in double precision that share no code with the kernels. Three readers:
// the tests (equality with the reference for every kernel table and thread count, finite-difference
// gradients, row independence) and the benchmarks (timing). Ownership: the table is built once and
// lives for the program. Thread safety: read only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "alambic/tensor/tensor.h"

namespace alambic {

using Doubles = std::vector<double>;

struct OpCase {
  std::string name;
  std::vector<Shape> inputs;  // the differentiable ones
  std::function<Tensor(const std::vector<Tensor>& inputs)> run;
  // The result of run() from the same inputs, row-major.
  std::function<Doubles(const std::vector<Doubles>& inputs)> reference;
  // Row `row` of the result, computed without the rows that it must not depend on; null where that
  // means nothing.
  std::function<Tensor(const std::vector<Tensor>& inputs, int64_t row)> row_alone = nullptr;
  double tolerance = 1e-5;           // of the result, relative to its largest element
  double gradient_tolerance = 2e-5;  // of a directional derivative, relative to the gradient's norm
  double flops = 0;                  // of one forward, where products dominate; for the benchmark
  bool timed = false;  // shapes of a training step: benchmarks only, too large for the reference
};

const std::vector<OpCase>& op_cases();

// The case's inputs, standard normal times 1/2, a function of the seed.
std::vector<Tensor> op_inputs(const OpCase& op, uint64_t seed, bool trainable);

// Σ out * weights as a node: its backward pass hands `weights` to `out` as the gradient.
Tensor weighted_sum(const Tensor& out, const Tensor& weights);

// The parts of the table, one per file.
void add_row_cases(std::vector<OpCase>& table);
void add_linear_cases(std::vector<OpCase>& table);
void add_attention_cases(std::vector<OpCase>& table);
void add_head_cases(std::vector<OpCase>& table);

}  // namespace alambic
