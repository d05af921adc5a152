#include "alambic/tensor/quantized_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "alambic/base/error.h"
#include "alambic/base/thread_pool.h"

namespace alambic {
namespace {

using kernels::kPanelColumns;

int64_t panels_of(int64_t out) { return (out + kPanelColumns - 1) / kPanelColumns; }
int64_t groups_of(WeightFormat format, int64_t in) {
  const int64_t size = kernels::group_size(format);
  return (in + size - 1) / size;
}

// Where the value of (row, column) lies: its byte, and the shift of its bits in there.
struct Place {
  int64_t byte;
  int shift;
};
Place place_of(WeightFormat format, int64_t groups, int64_t row, int64_t column) {
  const bool half = format == WeightFormat::kInt4;
  const int64_t panel = row / kPanelColumns * groups * kernels::group_bytes(format);
  const int64_t step = column / 4, in_step = row % kPanelColumns * 4 + column % 4;
  return {panel + (half ? step / 2 : step) * 4 * kPanelColumns + in_step,
          half && step % 2 == 1 ? 4 : 0};
}
int64_t group_place(int64_t groups, int64_t row, int64_t group) {
  return (row / kPanelColumns * groups + group) * kPanelColumns + row % kPanelColumns;
}

// Up rather than to nearest, so that the largest weight stays inside the range.
uint16_t bf16_above(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0xffffU) >> 16);
}
float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
uint16_t load_u16(const Tensor& t, int64_t i) {
  uint16_t bits;
  std::memcpy(&bits, t.raw() + 2 * i, 2);
  return bits;
}

GroupRounding grid(WeightFormat format, float least, float most) {
  if (format == WeightFormat::kInt8) {
    const float scale = from_bf16(bf16_above(std::max(-least, most) / 127.0F));
    return {scale, 0, -127, 127};
  }
  const float scale = from_bf16(bf16_above((most - least) / 15.0F));
  const int zero =
      scale > 0 ? std::clamp(static_cast<int>(std::nearbyint(-least / scale)), 0, 15) : 0;
  return {scale, zero, 0, 15};
}

}  // namespace

std::string_view format_name(WeightFormat format) {
  return format == WeightFormat::kInt8 ? "int8" : "int4";
}

std::optional<WeightFormat> format_from_name(std::string_view name) {
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    if (name == format_name(format)) return format;
  }
  return std::nullopt;
}

int GroupRounding::nearest(float w) const {
  if (!(scale > 0)) return zero;
  // Adding and taking away 1.5 * 2^23 rounds to the nearest integer without a call.
  constexpr float kRounder = 12582912.0F;
  const float steps = w / scale + kRounder - kRounder + static_cast<float>(zero);
  if (!(steps > static_cast<float>(low))) return low;  // NaN too
  return steps < static_cast<float>(high) ? static_cast<int>(steps) : high;
}

GroupRounding group_rounding(WeightFormat format, std::span<const float> group,
                             std::span<const float> importance) {
  // Zero is a point of every grid: the range reaches it.
  float least = 0, most = 0;
  for (const float w : group) least = std::min(least, w), most = std::max(most, w);
  // With 255 points, cutting the range never pays enough to look for it.
  const int tries = format == WeightFormat::kInt8 ? 1 : 12;
  constexpr float kStep = 0.03F;
  GroupRounding best = grid(format, least, most);
  double best_error = std::numeric_limits<double>::infinity();
  for (int i = 0; i < tries && tries > 1; ++i) {
    const float part = 1 - kStep * static_cast<float>(i);
    const GroupRounding some = grid(format, part * least, part * most);
    double error = 0;
    for (size_t j = 0; j < group.size(); ++j) {
      const double gap = double{group[j]} - some.value(some.nearest(group[j]));
      error += gap * gap * (importance.empty() ? 1.0 : double{importance[j]});
    }
    if (error < best_error) best_error = error, best = some;
  }
  return best;
}

Shape QuantizedMatrix::values_shape(WeightFormat format, int64_t out, int64_t in) {
  return {panels_of(out), groups_of(format, in) * kernels::group_bytes(format)};
}

Shape QuantizedMatrix::group_shape(WeightFormat format, int64_t out, int64_t in) {
  return {panels_of(out), groups_of(format, in), kPanelColumns};
}

