// Which tables this CPU runs, and the one in use.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include "alambic/base/error.h"
#include "alambic/base/say.h"
#include "alambic/kernels/self_check.h"
#include "alambic/kernels/tables.h"

namespace alambic::kernels {
namespace {

void add_if_it_agrees(const KernelTable& table, std::vector<KernelTable>& tables) {
  const std::string entry = first_disagreement(table, tables.front());
  if (entry.empty()) {
    tables.push_back(table);
  } else {
    say("[kernels] {} is left out: its {} disagrees with the portable code\n", isa_name(table.isa),
        entry);
  }
}

// __builtin_cpu_supports asks the operating system too (XGETBV).
std::vector<KernelTable> find_tables() {
  std::vector<KernelTable> tables{scalar_table()};
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    tables.push_back(avx2_table());
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    add_if_it_agrees(avx512_table(), tables);
  }
  if (tables.back().isa == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("amx-tile") &&
      __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("amx-int8") && request_amx()) {
    add_if_it_agrees(amx_table(), tables);
  }
  return tables;
}

const KernelTable& find(std::string_view name, const char* where) {
  std::string known;
  for (const KernelTable& table : supported_kernels()) {
    if (name == isa_name(table.isa)) return table;
    known += known.empty() ? "" : ", ";
    known += isa_name(table.isa);
  }
  fail(ErrorCode::kInvalidArgument,
       "[{}] unknown or unsupported instruction set; got \"{}\", want one of {}", where, name,
       known);
}

const KernelTable& choose() {
  const char* name = std::getenv("ALAMBIC_ISA");
  if (name == nullptr || *name == '\0') return supported_kernels().back();
  return find(name, "ALAMBIC_ISA");
}

std::atomic<const KernelTable*>& in_use() {
  static std::atomic<const KernelTable*> table{&choose()};
  return table;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAmx:
      return "amx";
  }
  return "unknown";
}

std::span<const KernelTable> supported_kernels() {
  static const std::vector<KernelTable> tables = find_tables();
  return tables;
}

const KernelTable& kernels() { return *in_use().load(std::memory_order_relaxed); }

void use_kernels(Isa isa) {
  in_use().store(&find(isa_name(isa), "use_kernels"), std::memory_order_relaxed);
}

}  // namespace alambic::kernels
