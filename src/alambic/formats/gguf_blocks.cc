#include "alambic/formats/gguf_blocks.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "alambic/base/error.h"
#include "alambic/base/thread_pool.h"
#include "alambic/formats/float16.h"

namespace alambic {
namespace {

constexpr int kSmall = 32, kLarge = 256;  // numbers in a block

uint16_t bits_at(const uint8_t* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

float half_at(const uint8_t* at) { return f16_to_float(bits_at(at)); }

void put_half(uint8_t* at, float value) {
  const uint16_t bits = float_to_f16(value);
  std::memcpy(at, &bits, sizeof bits);
}

void read_f32(const uint8_t* block, float* out) { std::memcpy(out, block, sizeof *out); }
void read_f16(const uint8_t* block, float* out) { *out = half_at(block); }
void read_bf16(const uint8_t* block, float* out) { *out = bf16_to_float(bits_at(block)); }

void read_q8_0(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < kSmall; ++i)
    out[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

// The low half of a block lies in the low four bits of its bytes, the high half in the high four.
int nibble(const uint8_t* values, int i) {
  return i < kSmall / 2 ? values[i] & 15 : values[i - kSmall / 2] >> 4;
}

void read_q4_0(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < kSmall; ++i) out[i] = scale * static_cast<float>(nibble(block + 2, i) - 8);
}

void read_q4_1(const uint8_t* block, float* out) {
  const float scale = half_at(block), least = half_at(block + 2);
  for (int i = 0; i < kSmall; ++i)
    out[i] = scale * static_cast<float>(nibble(block + 4, i)) + least;
}

// The fifth bits of a block's numbers are a word of their own, in front of the other four.
int five_bits(const uint8_t* fifths, int i) {
  return nibble(fifths + 4, i) | (((fifths[i / 8] >> (i % 8)) & 1) << 4);
}

void read_q5_0(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < kSmall; ++i)
    out[i] = scale * static_cast<float>(five_bits(block + 2, i) - 16);
}

void read_q5_1(const uint8_t* block, float* out) {
  const float scale = half_at(block), least = half_at(block + 2);
  for (int i = 0; i < kSmall; ++i)
    out[i] = scale * static_cast<float>(five_bits(block + 4, i)) + least;
}

// Eight scales and eight minima of six bits in twelve bytes: the first four of each lie in the low
// bits of bytes 0 to 7; of the last four, the low bits share bytes 8 to 11 and the high ones fill
// what is left of bytes 0 to 7.
struct GroupScale {
  int scale, least;
};
GroupScale group_scale(const uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  const uint8_t low = packed[group + 4];
  return {(low & 15) | ((packed[group - 4] >> 6) << 4), (low >> 4) | ((packed[group] >> 6) << 4)};
}

// Groups of 32. Two groups share the bytes of their four low bits; `fifths`, if any, holds the
// fifth bits of all groups of a column in one byte.
void read_scaled_groups(const uint8_t* block, const uint8_t* fifths, const uint8_t* fours,
                        float* out) {
  const float scale = half_at(block), least_scale = half_at(block + 2);
  for (int group = 0; group < kLarge / kSmall; ++group) {
    const GroupScale own = group_scale(block + 4, group);
    const float step = scale * static_cast<float>(own.scale),
                least = least_scale * static_cast<float>(own.least);
    const uint8_t* bytes = fours + group / 2 * kSmall;
    for (int i = 0; i < kSmall; ++i) {
      int q = group % 2 == 0 ? bytes[i] & 15 : bytes[i] >> 4;
      if (fifths != nullptr) q |= ((fifths[i] >> group) & 1) << 4;
      out[group * kSmall + i] = step * static_cast<float>(q) - least;
    }
  }
}

void read_q4_k(const uint8_t* block, float* out) {
  read_scaled_groups(block, nullptr, block + 16, out);
}

void read_q5_k(const uint8_t* block, float* out) {
  read_scaled_groups(block, block + 16, block + 48, out);
}

// Groups of 16. The low four bits of numbers 64 apart share a byte within each half of the block,
// and so do the high two bits of numbers 32 apart.
void read_q6_k(const uint8_t* block, float* out) {
  const uint8_t *low = block, *high = block + 128, *scales = block + 192;
  const float scale = half_at(block + 208);
  for (int i = 0; i < kLarge; ++i) {
    const int half = i / 128, at = i % 128;
    const uint8_t fours = low[half * 64 + at % 64], twos = high[half * 32 + at % 32];
    const int q = (at < 64 ? fours & 15 : fours >> 4) | (((twos >> (at / 32 * 2)) & 3) << 4);
    const float step = scale * static_cast<float>(static_cast<int8_t>(scales[i / 16]));
    out[i] = step * static_cast<float>(q - 32);
  }
}

using ReadBlock = void (*)(const uint8_t*, float*);

ReadBlock reader_of(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return read_f32;
    case GgmlType::kF16:
      return read_f16;
    case GgmlType::kBf16:
      return read_bf16;
    case GgmlType::kQ8_0:
      return read_q8_0;
    case GgmlType::kQ4_0:
      return read_q4_0;
    case GgmlType::kQ4_1:
      return read_q4_1;
    case GgmlType::kQ5_0:
      return read_q5_0;
    case GgmlType::kQ5_1:
      return read_q5_1;
    case GgmlType::kQ4_K:
      return read_q4_k;
    case GgmlType::kQ5_K:
      return read_q5_k;
    case GgmlType::kQ6_K:
      return read_q6_k;
  }
  return nullptr;
}

// Scales so small that their reciprocal overflows round everything to zero.
float reciprocal(float scale) {
  const float inverse = 1 / scale;
  return std::isfinite(inverse) ? inverse : 0;
}

void write_f32(const float* values, uint8_t* block) { std::memcpy(block, values, sizeof *values); }
void write_f16(const float* values, uint8_t* block) { put_half(block, *values); }
void write_bf16(const float* values, uint8_t* block) {
  const uint16_t bits = float_to_bf16(*values);
  std::memcpy(block, &bits, sizeof bits);
}

void write_q8_0(const float* values, uint8_t* block) {
  float largest = 0;
  for (int i = 0; i < kSmall; ++i) largest = std::max(largest, std::abs(values[i]));
  const float scale = largest / 127, inverse = reciprocal(scale);
  put_half(block, scale);
  for (int i = 0; i < kSmall; ++i)
    block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(values[i] * inverse)));
}

