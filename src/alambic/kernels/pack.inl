// Packing for gemm.inl: A in panels of kMr rows, B in panels of kNr columns, k outermost, zero
// padded. For Precision::kBf16 every operand is rounded to bf16 here; B's panels then hold bf16,
// half the bytes to read, and A's hold the rounded numbers in fp32, ready to multiply. The product
// of two bf16 numbers is exact in fp32.

// What a panel of B is made of.
template <Precision kind>
using PanelItem = std::conditional_t<kind == Precision::kFp32, float, uint16_t>;

struct FromFloat {
  using Item = float;
  static V4 four(const float* p) { return *reinterpret_cast<const LooseV4*>(p); }
  static float one(const float* p) { return *p; }
};

struct FromBf16 {
  using Item = uint16_t;
  static V4 four(const uint16_t* p) {
    const LooseH4 part = *reinterpret_cast<const LooseH4*>(p);
    return reinterpret_cast<V4>(__builtin_convertvector(part, VU4) << 16);
  }
  static float one(const uint16_t* p) {
    const uint32_t word = static_cast<uint32_t>(*p) << 16;
    float value;
    __builtin_memcpy(&value, &word, sizeof value);
    return value;
  }
};

template <Precision kind>
inline V4 rounded(V4 v) {
  if constexpr (kind == Precision::kFp32) return v;
  return reinterpret_cast<V4>(round_to_bf16<VU4>(v));
}

template <Precision kind>
inline float rounded(float x) {
  return rounded<kind>(V4{x, x, x, x})[0];
}

// Transposes 4 of k of Wide <= 4 rows, of which the first `count` exist, into a panel of L.
template <int L, int Wide, Precision kind, class Source>
inline void pack_4x4(const typename Source::Item* in, int64_t across, int count, float* out) {
  V4 block[4] = {};
  if (count >= Wide) {
    for (int i = 0; i < Wide; ++i) block[i] = rounded<kind>(Source::four(in + i * across));
  } else {
    for (int i = 0; i < count; ++i) block[i] = rounded<kind>(Source::four(in + i * across));
  }
  transpose_4x4(block);
  for (int i = 0; i < 4; ++i) __builtin_memcpy(out + i * L, &block[i], sizeof(float) * Wide);
}

// One panel: out[p * L + i] = in[i * across + p * along] for i < count; zero for count <= i < L.
template <int L, Precision kind, class Source>
inline void pack_panel(const typename Source::Item* in, int64_t across, int64_t along, int count,
                       int k, float* out) {
  if (count == L && across == 1) {
    for (int p = 0; p < k; ++p, in += along, out += L) {
      for (int i = 0; i + 4 <= L; i += 4) {
        *reinterpret_cast<LooseV4*>(out + i) = rounded<kind>(Source::four(in + i));
      }
      for (int i = L / 4 * 4; i < L; ++i) out[i] = rounded<kind>(Source::one(in + i));
    }
    return;
  }
  int p0 = 0;
  if (along == 1) {
    for (; p0 + 4 <= k; p0 += 4) {
      float* to = out + int64_t{p0} * L;
      for (int i0 = 0; i0 < L / 4 * 4; i0 += 4) {
        pack_4x4<L, 4, kind, Source>(in + i0 * across + p0, across, count - i0, to + i0);
      }
      constexpr int kRest = L % 4;
      if constexpr (kRest != 0) {
        constexpr int kFirst = L - kRest;
        pack_4x4<L, kRest, kind, Source>(in + kFirst * across + p0, across, count - kFirst,
                                         to + kFirst);
      }
    }
  }
  for (int p = p0; p < k; ++p) {
    for (int i = 0; i < L; ++i) {
      out[int64_t{p} * L + i] =
          i < count ? rounded<kind>(Source::one(in + i * across + p * along)) : 0.0f;
    }
  }
}

