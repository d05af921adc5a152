#include "alambic/text/pre_tokenizer.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "alambic/text/pattern.h"
#include "alambic/text/published_patterns.h"
#include "alambic/text/unicode.h"

namespace alambic {

class PreTokenizer::Step {
 public:
  virtual ~Step() = default;
  virtual void apply(const Piece& piece, const PieceSink& next) const = 0;
};

namespace {

// Steps call each other, so their number bounds the stack.
constexpr size_t kMaxPreTokenizers = 64;

enum class Behavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

Behavior parse_behavior(const std::string& name, std::string_view where) {
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  fail(ErrorCode::kUnsupported, "[{}] split behavior \"{}\"", where, name);
}

// Cuts around the matches of a pattern.
class Splitter {
 public:
  Splitter(Pattern pattern, Behavior behavior, bool invert = false)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(const Piece& piece, const PieceSink& next) const {
    const auto emit = [&](size_t begin, size_t end) {
      if (begin < end) {
        next({piece.text.substr(begin, end - begin), piece.opens_text && begin == 0});
      }
    };
    if (behavior_ == Behavior::kIsolated || behavior_ == Behavior::kRemoved) {
      const bool removed = behavior_ == Behavior::kRemoved;
      for_each_part(piece.text, [&](const Part& part) {
        if (!(removed && part.match)) emit(part.begin, part.end);
      });
      return;
    }
    std::vector<Part> parts;
    for_each_part(piece.text, [&](const Part& part) { parts.push_back(part); });
    // A match that must join the part after it joins the part before it in the reversed order.
    const bool reversed = behavior_ == Behavior::kMergedWithNext;
    if (reversed) std::reverse(parts.begin(), parts.end());
    std::vector<Part> merged;
    bool previous_match = false;
    for (const Part& part : parts) {
      const bool joins = behavior_ == Behavior::kContiguous ? part.match == previous_match
                                                            : part.match && !previous_match;
      if (joins && !merged.empty()) {
        merged.back().begin = std::min(merged.back().begin, part.begin);
        merged.back().end = std::max(merged.back().end, part.end);
      } else {
        merged.push_back(part);
      }
      previous_match = part.match;
    }
    if (reversed) std::reverse(merged.begin(), merged.end());
    for (const Part& part : merged) emit(part.begin, part.end);
  }

 private:
  struct Part {
    size_t begin, end;
    bool match;
  };

  template <class Function>
  void for_each_part(std::string_view text, Function&& function) const {
    size_t done = 0;
    const auto take = [&](size_t begin, size_t end) {
      if (done < begin) function(Part{done, begin, invert_});
      function(Part{begin, end, !invert_});
      done = end;
    };
    pattern_.for_each_match(text, std::cref(take));  // a copy would be allocated
    if (done < text.size()) function(Part{done, text.size(), invert_});
  }

  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class SplitStep : public PreTokenizer::Step {
 public:
  explicit SplitStep(Splitter splitter) : splitter_(std::move(splitter)) {}
  void apply(const Piece& piece, const PieceSink& next) const override {
    splitter_.split(piece, next);
  }

 private:
  Splitter splitter_;
};

class PrefixSpaceStep : public PreTokenizer::Step {
 public:
  void apply(const Piece& piece, const PieceSink& next) const override {
    if (piece.text.starts_with(' ')) return next(piece);
    const std::string text = ' ' + std::string(piece.text);
    next({text, piece.opens_text});
  }
};

class ByteAlphabetStep : public PreTokenizer::Step {
 public:
  void apply(const Piece& piece, const PieceSink& next) const override {
    const std::string text = bytes_to_chars(piece.text);
    next({text, piece.opens_text});
  }
};

class MetaspaceStep : public PreTokenizer::Step {
 public:
  enum class Prepend { kAlways, kFirst, kNever };

  MetaspaceStep(const std::string& replacement, Prepend prepend, bool split)
      : replacement_(replacement),
        space_(Pattern::literal(" ")),
        splitter_(Pattern::literal(replacement), Behavior::kMergedWithNext),
        prepend_(prepend),
        split_(split) {}

  void apply(const Piece& piece, const PieceSink& next) const override {
    std::string text = space_.replace(piece.text, replacement_);
    const bool wanted =
        prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && piece.opens_text);
    if (wanted && !text.starts_with(replacement_)) text.insert(0, replacement_);
    const Piece replaced{text, piece.opens_text};
    split_ ? splitter_.split(replaced, next) : next(replaced);
  }

