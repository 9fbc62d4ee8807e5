#!/usr/bin/env bash
# Everything that is checked without running the program, cheapest first.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== formatting"
cargo fmt --all --check
echo "== clippy, warnings as errors"
cargo clippy --workspace --all-targets --release -- -D warnings
echo "== documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --release
