#include "alambic/serve/choice_writer.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace alambic {

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t cut = std::string::npos;
  for (const std::string& stop : stops_) cut = std::min(cut, held_.find(stop));
  if (cut != std::string::npos) {
    stopped_ = true;
    held_.resize(cut);
    return std::exchange(held_, {});
  }
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.ends_with(std::string_view(stop).substr(0, n))) keep = n;
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopFilter::finish() { return std::exchange(held_, {}); }

int64_t count_characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

ChoiceWriter::ChoiceWriter(Tokenizer tokenizer, std::vector<std::string> stops,
                           std::span<const TokenId> before, int64_t offset)
    : tokenizer_(std::move(tokenizer)),
      decoder_(tokenizer_),
      filter_(std::move(stops)),
      first_(decoder_.push(before).empty()),
      characters_(offset) {}

AnswerPiece ChoiceWriter::push(ScoredToken token) {
  Waiting waiting;
  waiting.start = produced_;
  waiting.record.offset = characters_;
  waiting.record.bytes =
      first_ ? tokenizer_.decode({&token.token, 1}) : tokenizer_.token_bytes(token.token);
  const std::string text = decoder_.push(token.token);
  first_ = first_ && waiting.record.bytes.empty();
  waiting.record.scored = std::move(token);
  waiting_.push_back(std::move(waiting));
  produced_ += text.size();
  characters_ += count_characters(text);
  return release(filter_.push(text), false);
}

AnswerPiece ChoiceWriter::finish() {
  if (filter_.stopped()) return {};
  std::string text = filter_.push(decoder_.finish());
  if (!filter_.stopped()) text += filter_.finish();
  return release(std::move(text), !filter_.stopped());
}

AnswerPiece ChoiceWriter::release(std::string text, bool all) {
  AnswerPiece piece;
  released_ += text.size();
  piece.text = std::move(text);
  while (!waiting_.empty() && (all || waiting_.front().start < released_)) {
    piece.tokens.push_back(std::move(waiting_.front().record));
    waiting_.pop_front();
  }
  return piece;
}

std::vector<TokenRecord> records_of(const Tokenizer& tokenizer, std::span<const TokenId> tokens,
                                    size_t first, std::vector<ScoredToken> scores) {
  std::vector<TokenRecord> records;
  records.reserve(tokens.size() - first);
  StreamDecoder decoder(tokenizer, false);
  int64_t characters = 0;
  for (size_t i = first; i < tokens.size(); ++i) {
    TokenRecord& record = records.emplace_back();
    if (i > 0) {
      record.scored = std::move(scores[i - 1]);
    } else {
      record.scored.log_probability = std::numeric_limits<double>::quiet_NaN();
    }
    record.scored.token = tokens[i];
    record.offset = characters;
    record.bytes = i == first ? tokenizer.decode(tokens.subspan(i, 1), false)
                              : tokenizer.token_bytes(tokens[i]);
    characters += count_characters(decoder.push(tokens[i]));
  }
  return records;
}

}  // namespace alambic
