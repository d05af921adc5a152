// Counter-based random numbers: draw i of stream k of seed s is a pure function of (s, k, i), so
// results do not depend on threads or on what else drew, and a checkpoint holds two integers.
// Mixing function: the SplitMix64 finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom
// number generators", 2014). Not for cryptography. Thread safety: one object, one thread; fork()
// one per task.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace alambic {

class Rng {
 public:
  explicit Rng(uint64_t seed = 0, uint64_t stream = 0)
      : key_(mix(seed ^ mix(stream + 0x632be59bd9b4e019ULL))) {}

  uint64_t next() { return mix(key_ + ++counter_ * 0x9e3779b97f4a7c15ULL); }
  // Uniform in [0, 1) with 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  // Uniform in [0, n), n > 0, without modulo bias worth the name (n far below 2^32).
  uint64_t below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<__uint128_t>(next()) * n) >> 64);
  }
  // Standard normal (Box-Muller, one of the pair).
  double normal() {
    const double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform());
  }
  // An independent stream named by `tag`; does not advance this one.
  Rng fork(uint64_t tag) const {
    Rng child;
    child.key_ = mix(key_ ^ mix(tag + 0xd1b54a32d192ed03ULL));
    return child;
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  uint64_t key() const { return key_; }
  uint64_t counter() const { return counter_; }
  void restore(uint64_t key, uint64_t counter) { key_ = key, counter_ = counter; }

 private:
  static constexpr uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  uint64_t key_ = 0;
  uint64_t counter_ = 0;
};

}  // namespace alambic
