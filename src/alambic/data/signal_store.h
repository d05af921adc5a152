// The teacher's signals of one run, in one SQLite file: self-describing, append-only, crash-safe,
// streamed.
//
// Every append is one transaction in write-ahead mode with full synchronisation: when append() has
// returned, its rows survive kill -9 and a power cut; an append that was cut off leaves nothing.
// Each row carries a CRC-32. While a store is open for writing, SQLite keeps PATH-wal and PATH-shm
// beside it; closing it leaves the one file.
//
// Ownership: the store owns its connection. Movable.
// Thread safety: one object, one thread. One writer per file at a time; readers beside it see what
// was committed when they looked.
// Errors: the file is hostile. kNotFound, kIo (also a full disk: what was stored stays stored),
// kCorruptData for foreign, damaged or forged files and rows, kInvalidArgument for a header or a
// row that does not fit the store.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "alambic/data/signal.h"

namespace alambic {

class SignalStore {
 public:
  // Opens the store at `path` for appending, or makes it. A store that was written under another
  // header is refused with a line that names the field.
  static SignalStore create_or_resume(const std::string& path, const SignalHeader& header);
  // Read only.
  static SignalStore open(const std::string& path);
  SignalStore(SignalStore&&) noexcept;
  SignalStore& operator=(SignalStore&&) noexcept;
  ~SignalStore();

  const SignalHeader& header() const;
  int64_t size() const;  // rows
  bool contains(int64_t example, int sample) const;
  // Adds all rows or, on an Error, none. A (example, sample) that is already stored is an Error.
  void append(std::span<const SignalRow> rows);
  // The same, and in the same transaction what asking has cost in all.
  void append(std::span<const SignalRow> rows, const Spending& spent);
  // The same, with questions whose answers are of no use: what was asked and paid for is not asked
  // again. They are no rows.
  void append(std::span<const SignalRow> rows, std::span<const VainQuestion> unanswered,
              const Spending& spent);
  // What came of a question: kGood where there is a row; nothing where it is not stored.
  std::optional<AnswerKind> outcome(int64_t example, int sample) const;
  // In (example, sample) order.
  void for_each_unanswered(const std::function<void(const VainQuestion&)>& visit) const;
  // As last stored; nothing for a teacher that costs nothing.
  Spending spent() const;
  // What the teacher called itself when it was first asked; see SignalHeader. Stored once.
  void set_revision(const std::string& revision);
  // kNotFound if it is not stored.
  SignalRow read(int64_t example, int sample) const;
  // Calls `visit` for every row in (example, sample) order, holding one row in memory. Do not
  // append inside.
  void for_each(const std::function<void(const SignalRow&)>& visit) const;
  // Mean bytes of stored signal per scored token; 0 if there are none.
  double bytes_per_token() const;

  // JSON lines: the header on the first, then one row a line. What is left out is not in it.
  void export_jsonl(const std::string& path) const;
  // Adds the rows of an exported file to the store at `store_path`, skipping those that it has (so
  // that an import that was cut off can be run again). Returns the store.
  static SignalStore import_jsonl(const std::string& path, const std::string& store_path);

 private:
  class Impl;
  explicit SignalStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace alambic
