// How a product reads a row of B and meets C, for B in fp32 and in bf16. A unit is what one load of
// B brings: kVectors vectors of floats, for kUnit neighbouring columns.

template <class Item>
struct Columns;

template <>
struct Columns<float> {
  static constexpr int kVectors = 1;
  static constexpr int kUnit = kWidth;
  using Mask = Tail;

  template <class M>
  static void load_b(const float* b, V (&right)[1], M mask) {
    right[0] = load(b, mask);
  }
  template <class M>
  static void load_c(const float* c, V* sum, M mask) {
    sum[0] = load(c, mask);
  }
  template <class M>
  static void store_c(float* c, const V* sum, M mask) {
    store(c, sum[0], mask);
  }
};

// A word of two bf16 becomes two floats with one shift and one mask, cheaper than widening
// neighbours in order. So one vector has the even columns, one the odd, and C is put in order when
// it is loaded and stored, once a product.
template <>
struct Columns<uint16_t> {
  static constexpr int kVectors = 2;
  static constexpr int kUnit = 2 * kWidth;
  struct Mask {
    explicit Mask(int n)
        : low(n < kWidth ? n : kWidth),
          high(n < kWidth ? 0 : n - kWidth),
          words(n / 2),
          last(n - 1) {}
    Tail low, high, words;
    int last;
  };

  template <class M>
  static void load_b(const uint16_t* b, V (&right)[2], M mask) {
    const VU words = load_words(b, mask);
    right[0] = reinterpret_cast<V>(words << 16);
    right[1] = reinterpret_cast<V>(words & 0xffff0000u);
  }
  static void load_c(const float* c, V* sum, Full) { split(load(c), load(c + kWidth), sum); }
  static void load_c(const float* c, V* sum, const Mask& mask) {
    split(load(c, mask.low), load(c + kWidth, mask.high), sum);
  }
  static void store_c(float* c, const V* sum, Full) {
    store(c, joined<0>(sum));
    store(c + kWidth, joined<kWidth / 2>(sum));
  }
  static void store_c(float* c, const V* sum, const Mask& mask) {
    store(c, joined<0>(sum), mask.low);
    store(c + kWidth, joined<kWidth / 2>(sum), mask.high);
  }

 private:
  static VU load_words(const uint16_t* b, Full) { return *reinterpret_cast<const LooseVU*>(b); }
  // An odd last column has only half a word, which must not be read whole. Its value also fills the
  // lanes behind it: nobody looks at them.
  static VU load_words(const uint16_t* b, const Mask& mask) {
    const V rest = reinterpret_cast<V>(VU{} + uint32_t{b[mask.last]});
    return reinterpret_cast<VU>(keep(load_pairs(b, mask.words), rest, mask.words));
  }

  using Lanes = std::make_integer_sequence<uint32_t, kWidth>;
  template <uint32_t... kLane>
  static VU every_second(uint32_t first, std::integer_sequence<uint32_t, kLane...>) {
    return VU{2 * kLane...} + first;
  }
  template <uint32_t... kLane>
  static VU alternating(uint32_t first, std::integer_sequence<uint32_t, kLane...>) {
    return VU{kLane / 2 + kLane % 2 * kWidth...} + first;
  }
  static void split(V low, V high, V* sum) {
    sum[0] = __builtin_shuffle(low, high, every_second(0, Lanes{}));
    sum[1] = __builtin_shuffle(low, high, every_second(1, Lanes{}));
  }
  // kWidth columns from lane `kFrom` of both vectors on.
  template <uint32_t kFrom>
  static V joined(const V* sum) {
    return __builtin_shuffle(sum[0], sum[1], alternating(kFrom, Lanes{}));
  }
};