template <int L, Precision kind, class Source>
inline void pack_panels(const void* data, int64_t across, int64_t along, int count, int k,
                        std::byte* panels) {
  const auto* in = static_cast<const typename Source::Item*>(data);
  float* out = reinterpret_cast<float*>(panels);
  for (int64_t i = 0; i < count; i += L) {
    const int some = count - i < L ? static_cast<int>(count - i) : L;
    pack_panel<L, kind, Source>(in + i * across, across, along, some, k, out + i * k);
  }
}

template <int L, Precision kind>
inline void pack(const Matrix& in, int64_t across, int64_t along, int count, int k,
                 std::byte* panels) {
  if (in.element == Element::kF32) {
    pack_panels<L, kind, FromFloat>(in.data, across, along, count, k, panels);
  } else {
    // bf16 needs no rounding to bf16.
    pack_panels<L, Precision::kFp32, FromBf16>(in.data, across, along, count, k, panels);
  }
}

// Panels of B in bf16, by way of a piece in fp32 that stays in the first-level cache.
template <class Source>
inline void pack_panels_in_bf16(const Matrix& b, int n, int k, std::byte* panels) {
  constexpr int kPiece = 64;
  alignas(64) float piece[kPiece * kNr];
  const auto* in = static_cast<const typename Source::Item*>(b.data);
  auto* out = reinterpret_cast<uint16_t*>(panels);
  for (int64_t j = 0; j < n; j += kNr) {
    const int some = n - j < kNr ? static_cast<int>(n - j) : kNr;
    for (int64_t p = 0; p < k; p += kPiece) {
      const int depth = k - p < kPiece ? static_cast<int>(k - p) : kPiece;
      pack_panel<kNr, Precision::kFp32, Source>(in + j * b.col_stride + p * b.row_stride,
                                                b.col_stride, b.row_stride, some, depth, piece);
      to_bf16(piece, int64_t{depth} * kNr, out);
      out += int64_t{depth} * kNr;
    }
  }
}

size_t panel_bytes_a(int k) noexcept { return sizeof(float) * kMr * static_cast<size_t>(k); }
template <Precision kind>
size_t panel_bytes_b(int k) noexcept {
  return sizeof(PanelItem<kind>) * kNr * static_cast<size_t>(k);
}

template <Precision kind>
void pack_a(const Matrix& a, int m, int k, std::byte* panels) noexcept {
  pack<kMr, kind>(a, a.row_stride, a.col_stride, m, k, panels);
}

template <Precision kind>
void pack_b(const Matrix& b, int k, int n, std::byte* panels) noexcept {
  if constexpr (kind == Precision::kFp32) {
    pack<kNr, kind>(b, b.col_stride, b.row_stride, n, k, panels);
  } else if (b.element == Element::kF32) {
    pack_panels_in_bf16<FromFloat>(b, n, k, panels);
  } else {
    pack_panels_in_bf16<FromBf16>(b, n, k, panels);
  }
}

template <Precision kind>
Gemm gemm() {
  return {kMr,
          kNr,
          panel_bytes_a,
          panel_bytes_b<kind>,
          pack_a<kind>,
          pack_b<kind>,
          multiply<PanelItem<kind>>};
}

// Every entry of a table from this region's code.
KernelTable region_table(Isa isa) {
  return {isa,
          {gemm<Precision::kFp32>(), gemm<Precision::kBf16>()},
          matmul_small<float>,
          matmul_small<uint16_t>,
          quantize_rows,
          {multiply_quantized<WeightFormat::kInt8>, multiply_quantized<WeightFormat::kInt4>},
          transpose,
          rms_norm,
          rms_norm_backward,
          layer_norm,
          layer_norm_backward,
          activate,
          activate_backward,
          silu_mul,
          silu_mul_backward,
          rope,
          add,
          axpy,
          scale,
          dot,
          sum_squares,
          max,
          argmax,
          exp_sum,
          softmax_backward,
          to_bf16,
          from_bf16,
          adamw};
}
