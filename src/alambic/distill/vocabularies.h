// Whether two tokenizers speak of the same tokens, and which rows of a head no token stands for.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "alambic/data/signal.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

// The first token in which a student's tokenizer differs from its teacher's, in words: its id and
// both texts, or where both cut or begin a text differently; "" where what one writes the other
// reads alike. Special tokens that only one of them has do no harm at ids that the other does not
// use.
std::string first_token_difference(const Tokenizer& teacher, const Tokenizer& student);

// The first token of a stored answer that this tokenizer does not spell as the row's text goes on,
// in words; "" where there is none.
std::string first_token_difference(const SignalRow& row, const Tokenizer& tokenizer);

// Ids below `rows` that stand for no token: padding of a head, and holes in a vocabulary.
std::vector<TokenId> rows_without_token(const Tokenizer& tokenizer, int rows);

}  // namespace alambic
