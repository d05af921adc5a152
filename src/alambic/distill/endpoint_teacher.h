// A teacher behind an OpenAI-compatible endpoint: asked over HTTP, many questions at once, paid by
// the token.
//
// Conversations are asked turn by turn over the chat route. Of a closed set of labels the endpoint
// is told; rows then hold the label that an answer means (labels.h). Answers that are empty, cut
// off, filtered, tool calls, reasoning alone or outside the labels are no rows: they are handed on
// as such, and not asked again. An endpoint that reports far fewer prompt tokens than were sent is
// named.
//
// Rows are handed on as answers come, so a run that is killed asks nothing twice that was stored.
// Calls are spaced by the limits of the options; an answer that is late, broken or refused for now
// is asked for again, with growing pauses. A cap in tokens or money is never crossed by more than
// an answer's own error of estimate: no question is asked whose longest answer would not fit under
// it. When a cap, an error or Ctrl-C ends the gathering, answers on their way are waited for and
// stored first. Probabilities are kept only where tokens agree byte for byte (byte_match.h).
//
// Errors (after what was answered is stored): kResourceExhausted at a cap, kInterrupted,
// kInvalidArgument where the endpoint cannot give what is wanted, kIo where it does not answer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "alambic/decode/encoding.h"
#include "alambic/distill/byte_match.h"
#include "alambic/distill/endpoint_probe.h"
#include "alambic/distill/teacher.h"

namespace alambic {

class EndpointTeacher final : public Teacher {
 public:
  // `tokenizer` and `card` are the student's: rows hold its tokens.
  EndpointTeacher(EndpointOptions options, const Tokenizer& tokenizer, const ModelCard& card);

  // As far as the options go, until annotate() has asked the endpoint.
  Capabilities capabilities() const override;
  std::string id() const override;
  void annotate(std::span<const SignalRequest> requests, SignalSink& sink) override;

 private:
  friend class Gathering;

  EndpointOptions options_;
  ByteVocabulary vocabulary_;
  Encoder encoder_;
  std::optional<EndpointProfile> profile_;
};

// Fills in where answers come from and what they depend on: endpoint, sampling and time.
void describe_endpoint(const EndpointOptions& options, SignalHeader& header);
// The key in this environment variable, "" where no variable is named. kInvalidArgument where the
// environment does not have it.
std::string endpoint_key(const std::string& variable);

}  // namespace alambic
