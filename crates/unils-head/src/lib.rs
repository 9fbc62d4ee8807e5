//! Generates the head that `unils` ships.
