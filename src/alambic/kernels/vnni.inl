// The `Dot` of quantized_wide.inl as the instruction; for regions with AVX-512 VNNI.

struct HardwareDot {
  static VS add(VS sum, VU weights, VS values) {
    return reinterpret_cast<VS>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                    reinterpret_cast<__m512i>(weights),
                                                    reinterpret_cast<__m512i>(values)));
  }
};
