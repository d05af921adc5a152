// The expressions by which published byte-level tokenizers cut text into words, as their files
// spell them: a file is recognised by its spelling, and a vocabulary in another format gets it.
// Ownership, thread safety: constants.
#pragma once

#include <string_view>

namespace alambic {

// GPT-2, GPT-NeoX, Pythia, OLMo, and a step of SmolLM's, StarCoder's and Falcon's.
inline constexpr std::string_view kGpt2Expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// LLaMA 3, and the other descendants of cl100k.
inline constexpr std::string_view kLlama3Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The same matches as tiktoken spells them for cl100k.
inline constexpr std::string_view kCl100kExpression =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
    R"(|\s*[\r\n]|\s+(?!\S)|\s+)";

// Qwen 2, 2.5 and 3: digits one by one.
inline constexpr std::string_view kQwen2Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Qwen 3.5: combining marks belong to words.
inline constexpr std::string_view kQwen35Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// GPT-4o and its descendants: a capital begins a new word.
inline constexpr std::string_view kO200kExpression =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Mistral's Tekken: the same without contractions, digits one by one.
inline constexpr std::string_view kTekkenExpression =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

inline constexpr std::string_view kBloomExpression = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";

// The steps of DeepSeek Coder, before digits one by one.
inline constexpr std::string_view kLineBreakExpression = "[\r\n]";
inline constexpr std::string_view kSpacedLettersExpression = R"(\s?\p{L}+)";
inline constexpr std::string_view kSpacedPunctuationExpression = R"(\s?\p{P}+)";
inline constexpr std::string_view kDeepSeekCoderScripts = "[一-龥ࠀ-一가-\uD7FF]+";
inline constexpr std::string_view kLineBreakEscapes = R"([\r\n])";

// The steps of DeepSeek V3.
inline constexpr std::string_view kThreeDigitsExpression = R"(\p{N}{1,3})";
inline constexpr std::string_view kDeepSeek3Scripts = "[一-龥぀-ゟ゠-ヿ]+";
inline constexpr std::string_view kDeepSeek3Expression =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// How a SentencePiece normaliser drops spaces, as files of tokenizers and we ourselves say it.
inline constexpr std::string_view kOuterSpacesExpression = R"(\A +|[ ▁]+\z)";
inline constexpr std::string_view kManySpacesExpression = " {2,}";

}  // namespace alambic
