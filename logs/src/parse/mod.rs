//! Lines: from bytes to records.
