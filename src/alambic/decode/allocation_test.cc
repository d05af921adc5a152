// A step of a running session allocates nothing: counted by the process's own operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "alambic/decode/test_models.h"

namespace {

std::atomic<int64_t> allocations = 0;

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* block = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

// Out of line: where GCC sees through one half of a pair, it takes the pair for a mismatch.
#define ALAMBIC_APART __attribute__((noinline))
ALAMBIC_APART void* operator new(std::size_t size) {
  return counted(size, alignof(std::max_align_t));
}
ALAMBIC_APART void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, alignof(std::max_align_t));
}
ALAMBIC_APART void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
ALAMBIC_APART void operator delete(void* block) noexcept { std::free(block); }
ALAMBIC_APART void operator delete(void* block, std::size_t) noexcept { std::free(block); }
ALAMBIC_APART void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
ALAMBIC_APART void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  std::free(block);
}

namespace alambic {
namespace {

// Allocations between two tokens of one text. The cache, which grows by doubling, does not grow
// there.
int64_t allocations_between(const Transformer& model, Precision precision, double temperature) {
  constexpr int kPrompt = 60, kFirst = 10, kLast = 60;
  Prompt prompt;
  for (int i = 0; i < kPrompt; ++i) prompt.tokens.push_back(i % 30);
  GenerateOptions options;
  options.max_tokens = 70;
  options.temperature = temperature;
  options.precision = precision;
  int64_t tokens = 0, before = 0, after = 0;
  make_decoder(DecodeMode::kAutoregressive, model)->generate(prompt, options, [&](TokenId) {
    ++tokens;
    if (tokens == kFirst) before = allocations;
    if (tokens == kLast) after = allocations;
    return true;
  });
  EXPECT_GE(tokens, kLast);
  return after - before;
}

TEST(Allocation, AStepOfARunningSessionMakesNone) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const auto model = random_model(3, 0, precision);
    EXPECT_EQ(allocations_between(*model, precision, 0), 0);
    EXPECT_EQ(allocations_between(*model, precision, 1), 0);
  }
  const auto model = random_model(3);
  quantize_weights(*model, WeightFormat::kInt8);
  EXPECT_EQ(allocations_between(*model, Precision::kBf16, 0), 0);
}

// Its head has work for several threads.
TEST(Allocation, AStepWithAWideVocabularyMakesNone) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const auto model = random_model(3, 0, precision, 512, 6000);
    EXPECT_EQ(allocations_between(*model, precision, 0), 0);
    EXPECT_EQ(allocations_between(*model, precision, 1), 0);
  }
}

}  // namespace
}  // namespace alambic
