//! The integration tests: one binary, a file for each capability, driving the real executable.
