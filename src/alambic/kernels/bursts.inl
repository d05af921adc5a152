// What the probes time: loops that do nothing but arithmetic in registers, or nothing but loads.
// Included after vec.inl.

// Twelve independent chains cover the latency of two fused units; each settles at 2, far from
// subnormals.
float fp32_burst(int64_t rounds) noexcept {
  constexpr int kChains = 12;
  V sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = splat(static_cast<float>(i));
  V half = splat(0.5f), one = splat(1.0f);
  for (int64_t round = 0; round < rounds; ++round) {
    for (V& chain : sum) chain = fma(chain, half, one);
  }
  V total{};
  for (const V& chain : sum) total += chain;
  return total[0];
}
constexpr double kFp32OpsPerRound = 12.0 * kWidth * 2.0;

uint32_t read_burst(const std::byte* bytes, int64_t size) noexcept {
  constexpr int kStreams = 8;
  constexpr int64_t kStep = kStreams * static_cast<int64_t>(sizeof(VU));
  VU seen[kStreams] = {};
  for (int64_t at = 0; at + kStep <= size; at += kStep) {
    const float* p = reinterpret_cast<const float*>(bytes + at);
    for (int i = 0; i < kStreams; ++i) seen[i] ^= reinterpret_cast<VU>(load(p + i * kWidth));
  }
  for (int i = 1; i < kStreams; ++i) seen[0] ^= seen[i];
  uint32_t all = 0;
  for (int lane = 0; lane < kWidth; ++lane) all ^= seen[0][lane];
  return all;
}