QuantizedMatrix::QuantizedMatrix(WeightFormat format, int64_t out, int64_t in, Tensor values,
                                 Tensor scales, Tensor zeros)
    : format_(format),
      out_(out),
      in_(in),
      values_(std::move(values)),
      scales_(std::move(scales)),
      zeros_(std::move(zeros)) {
  ALAMBIC_CHECK(values_.dtype() == DType::kU8 && values_.shape() == values_shape(format, out, in));
  ALAMBIC_CHECK(scales_.dtype() == DType::kBf16 && scales_.shape() == group_shape(format, out, in));
  ALAMBIC_CHECK(zeros_.defined() == (format == WeightFormat::kInt4));
  if (zeros_.defined()) {
    ALAMBIC_CHECK(zeros_.dtype() == DType::kU8 && zeros_.shape() == scales_.shape());
  }
}

QuantizedMatrix QuantizedMatrix::rounded(WeightFormat format, const Tensor& w) {
  const int64_t out = w.rows(), in = w.cols(), size = kernels::group_size(format);
  QuantizedMatrixBuilder builder(format, out, in);
  // A panel a task: neighbours in a panel share bytes' cache lines.
  parallel_for(panels_of(out), [&](int64_t panel) {
    const int64_t last = std::min(out, (panel + 1) * kPanelColumns);
    for (int64_t row = panel * kPanelColumns; row < last; ++row) {
      for (int64_t first = 0; first < in; first += size) {
        const auto count = static_cast<size_t>(std::min(size, in - first));
        const std::span<const float> group(w.row(row) + first, count);
        const GroupRounding rounding = group_rounding(format, group);
        builder.set_group(row, first / size, rounding);
        for (size_t i = 0; i < count; ++i)
          builder.set(row, first + static_cast<int64_t>(i), rounding.nearest(group[i]));
      }
    }
  });
  return builder.finish();
}

int64_t QuantizedMatrix::groups() const { return groups_of(format_, in_); }

int64_t QuantizedMatrix::bytes() const {
  return values_.size() + 2 * scales_.size() + (zeros_.defined() ? zeros_.size() : 0);
}

Tensor QuantizedMatrix::dequantized() const {
  Tensor w = Tensor::empty({out_, in_});
  const int64_t size = kernels::group_size(format_), count = groups();
  parallel_for(panels_of(out_), [&](int64_t panel) {
    const int64_t last = std::min(out_, (panel + 1) * kPanelColumns);
    for (int64_t row = panel * kPanelColumns; row < last; ++row) {
      for (int64_t column = 0; column < in_; ++column) {
        const Place place = place_of(format_, count, row, column);
        const auto byte = std::to_integer<int>(values_.raw()[place.byte]);
        const int64_t at = group_place(count, row, column / size);
        const int q = format_ == WeightFormat::kInt8
                          ? static_cast<int8_t>(byte)
                          : (byte >> place.shift & 15) - std::to_integer<int>(zeros_.raw()[at]);
        w.row(row)[column] = from_bf16(load_u16(scales_, at)) * static_cast<float>(q);
      }
    }
  });
  return w;
}

QuantizedRows::QuantizedRows(WeightFormat format, int m, int k, const LeftOperand& rows)
    : format_(format), m_(m), groups_(static_cast<int>(groups_of(format, k))) {
  const int size = kernels::group_size(format);
  const int64_t width = int64_t{groups_} * size;
  values_ = Tensor::empty({m, width}, DType::kU8);
  scales_ = Tensor::empty({m, groups_});
  sums_ = Tensor::empty({m, groups_}, DType::kI32);
  auto* values = reinterpret_cast<int8_t*>(values_.raw());
  auto* sums = reinterpret_cast<int32_t*>(sums_.raw());
  constexpr int64_t kGrain = 16;
  const auto quantize = [&](int64_t task) {
    const int64_t first = task * kGrain;
    const auto count = static_cast<int>(std::min(kGrain, m - first));
    const float* x = rows.norm == nullptr ? rows.row(first) : rows.normed(first, count, k);
    const int64_t ld = rows.norm == nullptr ? rows.rows.row_stride : k;
    kernels::kernels().quantize_rows(x, ld, count, k, size, values + first * width,
                                     scales_.row(first), sums + first * groups_);
  };
  const int64_t tasks = (m + kGrain - 1) / kGrain;
  if (tasks == 1) {
    quantize(0);
  } else {
    parallel_for(tasks, quantize);
  }
}

kernels::Int8Rows QuantizedRows::from_row(int64_t first) const {
  const int64_t width = int64_t{groups_} * kernels::group_size(format_);
  return {reinterpret_cast<const int8_t*>(values_.raw()) + first * width, scales_.row(first),
          reinterpret_cast<const int32_t*>(sums_.raw()) + first * groups_, groups_};
}

void QuantizedRows::multiply(const QuantizedMatrix& w, int64_t row, int rows, int64_t col, int cols,
                             float* c, int64_t ldc) const {
  kernels::kernels().multiply_quantized[static_cast<int>(format_)](
      from_row(row), w.from_panel(col / kPanelColumns), rows, cols, c, ldc);
}

