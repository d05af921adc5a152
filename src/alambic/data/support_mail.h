// The embedded data set: customer-support e-mails in English and French, made up from a seed.
//
// A prompt is an e-mail of 3 to 60 words, as people write them: with a greeting, a purchase
// (product, order number, date), a problem and how urgent it is, or with some of these alone, down
// to "my kettle leaks"; some hold a second request, a sentence that leads astray (another product,
// order or date) or a quoted older message, and many are typed in a hurry: slips of the keyboard,
// no capitals, no full stops, no accents. Its completion is a line of JSON
//   {"language":"en","category":"refund","also":null,"urgency":"high","product":"kettle",
//    "order":"K4821","date":"3 March"}
// (here broken to fit) and on the next line a reply in the language of the mail,
//   Dear Claire Dupont, we will refund order K4821 today.
// Both follow from the mail:
// - category is that of its first request, also that of the second, null where there is one alone;
// - urgency is "normal" where the mail says nothing of it;
// - categories, urgencies and products are the same English words for both languages, however the
//   mail calls or spells a product; order, date and name are copied as they are written;
// - product, order and date are null where the mail does not say them, and those of an aside or of
//   a quoted message do not count. A reply without an order number asks for it.
//
// Per language there are 24 wordings of each of 7 problems (and 4 defects of each of 28 products),
// 36 of a purchase, 12 of each of 3 urgencies, 16 asides, greetings and closings. The last quarter
// of each table, and of the family names, occurs in test mails alone: support_mail_phrases.h.
//
// Thread safety: pure functions. The same arguments give the same mails on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/split.h"

namespace alambic {

// Mails of all kinds. No two prompts are equal, capitals, accents, punctuation and line breaks
// aside. kInvalidArgument unless count is 0 to 10,000,000.
std::vector<Example> support_mails(int count, uint64_t seed);

// Parts with no prompt in common, in the same sense; training and validation hold no wording that
// is kept for test. The first mails of a part are the same, however many it holds.
Splits support_mail_splits(int train, int validation, int test, uint64_t seed);

}  // namespace alambic
