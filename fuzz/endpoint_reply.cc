// Any bytes as what an endpoint answers: replies of both routes, their tokens laid beside a
// vocabulary, errors and lists of models.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "alambic/base/error.h"
#include "alambic/data/signal_codec.h"
#include "alambic/distill/byte_match.h"
#include "alambic/distill/endpoint_protocol.h"
#include "alambic/text/train_bpe.h"

namespace {

const alambic::ByteVocabulary& vocabulary() {
  static const alambic::ByteVocabulary value = [] {
    alambic::BpeTrainOptions options;
    options.vocab_size = 300;
    options.special_tokens = {"<|endoftext|>"};
    const std::vector<std::string> texts{"the answer is the answer to the question"};
    return alambic::ByteVocabulary(alambic::train_bpe(texts, options));
  }();
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  alambic::parse_endpoint_fault(body);
  try {
    alambic::parse_model_names(body, "fuzz");
  } catch (const alambic::Error&) {
  }
  for (const auto api : {alambic::EndpointApi::kChat, alambic::EndpointApi::kCompletions}) {
    alambic::HttpAnswer answer;
    answer.status = 200;
    answer.body = body;
    const alambic::Verdict verdict = alambic::judge(api, answer, "fuzz");
    if (verdict.outcome != alambic::Outcome::kGood) continue;
    const std::string& text = verdict.reply.text;
    const alambic::MatchedAnswer matched =
        alambic::match_answer(vocabulary(), text, text, verdict.reply.tokens, 5);
    alambic::SignalHeader header;
    header.kind = alambic::SignalKind::kTopK;
    header.draws_or_k = 5;
    header.vocab_size = vocabulary().tokenizer().vocab_size();
    alambic::encode_signals(matched.signals, header);  // what is kept can be stored
  }
  return 0;
}