 private:
  std::string replacement_;
  Pattern space_;
  Splitter splitter_;
  Prepend prepend_;
  bool split_;
};

std::shared_ptr<const PreTokenizer::Step> make_metaspace(const Json& value,
                                                         std::string_view where) {
  using Prepend = MetaspaceStep::Prepend;
  const auto replacement = optional<std::string>(value, "replacement", "▁", where);
  if (replacement.empty() || decode_utf8(replacement, 0).length != replacement.size()) {
    fail(ErrorCode::kCorruptData, "[{}] Metaspace replacement; got \"{}\", want one character",
         where, replacement);
  }
  // Files older than "prepend_scheme" say only whether a prefix is wanted.
  const bool prefix = optional<bool>(value, "add_prefix_space", true, where);
  const auto scheme =
      optional<std::string>(value, "prepend_scheme", prefix ? "always" : "never", where);
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    fail(ErrorCode::kUnsupported, "[{}] Metaspace prepend_scheme \"{}\"", where, scheme);
  }
  const Prepend prepend = scheme == "always"  ? Prepend::kAlways
                          : scheme == "first" ? Prepend::kFirst
                                              : Prepend::kNever;
  return std::make_shared<MetaspaceStep>(replacement, prepend,
                                         optional<bool>(value, "split", true, where));
}

}  // namespace

PreTokenizer PreTokenizer::from_json(const Json& value, std::string_view where) {
  PreTokenizer result;
  if (!value.is_null()) result.add(value, where);
  return result;
}

void PreTokenizer::add(const Json& value, std::string_view where) {
  const auto type = require<std::string>(value, "type", where);
  if (type == "Sequence") {
    for (const Json& child : require<Json>(value, "pretokenizers", where)) add(child, where);
    return;
  }
  // Only the last cutter may leave the byte-level translation to the model.
  if (std::exchange(byte_level_, false)) {
    if (type == "ByteLevel") {
      fail(ErrorCode::kUnsupported, "[{}] pre_tokenizer with two ByteLevel in a row", where);
    }
    steps_.push_back(std::make_shared<ByteAlphabetStep>());
  }
  const auto split_by = [&](Pattern pattern, Behavior behavior, bool invert = false) {
    steps_.push_back(std::make_shared<SplitStep>(Splitter(std::move(pattern), behavior, invert)));
  };
  if (type == "ByteLevel") {
    if (optional<bool>(value, "add_prefix_space", true, where)) {
      steps_.push_back(std::make_shared<PrefixSpaceStep>());
    }
    if (optional<bool>(value, "use_regex", true, where)) {
      split_by(Pattern::regex(kGpt2Expression, where), Behavior::kIsolated);
    }
    byte_level_ = true;
  } else if (type == "Split") {
    split_by(Pattern::from_json(require<Json>(value, "pattern", where), where),
             parse_behavior(require<std::string>(value, "behavior", where), where),
             optional<bool>(value, "invert", false, where));
  } else if (type == "Digits") {
    const bool individual = optional<bool>(value, "individual_digits", false, where);
    split_by(Pattern::characters(is_numeric),
             individual ? Behavior::kIsolated : Behavior::kContiguous);
  } else if (type == "Metaspace") {
    steps_.push_back(make_metaspace(value, where));
  } else if (type == "Whitespace") {
    split_by(Pattern::regex(R"(\w+|[^\w\s]+)", where), Behavior::kRemoved, true);
  } else if (type == "WhitespaceSplit") {
    split_by(Pattern::characters(is_white_space), Behavior::kRemoved);
  } else if (type == "Punctuation") {
    split_by(Pattern::characters(is_punctuation),
             parse_behavior(optional<std::string>(value, "behavior", "Isolated", where), where));
  } else if (type == "BertPreTokenizer") {
    split_by(Pattern::characters(is_white_space), Behavior::kRemoved);
    split_by(Pattern::characters(is_punctuation), Behavior::kIsolated);
  } else if (type == "CharDelimiterSplit") {
    const auto delimiter = require<std::string>(value, "delimiter", where);
    if (delimiter.empty() || decode_utf8(delimiter, 0).length != delimiter.size()) {
      fail(ErrorCode::kCorruptData, "[{}] delimiter; got \"{}\", want one character", where,
           delimiter);
    }
    split_by(Pattern::literal(delimiter), Behavior::kRemoved);
  } else {
    fail(ErrorCode::kUnsupported,
         "[{}] pre_tokenizer \"{}\"; want ByteLevel, Split, Digits, Metaspace, Whitespace, "
         "WhitespaceSplit, Punctuation, BertPreTokenizer, CharDelimiterSplit or Sequence",
         where, type);
  }
  if (steps_.size() > kMaxPreTokenizers) {
    fail(ErrorCode::kUnsupported, "[{}] more than {} pre-tokenizers", where, kMaxPreTokenizers);
  }
}

void PreTokenizer::split(const Piece& whole, const PieceSink& sink) const {
  if (!whole.text.empty()) run(0, whole, sink);
}

void PreTokenizer::run(size_t step, const Piece& piece, const PieceSink& sink) const {
  if (step == steps_.size()) return sink(piece);
  if (step + 1 == steps_.size()) return steps_[step]->apply(piece, sink);
  const auto next = [&, step](const Piece& part) { run(step + 1, part, sink); };
  steps_[step]->apply(piece, std::cref(next));  // a copy would be allocated
}

}  // namespace alambic
