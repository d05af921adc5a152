// The kernel table: per-ISA code on raw pointers. No Tensor, no threads, no allocation, no
// exceptions.
//
// Ownership: kernels own nothing; every buffer belongs to the caller. Thread safety: all entries
// are pure functions of their arguments and may run on any thread. A table copies the one below it
// (scalar, AVX2, AVX-512, AMX) and overrides entries.
//
// Row independence: the result of one output row never depends on how many rows run with it.
// Products sum over k in ascending order in one chain per output element, whatever the row count,
// so that a row computed alone equals the same row computed in a batch, bit for bit (the
// self-speculative decoder relies on it).
//
// Rows are contiguous, 4-byte floats unless a comment says otherwise. No alignment is required.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "alambic/kernels/quantized.h"

namespace alambic::kernels {

enum class Isa { kScalar, kAvx2, kAvx512, kAmx };
const char* isa_name(Isa isa);

// How product operands are rounded before they are multiplied; sums are always fp32.
enum class Precision { kFp32, kBf16 };

enum class Element { kF32, kBf16 };

// A strided matrix; element (r, c) is at data + (r * row_stride + c * col_stride) *
// sizeof(element).
struct Matrix {
  const void* data;
  Element element;
  int64_t row_stride, col_stride;
};

// Products C[m, n] = A[m, k] B[k, n] in three steps: pack A into panels of `mr` rows, pack B into
// panels of `nr` columns (both zero padded), multiply panels. The packed form is the kernel's own
// affair. A is packed whole in k; panels are laid out one after another, so the panel of rows
// [i*mr, ...) starts at i * panel_bytes_a(k). Any alignment works; panels that start at a multiple
// of 64 bytes are read fastest. A call costs a few hundred cycles beside the product, so hand over
// large blocks.
struct Gemm {
  int mr, nr;
  size_t (*panel_bytes_a)(int k) noexcept;
  size_t (*panel_bytes_b)(int k) noexcept;
  void (*pack_a)(const Matrix& a, int m, int k, std::byte* panels) noexcept;  // ceil(m / mr) panels
  void (*pack_b)(const Matrix& b, int k, int n, std::byte* panels) noexcept;  // ceil(n / nr) panels
  // c[m, n] (row stride ldc) = or += product of packed panels. Any m, n >= 1, the tails included.
  void (*multiply)(const std::byte* a, const std::byte* b, int m, int n, int k, float* c,
                   int64_t ldc, bool accumulate) noexcept;
};

// What an MLP without a gate does to its hidden numbers: the Gaussian error linear unit (Hendrycks
// & Gimpel 2016), exact or in its tanh form.
enum class Activation { kGelu, kGeluTanh };

// Which numbers of a row are rotated: of each of `heads` heads of `head_dim` numbers, side by side,
// the first `rotated`, in pairs (i, i + rotated/2) or, interleaved, (2i, 2i + 1).
struct RopeLayout {
  int64_t ld;  // row stride
  int rows, heads, head_dim, rotated;
  bool interleaved = false;
};

struct AdamW {
  float lr, beta1, beta2, eps, weight_decay;
  float bias1, bias2;  // 1 - beta1^t, 1 - beta2^t
  float grad_scale;    // multiplies the gradient first (1 / token count, clipping)
};

struct KernelTable {
  Isa isa;
  Gemm gemm[2];  // indexed by Precision

  // c[m, n] (+)= a[m, k] b[k, n], fp32, for small blocks in cache (attention). Element a(i, p) is
  // at a[i * a_row + p * a_col]; rows of b and c are contiguous with strides ldb, ldc.
  void (*matmul_small)(const float* a, int64_t a_row, int64_t a_col, const float* b, int64_t ldb,
                       int m, int n, int k, float* c, int64_t ldc, bool accumulate) noexcept;
  // The same with b in bf16: each element has the bits that matmul_small gives for b widened.
  void (*matmul_small_bf16)(const float* a, int64_t a_row, int64_t a_col, const uint16_t* b,
                            int64_t ldb, int m, int n, int k, float* c, int64_t ldc,
                            bool accumulate) noexcept;
  // Rows of x (row stride ld) in 8 bits, in groups of `group` along k; the last group is padded.
  // Outputs as Int8Rows has them.
  void (*quantize_rows)(const float* x, int64_t ld, int rows, int k, int group, int8_t* values,
                        float* scales, int32_t* sums) noexcept;
  // c[m, n] = rows times panels, indexed by WeightFormat. All tables give the same bits.
  void (*multiply_quantized[2])(const Int8Rows& a, const WeightPanels& w, int m, int n, float* c,
                                int64_t ldc) noexcept;