kernels::WeightPanels QuantizedMatrix::from_panel(int64_t panel) const {
  const int64_t group = panel * groups();
  return {values_.raw() + group * kernels::group_bytes(format_),
          reinterpret_cast<const uint16_t*>(scales_.raw()) + group * kPanelColumns,
          zeros_.defined() ? reinterpret_cast<const uint8_t*>(zeros_.raw()) + group * kPanelColumns
                           : nullptr};
}

void product(const QuantizedRows& rows, std::span<const QuantizedMatrix* const> weights, float* c,
             int64_t ldc) {
  // Few rows: a task is a long run of weights, read once. Many rows: enough panels to share what a
  // kernel unpacks, and enough tasks for every thread.
  constexpr int64_t kRowsPerTask = 192, kLeastWork = 1 << 17, kTasksPerThread = 8;
  const int64_t m = rows.rows(), row_tasks = (m + kRowsPerTask - 1) / kRowsPerTask;
  const int64_t width = weights.front()->groups() * kernels::group_size(rows.format());
  int64_t panels = 0;
  for (const QuantizedMatrix* w : weights) panels += panels_of(w->out());
  const int64_t panel_work = width * kPanelColumns * std::min(m, kRowsPerTask);
  const int64_t wanted = std::clamp<int64_t>(panel_work * panels * row_tasks / kLeastWork, 1,
                                             kTasksPerThread * thread_count());
  const int64_t at_once = std::max<int64_t>(1, panels * row_tasks / wanted);
  const auto tasks_of = [at_once](const QuantizedMatrix& w) {
    return (panels_of(w.out()) + at_once - 1) / at_once;
  };
  int64_t panel_tasks = 0;
  for (const QuantizedMatrix* w : weights) panel_tasks += tasks_of(*w);
  const auto run = [&](int64_t task) {
    const int64_t row = task / panel_tasks * kRowsPerTask;
    // The weight that this task's panels belong to.
    int64_t of_weight = task % panel_tasks, first = 0;
    const QuantizedMatrix* const* at = weights.data();
    for (; of_weight >= tasks_of(**at); first += (*at++)->out()) of_weight -= tasks_of(**at);
    const int64_t column = of_weight * at_once * kPanelColumns;
    rows.multiply(**at, row, static_cast<int>(std::min(kRowsPerTask, m - row)), column,
                  static_cast<int>(std::min(at_once * kPanelColumns, (*at)->out() - column)),
                  c + row * ldc + first + column, ldc);
  };
  if (wanted == 1) {
    for (int64_t task = 0; task < row_tasks * panel_tasks; ++task) run(task);
  } else {
    parallel_for(row_tasks * panel_tasks, run);
  }
}

QuantizedMatrixBuilder::QuantizedMatrixBuilder(WeightFormat format, int64_t out, int64_t in)
    : format_(format), out_(out), in_(in), groups_(groups_of(format, in)) {
  values_ = Tensor::empty(QuantizedMatrix::values_shape(format, out, in), DType::kU8);
  scales_ = Tensor::empty(QuantizedMatrix::group_shape(format, out, in), DType::kBf16);
  std::memset(values_.raw(), 0, static_cast<size_t>(values_.size()));
  std::memset(scales_.raw(), 0, 2 * static_cast<size_t>(scales_.size()));
  if (format == WeightFormat::kInt4) {
    zeros_ = Tensor::empty(scales_.shape(), DType::kU8);
    std::memset(zeros_.raw(), 0, static_cast<size_t>(zeros_.size()));
  }
}

void QuantizedMatrixBuilder::set_group(int64_t row, int64_t group, const GroupRounding& rounding) {
  const int64_t at = group_place(groups_, row, group);
  const auto bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(rounding.scale) >> 16);
  std::memcpy(scales_.raw() + 2 * at, &bits, 2);
  if (zeros_.defined()) zeros_.raw()[at] = static_cast<std::byte>(rounding.zero);
}

void QuantizedMatrixBuilder::set(int64_t row, int64_t column, int q) {
  const Place place = place_of(format_, groups_, row, column);
  std::byte& byte = values_.raw()[place.byte];
  if (format_ == WeightFormat::kInt8) {
    byte = static_cast<std::byte>(q);
  } else {
    byte = (byte & static_cast<std::byte>(0xf0 >> place.shift)) |
           static_cast<std::byte>(q << place.shift);
  }
}

QuantizedMatrix QuantizedMatrixBuilder::finish() const {
  return {format_, out_, in_, values_, scales_, zeros_};
}

}  // namespace alambic
