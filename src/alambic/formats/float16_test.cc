#include "alambic/formats/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace alambic {
namespace {

// The value of a half by its definition, in double.
double half_value(uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f, fraction = bits & 0x3ff;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(Float16, EveryFiniteHalfWidensToItsDefinition) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00) continue;
    ASSERT_EQ(f16_to_float(half), half_value(half)) << bits;
    ASSERT_EQ(std::signbit(f16_to_float(half)), (half & 0x8000) != 0) << bits;
  }
}

TEST(Float16, EveryHalfAndEveryMidpointNarrowsToNearestEven) {
  for (uint16_t half = 0; half < 0x7bff; ++half) {
    const auto next = static_cast<uint16_t>(half + 1);
    const double exact = half_value(half), middle = (exact + half_value(next)) / 2;
    const auto tie = static_cast<float>(middle);  // 12 significant bits: exact
    ASSERT_EQ(float_to_f16(static_cast<float>(exact)), half);
    ASSERT_EQ(float_to_f16(tie), (half & 1) == 0 ? half : next) << half;
    ASSERT_EQ(float_to_f16(std::nextafter(tie, 0.0F)), half) << half;
    ASSERT_EQ(float_to_f16(std::nextafter(tie, 1e9F)), next) << half;
    ASSERT_EQ(float_to_f16(-tie), 0x8000 | ((half & 1) == 0 ? half : next)) << half;
  }
}

TEST(Float16, RangeEndsBecomeInfinityAndNanStaysNan) {
  EXPECT_EQ(float_to_f16(65519.0F), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0F), 0x7c00);
  EXPECT_EQ(float_to_f16(-1e30F), 0xfc00);
  EXPECT_TRUE(std::isinf(f16_to_float(0x7c00)));
  EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(Bfloat16, TiesGoToEvenAndNanStaysNan) {
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const auto brain = static_cast<uint16_t>(bits);
    const float tie = std::bit_cast<float>((bits << 16) | 0x8000U);
    ASSERT_EQ(float_to_bf16(bf16_to_float(brain)), brain);
    ASSERT_EQ(float_to_bf16(tie), brain + (brain & 1)) << bits;
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>((bits << 16) | 0x7fffU)), brain) << bits;
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>((bits << 16) | 0x8001U)), brain + 1) << bits;
  }
  // A NaN whose payload sits in the dropped bits must not become infinity.
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::bit_cast<float>(0x7f800001U)))));
}

}  // namespace
}  // namespace alambic
