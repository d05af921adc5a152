// SQLite behind two owners that clean up after themselves and speak alambic's errors.
//
// Ownership: a Statement must not outlive its Database.
// Thread safety: one database and its statements, one thread.
// Errors: kNotFound for a missing file; kCorruptData where SQLite finds the file damaged or
// foreign; kIo for a full disk, missing permissions or another process in the way; every line opens
// with the path.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace alambic {

// The outcome of the last call on `connection` as an Error.
[[noreturn]] void fail_sqlite(sqlite3* connection, const std::string& path);

class Statement {
 public:
  Statement(sqlite3* connection, const std::string& path, const char* sql);

  // Parameters count from 1. Bytes are not copied: they must live until the next reset.
  Statement& bind(int index, int64_t value);
  Statement& bind_real(int index, double value);
  Statement& bind_text(int index, std::string_view value);
  Statement& bind_blob(int index, std::string_view value);
  // True if a row is there. The result code of a broken constraint is left to the caller: see
  // constraint_failed().
  bool step();
  bool constraint_failed() const { return constraint_failed_; }
  void reset();

  // Columns count from 0. Another type than the asked one is kCorruptData; views live until the
  // next step or reset.
  int64_t integer(int column) const;
  double real(int column) const;
  std::string_view text(int column) const { return bytes(column, SQLITE_TEXT); }
  std::string_view blob(int column) const { return bytes(column, SQLITE_BLOB); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  void check(int code) const;
  std::string_view bytes(int column, int type) const;

  sqlite3* connection_;
  std::string path_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  bool constraint_failed_ = false;
};

class Database {
 public:
  enum class Mode { kReadOnly, kCreate };
  Database(std::string path, Mode mode);

  const std::string& path() const { return path_; }
  void execute(const char* sql);
  Statement prepare(const char* sql) const { return {connection_.get(), path_, sql}; }
  // The integer that a one-value query gives.
  int64_t query_integer(const char* sql) const;
  // Folds the write-ahead log into the file, unless somebody else has it open. Never throws: the
  // log stays valid beside the file where this fails. All statements must be gone.
  void leave_write_ahead_mode() noexcept;
  bool in_transaction() const { return sqlite3_get_autocommit(connection_.get()) == 0; }

 private:
  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
  };
  void open(int flags);

  std::string path_;
  std::unique_ptr<sqlite3, Close> connection_;
};

}  // namespace alambic
