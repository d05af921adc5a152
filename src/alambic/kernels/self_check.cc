#include "alambic/kernels/self_check.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "alambic/base/rng.h"

namespace alambic::kernels {
namespace {

using Floats = std::vector<float>;

// Lengths that leave a tail on every vector width.
constexpr int kLength = 77;

Floats values(size_t n, uint64_t seed) {
  Rng rng(seed);
  Floats out(n);
  for (float& x : out) x = static_cast<float>(2.0 * rng.uniform() - 1.0);
  return out;
}

Floats product(const KernelTable& table, Precision precision) {
  const Gemm& gemm = table.gemm[static_cast<int>(precision)];
  constexpr int kRows = 37, kColumns = 43, kDepth = 70;
  const Floats a = values(kRows * kDepth, 1), b = values(kDepth * kColumns, 2);
  std::vector<std::byte> left((kRows + gemm.mr - 1) / gemm.mr * gemm.panel_bytes_a(kDepth));
  std::vector<std::byte> right((kColumns + gemm.nr - 1) / gemm.nr * gemm.panel_bytes_b(kDepth));
  Floats c;
  // Both operands as they are, then both from their transposes.
  for (const bool transposed : {false, true}) {
    const Matrix from_a{a.data(), Element::kF32, transposed ? 1 : kDepth, transposed ? kRows : 1};
    const Matrix from_b{b.data(), Element::kF32, transposed ? 1 : kColumns,
                        transposed ? kDepth : 1};
    Floats out = values(kRows * kColumns, 3);
    gemm.pack_a(from_a, kRows, kDepth, left.data());
    gemm.pack_b(from_b, kDepth, kColumns, right.data());
    gemm.multiply(left.data(), right.data(), kRows, kColumns, kDepth, out.data(), kColumns, true);
    c.insert(c.end(), out.begin(), out.end());
  }
  return c;
}

// 19 rows of 100 against 21 columns of arbitrary bytes: every end is ragged, and tiles are met.
Floats quantized_product(const KernelTable& table, WeightFormat format) {
  constexpr int kRows = 19, kDepth = 100, kColumns = 21, kPanels = 2;
  const int group = group_size(format), groups = (kDepth + group - 1) / group;
  const Floats x = values(kRows * kDepth, 7);
  std::vector<int8_t> rows(static_cast<size_t>(kRows * groups * group));
  Floats scales(static_cast<size_t>(kRows * groups));
  std::vector<int32_t> sums(scales.size());
  table.quantize_rows(x.data(), kDepth, kRows, kDepth, group, rows.data(), scales.data(),
                      sums.data());
  Rng rng(8);
  std::vector<std::byte> weights(static_cast<size_t>(kPanels * groups * group_bytes(format)));
  for (std::byte& w : weights) w = static_cast<std::byte>(1 + rng.below(127) + 128 * rng.below(2));
  std::vector<uint16_t> bf16(static_cast<size_t>(kPanels * groups * kPanelColumns));
  std::vector<uint8_t> zeros(bf16.size());
  for (uint16_t& s : bf16) s = static_cast<uint16_t>(0x3c00 + rng.below(256));
  for (uint8_t& z : zeros) z = static_cast<uint8_t>(rng.below(16));
  Floats c(kRows * kColumns);
  table.multiply_quantized[static_cast<int>(format)](
      {rows.data(), scales.data(), sums.data(), groups},
      {weights.data(), bf16.data(), zeros.data()}, kRows, kColumns, c.data(), kColumns);
  c.insert(c.end(), scales.begin(), scales.end());
  return c;
}

struct Entry {
  const char* name;
  std::function<Floats(const KernelTable&)> run;
};

std::vector<Entry> entries() {
  const Floats x = values(kLength, 4), y = values(kLength, 5), z = values(kLength, 6);
  return {
      {"gemm fp32", [](const KernelTable& t) { return product(t, Precision::kFp32); }},
      {"gemm bf16", [](const KernelTable& t) { return product(t, Precision::kBf16); }},
      {"int8 weights",
       [](const KernelTable& t) { return quantized_product(t, WeightFormat::kInt8); }},
      {"int4 weights",
       [](const KernelTable& t) { return quantized_product(t, WeightFormat::kInt4); }},
      {"matmul_small",
       [=](const KernelTable& t) {
         Floats c(7 * 11);
         t.matmul_small(x.data(), 1, 7, y.data(), 11, 7, 11, 7, c.data(), 11, false);
         return c;
       }},
      {"matmul_small_bf16",
       [=](const KernelTable& t) {
         std::vector<uint16_t> half(kLength);
         t.to_bf16(y.data(), kLength, half.data());
         Floats c(7 * 11);
         t.matmul_small_bf16(x.data(), 1, 7, half.data(), 11, 7, 11, 7, c.data(), 11, false);
         return c;
       }},
      {"transpose",
       [=](const KernelTable& t) {
         Floats out(kLength);
         t.transpose(x.data(), 11, 7, 11, out.data(), 7);
         return out;
       }},
      {"rms_norm",
       [=](const KernelTable& t) {
         Floats out(kLength + 1);
         t.rms_norm(x.data(), y.data(), 1, kLength, 1e-5f, out.data(), out.data() + kLength);
         return out;
       }},
      {"rms_norm_backward",
       [=](const KernelTable& t) {
         Floats out(2 * kLength);
         const float inverse = 1.7f;
         t.rms_norm_backward(z.data(), x.data(), y.data(), &inverse, 1, kLength, out.data(),
                             out.data() + kLength);
         return out;
       }},
      {"silu_mul",
       [=](const KernelTable& t) {
         Floats out(kLength);
         t.silu_mul(x.data(), y.data(), kLength, out.data());
         return out;
       }},
      {"silu_mul_backward",
       [=](const KernelTable& t) {
         Floats out(2 * kLength);
         t.silu_mul_backward(z.data(), x.data(), y.data(), kLength, out.data(),
                             out.data() + kLength);
         return out;
       }},
      {"rope",
       [=](const KernelTable& t) {
         Floats out = x;
         t.rope(out.data(), {kLength, 1, 1, kLength - 1, kLength - 1}, y.data(), z.data(), false);
         return out;
       }},
      {"rope of neighbours",
       [=](const KernelTable& t) {
         Floats out = x;
         t.rope(out.data(), {kLength, 1, 2, 38, 30, true}, y.data(), z.data(), false);
         return out;
       }},
      {"layer_norm",
       [=](const KernelTable& t) {
         Floats out(kLength + 2);
         t.layer_norm(x.data(), y.data(), z.data(), 1, kLength, 1e-5f, out.data(),
                      out.data() + kLength, out.data() + kLength + 1);
         return out;
       }},
      {"layer_norm_backward",
       [=](const KernelTable& t) {
         Floats out(3 * kLength);
         const float mean = 0.2f, inverse = 1.7f;
         t.layer_norm_backward(z.data(), x.data(), y.data(), &mean, &inverse, 1, kLength,
                               out.data(), out.data() + kLength, out.data() + 2 * kLength);
         return out;
       }},
      {"activate",
       [=](const KernelTable& t) {
         Floats out(4 * kLength);
         t.activate(Activation::kGelu, x.data(), kLength, out.data());
         t.activate(Activation::kGeluTanh, x.data(), kLength, out.data() + kLength);
         t.activate_backward(Activation::kGelu, y.data(), x.data(), kLength,
                             out.data() + 2 * kLength);
         t.activate_backward(Activation::kGeluTanh, y.data(), x.data(), kLength,
                             out.data() + 3 * kLength);
         return out;
       }},
      {"add, axpy, scale",
       [=](const KernelTable& t) {
         Floats out(kLength);
         t.add(x.data(), y.data(), kLength, out.data());
         t.axpy(0.3f, z.data(), kLength, out.data());
         t.scale(1.3f, kLength, out.data());
         return out;
       }},
      {"reductions",
       [=](const KernelTable& t) {
         return Floats{t.dot(x.data(), y.data(), kLength),
                       static_cast<float>(t.sum_squares(x.data(), kLength)),
                       t.max(x.data(), kLength), static_cast<float>(t.argmax(x.data(), kLength))};
       }},
      {"exp_sum",
       [=](const KernelTable& t) {
         Floats out(kLength + 1);
         out[kLength] = t.exp_sum(x.data(), 0.5f, 3.0f, kLength, out.data());
         return out;
       }},
      {"softmax_backward",
       [=](const KernelTable& t) {
         Floats out(kLength);
         t.softmax_backward(x.data(), y.data(), 0.1f, 0.5f, kLength, out.data());
         return out;
       }},
      {"bf16",
       [=](const KernelTable& t) {
         std::vector<uint16_t> half(kLength);
         Floats out(kLength);
         t.to_bf16(x.data(), kLength, half.data());
         t.from_bf16(half.data(), kLength, out.data());
         return out;
       }},
      {"adamw",
       [=](const KernelTable& t) {
         Floats out(3 * kLength);
         const AdamW step{1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.05f, 0.5f};
         t.adamw(step, x.data(), kLength, out.data(), out.data() + kLength,
                 out.data() + 2 * kLength);
         return out;
       }},
  };
}

}  // namespace

std::string first_disagreement(const KernelTable& table, const KernelTable& reference) {
  for (const Entry& entry : entries()) {
    const Floats got = entry.run(table), want = entry.run(reference);
    for (size_t i = 0; i < want.size(); ++i) {
      // Far above what rounding in another order does to sums of at most 77 terms, far below any
      // real slip.
      const float bound = 1e-4f * std::max(1.0f, std::fabs(want[i]));
      if (!(std::fabs(got[i] - want[i]) <= bound)) return entry.name;
    }
  }
  return "";
}

}  // namespace alambic::kernels
