// The embedded data set: customer-support e-mails in English and French, made up from a seed.
//
// A prompt is an e-mail of 15 to 50 words: greeting, purchase (product, order number, date),
// problem, how urgent it is, sometimes a sentence that leads astray (another product, order or
// date), closing, name, sometimes a slip of the keyboard. Its completion is a line of JSON
//   {"language":"en","category":"refund","urgency":"high","product":"kettle",
//    "order":"K4821","date":"3 March"}
// (here broken to fit) and on the next line a reply in the language of the mail,
//   Dear Claire Dupont, we will refund order K4821 today.
// Both follow from the mail. Categories, urgencies and products are the same English words for both
// languages; order and date are copied.
//
// Per language, 8 greetings, 10 purchases, 28 products, 56 problems, 15 ways to say how urgent it
// is, 11 asides, 8 closings and 3 orders of sentences combine to 4.7 * 10^8 different mails. With
// 1,280 names, 621,000 order numbers and 366 (French) or 732 (English) dates, both languages have
// 4.1 * 10^20, before the numbers inside asides and the typing slips.
//
// Thread safety: pure functions. The same arguments give the same mails on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/split.h"

namespace alambic {

// Mails of all kinds. No two prompts are equal. kInvalidArgument unless count is 0 to 10,000,000.
std::vector<Example> support_mails(int count, uint64_t seed);

// Parts with no prompt in common. About a third of the combinations of a product with a problem
// sentence or with a customer's name are held out: they occur in test and nowhere else, in about a
// third of its mails.
Splits support_mail_splits(int train, int validation, int test, uint64_t seed);

}  // namespace alambic
