// How far drafts got, summed over texts: the acceptance by distance that speculative decoding lives
// on. Ownership: plain values. Thread safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/decode/decode.h"

namespace alambic {

void add_drafts(std::vector<DraftCount>& sum, const std::vector<DraftCount>& drafts);

// Shares accepted, up to the last distance that was judged.
std::vector<double> acceptance_of(const std::vector<DraftCount>& drafts);

// [{"distance": 1, "judged": …, "accepted": …, "share": …}, …]; distances never judged are left
// out.
OrderedJson drafts_json(const std::vector<DraftCount>& drafts);

// "0.92 0.87 0.71", from distance 1 on; "" where none was judged.
std::string drafts_in_words(const std::vector<DraftCount>& drafts);

}  // namespace alambic