  // out[cols, rows] = transpose of in[rows, cols] with row strides ld_out, ld_in.
  void (*transpose)(const float* in, int64_t ld_in, int rows, int cols, float* out,
                    int64_t ld_out) noexcept;

  // y = x * inv_rms(x) * w per row; inv_rms[rows] is written when not null. (Zhang & Sennrich 2019)
  void (*rms_norm)(const float* x, const float* w, int rows, int dim, float eps, float* y,
                   float* inv_rms) noexcept;
  // dx (overwritten) and dw (accumulated) of the above, from dy and the saved inv_rms.
  void (*rms_norm_backward)(const float* dy, const float* x, const float* w, const float* inv_rms,
                            int rows, int dim, float* dx, float* dw) noexcept;

  // y = (x - mean(x)) / deviation(x) * w + b per row (Ba et al. 2016); mean[rows] and
  // inv_deviation[rows] are written when not null.
  void (*layer_norm)(const float* x, const float* w, const float* b, int rows, int dim, float eps,
                     float* y, float* mean, float* inv_deviation) noexcept;
  // dx (overwritten), dw and db (accumulated) of the above.
  void (*layer_norm_backward)(const float* dy, const float* x, const float* w, const float* mean,
                              const float* inv_deviation, int rows, int dim, float* dx, float* dw,
                              float* db) noexcept;

  // h = activation(x) elementwise, in place allowed; backward writes dx, in place of dh allowed.
  void (*activate)(Activation kind, const float* x, int64_t n, float* h) noexcept;
  void (*activate_backward)(Activation kind, const float* dh, const float* x, int64_t n,
                            float* dx) noexcept;

  // h = silu(g) * u elementwise; backward writes dg, du.
  void (*silu_mul)(const float* g, const float* u, int64_t n, float* h) noexcept;
  void (*silu_mul_backward)(const float* dh, const float* g, const float* u, int64_t n, float* dg,
                            float* du) noexcept;

  // Rotates pairs of numbers by the row's angles, in place (RoPE, Su et al. 2021). cosine, sine:
  // [rows, rotated/2]. `inverse` rotates back (the backward pass).
  void (*rope)(float* x, const RopeLayout& layout, const float* cosine, const float* sine,
               bool inverse) noexcept;

  void (*add)(const float* a, const float* b, int64_t n, float* out) noexcept;
  void (*axpy)(float alpha, const float* x, int64_t n, float* y) noexcept;  // y += alpha x
  void (*scale)(float alpha, int64_t n, float* x) noexcept;                 // x *= alpha
  float (*dot)(const float* a, const float* b, int64_t n) noexcept;
  double (*sum_squares)(const float* x, int64_t n) noexcept;

  float (*max)(const float* x, int64_t n) noexcept;       // n >= 1
  int64_t (*argmax)(const float* x, int64_t n) noexcept;  // lowest index among equals
  // out = exp(scale * (x - shift)); returns the sum of out. In place allowed. -inf gives 0.
  float (*exp_sum)(const float* x, float shift, float scale, int64_t n, float* out) noexcept;

  // ds = p * (dp - mean) * scale: the backward pass of softmax(scale * s) for one row of
  // probabilities p. In place on dp.
  void (*softmax_backward)(const float* p, const float* dp, float mean, float scale, int64_t n,
                           float* ds) noexcept;

  // fp32 -> bf16 to nearest even (NaN stays NaN) and back (exact).
  void (*to_bf16)(const float* in, int64_t n, uint16_t* out) noexcept;
  void (*from_bf16)(const uint16_t* in, int64_t n, float* out) noexcept;

  // One decoupled-weight-decay Adam step (Loshchilov & Hutter 2019) over n weights.
  void (*adamw)(const AdamW& step, const float* g, int64_t n, float* w, float* m,
                float* v) noexcept;
};

// Every table this CPU can run, scalar first, best last.
std::span<const KernelTable> supported_kernels();
// The table in use: the best one, or the one that ALAMBIC_ISA (scalar, avx2, avx512, amx) names. An
// unknown or unsupported name throws kInvalidArgument listing what this CPU has. Chosen once.
const KernelTable& kernels();
// Replaces the table in use (tests and benchmarks). Not while other threads compute.
void use_kernels(Isa isa);

}  // namespace alambic::kernels
