// Answers with a label, by a classifier that is no language model (eval/linear_classifier.h).
//
// What is classified is the prompt as it stands, or the last message of the user; what was said
// before it counts for nothing. The answer is always the most probable label, however a request
// wants tokens drawn. A label counts as one token, and so does a word of the prompt.
//
// Ownership: owns the classifier. Thread safety and errors: answerer.h.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/serve/answerer.h"

namespace alambic {

struct ServedClassifier {
  std::string name;
  std::vector<std::string> labels;
  // One for each label; from any thread.
  std::function<std::vector<double>(std::string_view text)> log_probabilities;
  size_t longest_text = 0;  // bytes
};

class Labeller final : public Answerer {
 public:
  explicit Labeller(ServedClassifier classifier) : classifier_(std::move(classifier)) {}

  const std::string& name() const override { return classifier_.name; }
  OrderedJson meta() const override;
  Answer complete(CompletionRequest request) override;
  Answer chat(ChatRequest request) override;

 private:
  HttpReply reply(ApiRoute route, const SamplingRequest& request,
                  const std::vector<std::string>& texts) const;
  ChoiceResult classify(const SamplingRequest& request, const std::string& text) const;

  ServedClassifier classifier_;
};

}  // namespace alambic
