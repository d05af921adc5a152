// Finds out, with a few very short questions, what an endpoint can give: which route, which names
// of fields it takes, how many alternatives, whether it scores a given text.
//
// Thread safety: one thread. Errors: kInvalidArgument where it cannot give what is wanted, saying
// what it can; kIo where it does not answer, or not in the words of the API.
#pragma once

#include "alambic/distill/endpoint_protocol.h"

namespace alambic {

struct EndpointNeeds {
  bool texts = true;    // that it writes
  bool scores = false;  // of given texts
  // What to change where it does not score.
  std::string instead = "signals.texts = \"teacher\", or signals.kind = \"text\"";
};

// `spent` grows by what the questions cost.
EndpointProfile probe_endpoint(HttpClient& client, const EndpointOptions& options,
                               const EndpointNeeds& needs, Spending& spent);

// Adds one answer to what was spent. Where the endpoint does not report usage, `prompt` and
// `completion` are taken.
void add_spending(const EndpointOptions& options, const EndpointReply& reply, int64_t prompt,
                  int64_t completion, Spending& spent);

}  // namespace alambic
