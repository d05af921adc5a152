// Any bytes as JSON lines of examples, and as an exported signal row.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/data/readers.h"
#include "alambic/data/signal.h"
#include "alambic/data/signal_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    alambic::parse_jsonl(text, "fuzz");
  } catch (const alambic::Error&) {
  }
  alambic::SignalHeader header;
  header.kind = alambic::SignalKind::kDraws;
  header.draws_or_k = 12;
  header.vocab_size = 1000;
  for (const std::string_view line : alambic::split_lines(text)) {
    try {
      const alambic::Json value = alambic::parse_json(line, "fuzz");
      if (value.is_object() && value.contains("alambic_signals")) {
        header = alambic::signal_header_from_json(value, "fuzz");
      } else {
        const auto row = alambic::signal_row_from_json(value, header, "fuzz");
        alambic::encode_tokens(row.tokens, header);
        alambic::encode_signals(row.signals, header);
      }
    } catch (const alambic::Error&) {
    }
  }
  return 0;
}
