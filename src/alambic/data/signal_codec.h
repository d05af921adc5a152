// The compact byte form of token lists and token signals inside a signal store.
//
// Integers are LEB128 varints. A list of signals is its length, then per token the number of
// distinct ids m, then m ids in ascending order as differences to the one before. Draws: each
// difference is shifted left by one, the low bit saying that a count above one follows: about 24 to
// 36 bytes for 12 draws. Top-k: each difference is followed by 16 bits of -log p in steps of 1/2048
// nat (p to 2.5e-4 relative, down to e^-32), and the token ends with the tail in the same form;
// reading rescales by the rounding error so that sum + tail = 1 still holds.
//
// Thread safety: pure functions. Encoding throws kInvalidArgument for a signal that its header does
// not allow; decoding trusts nothing: kCorruptData naming `where`, never more memory than the input
// is worth.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/data/signal.h"

namespace alambic {

std::string encode_tokens(std::span<const TokenId> tokens, const SignalHeader& header);
std::vector<TokenId> decode_tokens(std::string_view bytes, const SignalHeader& header,
                                   std::string_view where);

std::string encode_signals(std::span<const TokenSignal> signals, const SignalHeader& header);
std::vector<TokenSignal> decode_signals(std::string_view bytes, const SignalHeader& header,
                                        std::string_view where);

}  // namespace alambic
