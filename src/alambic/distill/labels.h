// A closed set of labels: how a teacher is told them, and which one an answer means.
//
// An answer means a label where it is the label but for case, marks around it, a leading word such
// as "Label:" and how its words are parted ("card arrival", "card_arrival", "CardArrival"), or
// where it is short and holds one label only. What says "not", holds several or none means nothing.
//
// Ownership: values. Thread safety: const. Errors: kInvalidArgument for an empty set, an empty
// label or more than kMaxLabels of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace alambic {

inline constexpr size_t kMaxLabels = 1000;

class LabelSet {
 public:
  explicit LabelSet(std::vector<std::string> labels);

  const std::vector<std::string>& labels() const { return labels_; }
  // The label that the answer means.
  std::optional<size_t> meant(std::string_view answer) const;

 private:
  std::optional<size_t> whole(std::string_view answer) const;

  std::vector<std::string> labels_;
  std::unordered_map<std::string, size_t> exact_;
  // By the words of a label without what parts them; none where two labels share them.
  std::unordered_map<std::string, std::optional<size_t>> by_words_;
  size_t longest_ = 0;  // of those words, in bytes
};

// What teachers answered that means no label: how often, and the first two, for people.
class OutsideAnswers {
 public:
  void add(std::string_view answer);
  bool empty() const { return count_ == 0; }
  std::string in_words() const;

 private:
  int64_t count_ = 0;
  std::vector<std::string> first_;
};

// "Answer with one of these labels and nothing else: refund, delivery."
std::string told_labels(std::span<const std::string> labels);
// Where a text of the user's has "{labels}", the labels stand: "refund, delivery".
std::string with_labels(std::string text, std::span<const std::string> labels);
// Of which set an answer is taken, in a few characters: tells two sets apart.
std::string labels_key(std::span<const std::string> labels);
// What two sets of labels do not share, for people; "" where they are the same.
std::string label_difference(std::span<const std::string> teachers,
                             std::span<const std::string> wanted);
// "\"refund\", \"delivery\", …": the first few.
std::string first_labels(std::span<const std::string> labels);

}  // namespace alambic
