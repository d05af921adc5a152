// Times the table of op cases at the shapes of a training step, per kernel table: forward, and
// forward with backward.
#include <benchmark/benchmark.h>

#include "alambic/autograd/graph.h"
#include "alambic/autograd/op_cases.h"
#include "alambic/kernels/table.h"

namespace {

using namespace alambic;

void time_op(benchmark::State& state, const OpCase& op, kernels::Isa isa, bool train) {
  kernels::use_kernels(isa);
  const std::vector<Tensor> inputs = op_inputs(op, 1, train);
  Tensor weights;
  for (auto _ : state) {
    const Tensor out = op.run(inputs);
    if (train) {
      if (!weights.defined()) {
        weights = Tensor::empty(out.shape());
        std::fill_n(weights.data(), weights.size(), 1.0F);
      }
      backward(weighted_sum(out, weights));
    }
    benchmark::DoNotOptimize(out.data());
  }
  if (op.flops > 0) {  // a backward pass has two products for each one of the forward pass
    state.counters["flop/s"] = benchmark::Counter(op.flops * (train ? 3 : 1),
                                                  benchmark::Counter::kIsIterationInvariantRate);
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const OpCase& op : op_cases()) {
    if (!op.timed) continue;
    for (const kernels::KernelTable& table : kernels::supported_kernels()) {
      for (const bool train : {false, true}) {
        const std::string name = op.name + "/" + kernels::isa_name(table.isa) +
                                 (train ? "/forward_backward" : "/forward");
        benchmark::RegisterBenchmark(name.c_str(), time_op, op, table.isa, train)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
