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

// For each id, whether a text can hold it: a token stands for it, and it is not MASK.
std::vector<bool> writable_tokens(const Tokenizer& tokenizer);
// What a signal says of tokens that the student has: the others, MASK among them, are no
// alternatives for it, as in memory. Empty where nothing is left.
void keep_tokens(TokenSignal& signal, const std::vector<bool>& has_token);

}  // namespace alambic
