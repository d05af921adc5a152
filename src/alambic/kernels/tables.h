// The makers of the tables, one per ISA. Private to this room: everybody else asks kernels(). They
// may run code of their ISA, so ask the CPU first (dispatch.cc).
//
// Ownership: tables are values. Thread safety: pure functions, except that request_amx() changes
// the process.
#pragma once

#include "alambic/kernels/table.h"

namespace alambic::kernels {

KernelTable scalar_table();
KernelTable avx2_table();
KernelTable avx512_table();
KernelTable amx_table();
// Gives an AVX-512 table the quantised products of CPUs with VNNI.
void use_vnni(KernelTable& table);

// A loop for probe.cc to time; the result of `run` only keeps the loop alive.
struct Burst {
  float (*run)(int64_t rounds) noexcept;
  double ops_per_round;
};
struct Bursts {
  Burst fp32, product, int8;
  uint32_t (*read)(const std::byte* bytes, int64_t size) noexcept;
};

Bursts scalar_bursts();
Bursts avx2_bursts();
Bursts avx512_bursts();
Bursts amx_bursts();

// Asks the kernel for the tile state, once per process, and says whether this thread may use it.
bool request_amx();

}  // namespace alambic::kernels
