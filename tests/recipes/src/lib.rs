//! Nothing: the recipes are in `tests/`.
