// Any bytes as the blobs of a signal store, and as the store's file.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/data/signal_codec.h"
#include "alambic/data/signal_store.h"

namespace {

void decode(std::string_view bytes, alambic::SignalKind kind) {
  alambic::SignalHeader header;
  header.kind = kind;
  header.draws_or_k = kind == alambic::SignalKind::kText ? 0 : 12;
  header.vocab_size = 1000;
  try {
    const auto signals = alambic::decode_signals(bytes, header, "fuzz");
    // What decodes must be legal, hence encode again.
    alambic::encode_signals(signals, header);
  } catch (const alambic::Error& error) {
    ALAMBIC_CHECK(error.code() == alambic::ErrorCode::kCorruptData);
  }
  try {
    alambic::decode_tokens(bytes, header, "fuzz");
  } catch (const alambic::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  decode(bytes, alambic::SignalKind::kDraws);
  decode(bytes, alambic::SignalKind::kTopK);
  decode(bytes, alambic::SignalKind::kText);
  if (!bytes.starts_with("SQLite")) return 0;
  static const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("alambic_fuzz_{}.sqlite", ::getpid()))
          .string();
  try {
    alambic::write_file_atomic(path, bytes);
    const auto store = alambic::SignalStore::open(path);
    store.bytes_per_token();
    store.for_each([](const alambic::SignalRow&) {});
  } catch (const alambic::Error&) {
  }
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) ::unlink((path + suffix).c_str());
  return 0;
}
