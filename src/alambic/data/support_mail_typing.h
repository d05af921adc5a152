// How people type: slips of the fingers, and mails without capitals, full stops or accents.
//
// Thread safety: pure functions. Texts are UTF-8; nothing but letters, accents and the marks named
// here changes.
#pragma once

#include <string>
#include <string_view>

#include "alambic/base/rng.h"

namespace alambic {

// `text` with one slip in a word of at least four letters, if there is one: two neighbouring
// letters change places, one is doubled, one is left out, the key beside it is hit, or an
// apostrophe is left out. Keys lie as on a French keyboard where `azerty`. What stands in braces
// stays, and so does the first letter of a word.
std::string with_slip(std::string_view text, bool azerty, Rng& rng);

// Small letters alone, those of Latin-1 with accents included.
std::string without_capitals(std::string_view text);
// "é" as "e", "ç" as "c", "œ" as "oe" and so on.
std::string without_accents(std::string_view text);
// Without the full stops, commas and exclamation and question marks that end a word.
std::string without_punctuation(std::string_view text);

}  // namespace alambic
