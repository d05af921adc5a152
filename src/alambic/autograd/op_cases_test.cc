#include "alambic/autograd/op_cases.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "alambic/autograd/graph.h"
#include "alambic/base/rng.h"
#include "alambic/base/thread_pool.h"
#include "alambic/kernels/table.h"

namespace alambic {
namespace {

// Restores the kernel table and the thread count that a test changed.
class Settings {
 public:
  ~Settings() {
    kernels::use_kernels(isa_);
    set_thread_count(threads_);
  }

 private:
  kernels::Isa isa_ = kernels::kernels().isa;
  int threads_ = thread_count();
};

std::vector<Doubles> doubles_of(const std::vector<Tensor>& inputs) {
  std::vector<Doubles> all;
  for (const Tensor& t : inputs) all.emplace_back(t.values().begin(), t.values().end());
  return all;
}

// The gradient that enters the op: ones for a loss, random otherwise.
Tensor output_weights(const Tensor& out) {
  Tensor weights = Tensor::empty(out.shape());
  Rng rng(77);
  for (float& w : weights.values()) w = out.size() == 1 ? 1.0F : static_cast<float>(rng.normal());
  return weights;
}

double dot(std::span<const float> weights, const Doubles& values) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += double{weights[i]} * values[i];
  return sum;
}

std::vector<float> floats_of(const Tensor& t) { return {t.values().begin(), t.values().end()}; }

// Result and gradients of one run.
std::vector<std::vector<float>> run_both_ways(const OpCase& op) {
  const std::vector<Tensor> inputs = op_inputs(op, 1, true);
  const Tensor out = op.run(inputs);
  std::vector<std::vector<float>> all{floats_of(out)};
  backward(weighted_sum(out, output_weights(out)));
  for (const Tensor& input : inputs) all.push_back(floats_of(input.grad()));
  return all;
}

class OpCases : public testing::TestWithParam<size_t> {
 protected:
  const OpCase& op() const { return op_cases()[GetParam()]; }
  Settings settings_;
};

// max |op - reference| <= tolerance * max |reference|, per kernel table.
TEST_P(OpCases, EqualsTheReferenceOnEveryKernelTable) {
  const std::vector<Tensor> inputs = op_inputs(op(), 1, false);
  const Doubles want = op().reference(doubles_of(inputs));
  double largest = 0;
  for (const double x : want) largest = std::max(largest, std::abs(x));
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    kernels::use_kernels(table.isa);
    const Tensor out = op().run(inputs);
    ASSERT_EQ(static_cast<size_t>(out.size()), want.size());
    double worst = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_TRUE(std::isfinite(out.values()[i]))
          << kernels::isa_name(table.isa) << " element " << i;
      worst = std::max(worst, std::abs(double{out.values()[i]} - want[i]));
    }
    EXPECT_LE(worst, op().tolerance * largest) << kernels::isa_name(table.isa);
  }
}

// The op's gradient along random directions against central differences of the reference in double
// precision.
TEST_P(OpCases, GradientsEqualFiniteDifferences) {
  constexpr double kStep = 1e-5;
  constexpr int kDirections = 3;
  const std::vector<Tensor> values = op_inputs(op(), 1, false);
  const Tensor weights = output_weights(op().run(values));
  std::vector<std::vector<Doubles>> directions(values.size());
  std::vector<Doubles> slopes(values.size());
  std::vector<Doubles> point = doubles_of(values);
  for (size_t i = 0; i < values.size(); ++i) {
    const Doubles centre = point[i];
    for (int d = 0; d < kDirections; ++d) {
      Rng rng(100 + static_cast<uint64_t>(d), i);
      Doubles direction(centre.size());
      for (double& x : direction) x = rng.normal();
      const auto loss_at = [&](double step) {
        for (size_t j = 0; j < centre.size(); ++j) point[i][j] = centre[j] + step * direction[j];
        return dot(weights.values(), op().reference(point));
      };
      slopes[i].push_back((loss_at(kStep) - loss_at(-kStep)) / (2 * kStep));
      directions[i].push_back(std::move(direction));
    }
    point[i] = centre;
  }
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    kernels::use_kernels(table.isa);
    const auto got = run_both_ways(op());
    for (size_t i = 0; i < values.size(); ++i) {
      const std::vector<float>& gradient = got[i + 1];
      double norm = 0;
      for (const float g : gradient) norm += double{g} * double{g};
      norm = std::sqrt(norm);
      for (int d = 0; d < kDirections; ++d) {
        EXPECT_NEAR(dot(gradient, directions[i][d]), slopes[i][d],
                    op().gradient_tolerance * norm + 1e-7)
            << kernels::isa_name(table.isa) << " input " << i << " direction " << d << " norm "
            << norm;
      }
    }
  }
}

TEST_P(OpCases, ThreadsChangeNoBit) {
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    kernels::use_kernels(table.isa);
    set_thread_count(1);
    const auto want = run_both_ways(op());
    for (const int threads : {2, 3}) {
      set_thread_count(threads);
      EXPECT_TRUE(run_both_ways(op()) == want)
          << kernels::isa_name(table.isa) << ", threads " << threads;
    }
  }
}

// Gradients add up over backward passes until they are cleared: what accumulation over
// micro-batches rests on.
TEST_P(OpCases, GradientsAddUpOverPasses) {
  const std::vector<Tensor> inputs = op_inputs(op(), 1, true);
  const auto once = run_both_ways(op());
  for (int pass = 0; pass < 2; ++pass) {
    const Tensor out = op().run(inputs);
    backward(weighted_sum(out, output_weights(out)));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    double error = 0, norm = 0;
    for (size_t j = 0; j < once[i + 1].size(); ++j) {
      const double want = 2 * double{once[i + 1][j]}, got = double{inputs[i].grad().values()[j]};
      error += (got - want) * (got - want);
      norm += want * want;
    }
    EXPECT_LE(std::sqrt(error), 1e-5 * std::sqrt(norm)) << "input " << i;
  }
}

// Cases whose rows do not depend on each other, or only on rows that the case can name.
class RowCases : public OpCases {};

TEST_P(RowCases, ARowAloneHasTheBitsItHasInABatch) {
  const std::vector<Tensor> inputs = op_inputs(op(), 1, false);
  for (const kernels::KernelTable& table : kernels::supported_kernels()) {
    kernels::use_kernels(table.isa);
    const Tensor whole = op().run(inputs);
    for (int64_t row = 0; row < whole.rows(); ++row) {
      const Tensor alone = op().row_alone(inputs, row);
      ASSERT_EQ(alone.size(), whole.cols());
      ASSERT_EQ(0, std::memcmp(alone.data(), whole.row(row),
                               static_cast<size_t>(whole.cols()) * sizeof(float)))
          << kernels::isa_name(table.isa) << " row " << row;
    }
  }
}

std::vector<size_t> tested_cases(bool with_rows_alone) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < op_cases().size(); ++i) {
    const OpCase& op = op_cases()[i];
    if (!op.timed && (op.row_alone || !with_rows_alone)) indices.push_back(i);
  }
  return indices;
}

std::string case_name(const testing::TestParamInfo<size_t>& info) {
  std::string name = op_cases()[info.param].name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Table, OpCases, testing::ValuesIn(tested_cases(false)), case_name);
INSTANTIATE_TEST_SUITE_P(Table, RowCases, testing::ValuesIn(tested_cases(true)), case_name);

}  // namespace
}  // namespace alambic