// The number farthest from zero becomes -8, so one side of zero has one step more than the other.
void write_q4_0(const float* values, uint8_t* block) {
  const float farthest = *std::max_element(
      values, values + kSmall, [](float a, float b) { return std::abs(a) < std::abs(b); });
  const float scale = farthest / -8, inverse = reciprocal(scale);
  put_half(block, scale);
  const auto rounded = [&](int i) {
    return std::min(15, static_cast<int>(values[i] * inverse + 8.5F));
  };
  for (int i = 0; i < kSmall / 2; ++i)
    block[2 + i] = static_cast<uint8_t>(rounded(i) | (rounded(i + kSmall / 2) << 4));
}

struct Writing {
  void (*write)(const float*, uint8_t*);
  float largest;  // number that the type holds
};

Writing writing_of(GgmlType type) {
  constexpr float kLargestHalf = 65504;
  switch (type) {
    case GgmlType::kF32:
      return {write_f32, FLT_MAX};
    case GgmlType::kF16:
      return {write_f16, kLargestHalf};
    case GgmlType::kBf16:
      return {write_bf16, 0x1.fep127F};
    case GgmlType::kQ8_0:
      return {write_q8_0, 127 * kLargestHalf};
    case GgmlType::kQ4_0:
      return {write_q4_0, 8 * kLargestHalf};
    default:
      return {nullptr, 0};
  }
}

// In portions of about this many numbers, whatever the thread count.
constexpr size_t kPortion = 1 << 16;

template <class Work>
void for_each_portion(size_t blocks, size_t elements, const Work& work) {
  const size_t portion = std::max<size_t>(1, kPortion / elements);
  parallel_for(static_cast<int64_t>((blocks + portion - 1) / portion), [&](int64_t task) {
    const size_t first = static_cast<size_t>(task) * portion;
    for (size_t b = first; b < std::min(blocks, first + portion); ++b) work(b);
  });
}

}  // namespace

void from_ggml(GgmlType type, std::span<const std::byte> blocks, std::span<float> out) {
  const GgmlBlock block = ggml_block(type);
  const ReadBlock read = reader_of(type);
  ALAMBIC_CHECK(read != nullptr && block.elements > 0);
  const auto elements = static_cast<size_t>(block.elements),
             bytes = static_cast<size_t>(block.bytes);
  const size_t count = out.size() / elements;
  ALAMBIC_CHECK(count * elements == out.size() && count * bytes == blocks.size());
  const auto* from = reinterpret_cast<const uint8_t*>(blocks.data());
  for_each_portion(count, elements,
                   [&](size_t b) { read(from + b * bytes, out.data() + b * elements); });
}

std::vector<std::byte> to_ggml(GgmlType type, std::span<const float> values,
                               std::string_view where) {
  const GgmlBlock block = ggml_block(type);
  const Writing writing = writing_of(type);
  ALAMBIC_CHECK(writing.write != nullptr);
  const auto beyond = std::find_if(values.begin(), values.end(),
                                   [&](float v) { return !(std::abs(v) <= writing.largest); });
  if (beyond != values.end()) {
    fail(ErrorCode::kUnsupported, "[{}] holds {}; {} holds numbers up to {}", where, *beyond,
         ggml_type_name(type), writing.largest);
  }
  const auto elements = static_cast<size_t>(block.elements),
             bytes = static_cast<size_t>(block.bytes);
  const size_t count = values.size() / elements;
  ALAMBIC_CHECK(count * elements == values.size());
  std::vector<std::byte> out(count * bytes);
  auto* to = reinterpret_cast<uint8_t*>(out.data());
  for_each_portion(count, elements,
                   [&](size_t b) { writing.write(values.data() + b * elements, to + b * bytes); });
  return out;
}

}  // namespace alambic
